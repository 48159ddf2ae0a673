//! Files that are cut, broken, or of another kind: an error that says so, never a panic.

use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use embedded_model::{Engine, Error, Options};
use std::io::Cursor;
use std::path::PathBuf;
use tempfile::TempDir;

/// A model of one layer with a vocabulary of eight tokens.
pub(crate) fn tiny(architecture: &str, change: impl FnOnce(&mut Vec<(String, Value)>)) -> Vec<u8> {
    let key = |name: &str| format!("{architecture}.{name}");
    let texts = |texts: &[&str]| Value::Array(texts.iter().map(|text| Value::String((*text).into())).collect());
    let mut metadata = vec![
        ("general.architecture".to_owned(), Value::String(architecture.into())),
        (key("block_count"), Value::U32(1)),
        (key("context_length"), Value::U32(128)),
        (key("embedding_length"), Value::U32(32)),
        (key("feed_forward_length"), Value::U32(32)),
        (key("attention.head_count"), Value::U32(2)),
        (key("attention.head_count_kv"), Value::U32(1)),
        (key("attention.layer_norm_rms_epsilon"), Value::F32(1e-5)),
        ("tokenizer.ggml.model".to_owned(), Value::String("gpt2".into())),
        ("tokenizer.ggml.tokens".to_owned(), texts(&["a", "b", "c", "d", "e", "f", "g", "ab"])),
        ("tokenizer.ggml.merges".to_owned(), texts(&["a b"])),
    ];
    change(&mut metadata);
    let tensor = |rows: usize, columns: usize| {
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.) / 500.).collect();
        let shape: &[usize] = if rows == 1 { &[columns] } else { &[rows, columns] };
        QTensor::quantize(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap(), GgmlDType::F32).unwrap()
    };
    let tensors = [
        ("token_embd.weight", tensor(8, 32)),
        ("output_norm.weight", tensor(1, 32)),
        ("blk.0.attn_norm.weight", tensor(1, 32)),
        ("blk.0.attn_q.weight", tensor(32, 32)),
        ("blk.0.attn_k.weight", tensor(16, 32)),
        ("blk.0.attn_v.weight", tensor(16, 32)),
        ("blk.0.attn_output.weight", tensor(32, 32)),
        ("blk.0.ffn_norm.weight", tensor(1, 32)),
        ("blk.0.ffn_gate.weight", tensor(32, 32)),
        ("blk.0.ffn_up.weight", tensor(32, 32)),
        ("blk.0.ffn_down.weight", tensor(32, 32)),
    ];
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor)).collect();
    let mut bytes = Cursor::new(Vec::new());
    gguf_file::write(&mut bytes, &metadata, &tensors).unwrap();
    bytes.into_inner()
}

struct Folder(TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(TempDir::new().unwrap())
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join("model.gguf");
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn load(&self, bytes: &[u8]) -> Result<Engine, Error> {
        Engine::load(&self.write(bytes), &Options::default())
    }
}

fn set(metadata: &mut [(String, Value)], key: &str, value: Value) {
    metadata.iter_mut().find(|(name, _)| name == key).unwrap().1 = value;
}

#[test]
fn a_whole_file_loads() {
    let folder = Folder::new();
    let engine = folder.load(&tiny("llama", |_| {})).unwrap();
    assert_eq!(engine.info().context_tokens, 128);
    assert_eq!(engine.encode("abc").unwrap(), [7, 2]);
}

#[test]
fn an_unknown_architecture_is_named_with_those_there_are() {
    let folder = Folder::new();
    let error = folder.load(&tiny("mamba", |_| {})).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::UnsupportedArchitecture { .. }));
    assert!(message.contains("`mamba`") && message.contains("llama, qwen2, qwen3, gemma3, phi3"), "{message}");
}

#[test]
fn what_a_known_architecture_cannot_have_here_is_named() {
    let folder = Folder::new();
    let experts = tiny("llama", |metadata| metadata.push(("llama.expert_count".into(), Value::U32(8))));
    let message = folder.load(&experts).unwrap_err().to_string();
    assert!(message.contains("mixture of experts"), "{message}");
    let strange = tiny("llama", |metadata| metadata.push(("tokenizer.ggml.pre".into(), Value::String("odd".into()))));
    let message = folder.load(&strange).unwrap_err().to_string();
    assert!(message.contains("`odd`"), "{message}");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let folder = Folder::new();
    let whole = tiny("llama", |_| {});
    for length in (0..whole.len() - 32).step_by(97).chain([whole.len() - 33]) {
        let error = folder.load(&whole[..length]).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "cut at {length}: {error}");
    }
}

#[test]
fn a_file_with_any_byte_of_its_header_changed_never_panics() {
    let folder = Folder::new();
    let whole = tiny("llama", |_| {});
    // the tensors' numbers follow the header; they may be anything
    let header = whole.len() - (8 * 32 + 32 * 3 + 32 * 32 * 5 + 16 * 32 * 2) * 4;
    for at in (0..header).step_by(3) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x5a;
        // Loading or refusing are both right; what matters is that it returns.
        if let Err(error) = folder.load(&bytes) {
            assert!(!matches!(error, Error::Inference(_)), "byte {at}: {error}");
        }
    }
}

#[test]
fn sizes_that_do_not_fit_each_other_are_errors() {
    let folder = Folder::new();
    let cases: [(&str, Value); 8] = [
        ("llama.embedding_length", Value::U32(64)),
        ("llama.embedding_length", Value::U32(0)),
        ("llama.block_count", Value::U32(2)),
        ("llama.attention.head_count", Value::U32(3)),
        ("llama.attention.head_count_kv", Value::U32(7)),
        ("llama.feed_forward_length", Value::U32(u32::MAX)),
        ("tokenizer.ggml.tokens", Value::U32(3)),
        ("general.architecture", Value::U32(3)),
    ];
    for (key, value) in cases {
        let error = folder.load(&tiny("llama", |metadata| set(metadata, key, value.clone()))).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{key} = {value:?}: {error}");
    }
    let zero = tiny("llama", |metadata| metadata.push(("general.alignment".into(), Value::U32(0))));
    assert!(matches!(folder.load(&zero), Err(Error::Corrupt { .. })));
}

#[test]
fn a_file_of_another_kind_or_none_is_an_error() {
    let folder = Folder::new();
    assert!(matches!(folder.load(b""), Err(Error::Corrupt { .. })));
    assert!(matches!(folder.load(b"PK\x03\x04 a zip file, perhaps"), Err(Error::Corrupt { .. })));
    let missing = Engine::load(&folder.0.path().join("none.gguf"), &Options::default());
    assert!(matches!(missing, Err(Error::Io { .. })));
}
