//! A GGUF file: its metadata, checked before anything is believed, and its tensors.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. candle parses it; what is added here is that a
//! cut, crafted or foreign file ends as an [`Error`] that names the place, before any tensor is read.

use crate::Error;
use candle_core::Device;
use candle_core::quantized::QTensor;
use candle_core::quantized::gguf_file::{Content, Value};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

pub(crate) struct Gguf {
    path: PathBuf,
    content: Content,
    reader: BufReader<File>,
    size_bytes: u64,
}

impl Gguf {
    pub(crate) fn open(path: &Path) -> Result<Gguf, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let size_bytes = file.metadata().map_err(Error::io(path))?.len();
        let mut reader = BufReader::with_capacity(1 << 20, file);
        let corrupt = |reason: String| Error::Corrupt { path: path.to_owned(), reason };
        // The parser divides by an alignment it takes from the file: a panic there is the file's fault, not ours.
        let content = catch_unwind(AssertUnwindSafe(|| Content::read(&mut reader)))
            .map_err(|_| corrupt("its header is malformed".into()))?
            .map_err(|error| match unsupported_tensor_type(&error) {
                Some(code) => Error::UnsupportedModel {
                    path: path.to_owned(),
                    reason: format!("it uses the quantization type {code}, which candle lacks; take a Q4_K_M or Q8_0"),
                },
                None => corrupt(format!("{error:#}").lines().next().unwrap_or_default().to_owned()),
            })?;
        let gguf = Gguf { path: path.to_owned(), content, reader, size_bytes };
        gguf.check_tensors()?;
        Ok(gguf)
    }

    /// Every tensor lies inside the file: a cut download is found here and not in the middle of loading.
    fn check_tensors(&self) -> Result<(), Error> {
        if self.number("split.count").is_some_and(|parts| parts > 1) {
            return Err(self.unsupported("it is one part of a split model; merge the parts into one file first"));
        }
        for (name, info) in &self.content.tensor_infos {
            let elements = info.shape.dims().iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
            let end = elements
                .filter(|elements| elements.is_multiple_of(info.ggml_dtype.block_size()))
                .and_then(|elements| (elements / info.ggml_dtype.block_size()).checked_mul(info.ggml_dtype.type_size()))
                .and_then(|bytes| self.content.tensor_data_offset.checked_add(info.offset)?.checked_add(bytes as u64));
            match end {
                None => return Err(self.corrupt(format!("tensor {name} has the impossible shape {:?}", info.shape))),
                Some(end) if end > self.size_bytes => {
                    let size = self.size_bytes;
                    return Err(self.corrupt(format!("tensor {name} ends at byte {end}, the file has {size}")));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(crate) fn corrupt(&self, reason: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path.clone(), reason: reason.into() }
    }

    pub(crate) fn unsupported(&self, reason: impl Into<String>) -> Error {
        Error::UnsupportedModel { path: self.path.clone(), reason: reason.into() }
    }

    pub(crate) fn has_tensor(&self, name: &str) -> bool {
        self.content.tensor_infos.contains_key(name)
    }

    pub(crate) fn tensor(&mut self, name: &str) -> Result<QTensor, Error> {
        if !self.has_tensor(name) {
            return Err(self.corrupt(format!("tensor {name} is missing")));
        }
        self.content
            .tensor(&mut self.reader, name, &Device::Cpu)
            .map_err(|error| self.corrupt(format!("tensor {name}: {error}")))
    }

    /// Parameters in all tensors.
    pub(crate) fn parameters(&self) -> u64 {
        self.content.tensor_infos.values().map(|info| info.shape.elem_count() as u64).sum()
    }

    /// The tensor type that holds the most parameters, as ggml names it (`Q4_1`): what the file "is".
    pub(crate) fn quantization(&self) -> String {
        let mut sizes = BTreeMap::<String, u64>::new();
        for info in self.content.tensor_infos.values().filter(|info| info.shape.rank() > 1) {
            *sizes.entry(format!("{:?}", info.ggml_dtype)).or_default() += info.shape.elem_count() as u64;
        }
        let main = sizes.into_iter().max_by_key(|(_, parameters)| *parameters);
        main.map_or_else(|| "none".to_owned(), |(name, _)| name.replace('K', "_K"))
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match self.content.metadata.get(key)? {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whichever integer type the writer chose.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        integer(self.content.metadata.get(key)?)
    }

    pub(crate) fn float(&self, key: &str) -> Option<f64> {
        match self.content.metadata.get(key)? {
            Value::F32(value) => Some(f64::from(*value)),
            Value::F64(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        match self.content.metadata.get(key)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn array(&self, key: &str) -> Option<&[Value]> {
        match self.content.metadata.get(key)? {
            Value::Array(values) => Some(values),
            _ => None,
        }
    }

    pub(crate) fn require_text(&self, key: &str) -> Result<&str, Error> {
        self.text(key).ok_or_else(|| self.corrupt(format!("metadata {key} is missing or not a text")))
    }

    pub(crate) fn require_number(&self, key: &str) -> Result<u64, Error> {
        self.number(key).ok_or_else(|| self.corrupt(format!("metadata {key} is missing or not a whole number")))
    }

    pub(crate) fn require_float(&self, key: &str) -> Result<f64, Error> {
        self.float(key).ok_or_else(|| self.corrupt(format!("metadata {key} is missing or not a number")))
    }

    pub(crate) fn require_array(&self, key: &str) -> Result<&[Value], Error> {
        self.array(key).ok_or_else(|| self.corrupt(format!("metadata {key} is missing or not a list")))
    }
}

pub(crate) fn integer(value: &Value) -> Option<u64> {
    match *value {
        Value::U8(value) => Some(value.into()),
        Value::U16(value) => Some(value.into()),
        Value::U32(value) => Some(value.into()),
        Value::U64(value) => Some(value),
        Value::I8(value) => value.try_into().ok(),
        Value::I16(value) => value.try_into().ok(),
        Value::I32(value) => value.try_into().ok(),
        Value::I64(value) => value.try_into().ok(),
        _ => None,
    }
}

/// candle names a tensor type it does not know only in its message.
fn unsupported_tensor_type(error: &candle_core::Error) -> Option<String> {
    let message = error.to_string();
    let (_, code) = message.split_once("unknown dtype for tensor ")?;
    Some(code.chars().take_while(char::is_ascii_digit).collect())
}
