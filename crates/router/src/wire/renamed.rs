//! The name of the model in an answer's bytes: the one the caller asked for. Clients take thoughts of another model than
//! theirs out of the conversation, and what a route leads to is none of their business. Every other byte stays.

use crate::wire::lenient::Members;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde_json::{Value, value::RawValue};

/// `raw` with `name` for the model of `fields`, which were read from it.
pub(crate) fn under(raw: Bytes, fields: &Members<'_>, name: Option<&str>) -> Bytes {
    match (fields.get("model").filter(|told| told.get().starts_with('"')), name) {
        (Some(told), Some(name)) => renamed(raw, told, name),
        _ => raw,
    }
}

/// `raw` with `name` in place of `told`, which is the value of a `model` in it.
pub(crate) fn renamed(raw: Bytes, told: &RawValue, name: &str) -> Bytes {
    let json = Value::from(name).to_string();
    if told.get() == json {
        return raw;
    }
    let Some(at) = place(&raw, told.get()) else { return raw };
    let mut renamed = BytesMut::with_capacity(raw.len() + json.len());
    renamed.extend_from_slice(&raw[..at]);
    renamed.extend_from_slice(json.as_bytes());
    renamed.extend_from_slice(&raw[at + told.get().len()..]);
    renamed.freeze()
}

fn place(raw: &[u8], told: &str) -> Option<usize> {
    let begin = raw.as_ptr() as usize;
    let at = (told.as_ptr() as usize).checked_sub(begin).filter(|at| at + told.len() <= raw.len());
    // An event of several lines, or with words that are no JSON, was read from a copy. The quotes of a key are never escaped.
    at.or_else(|| {
        const KEY: &[u8] = b"\"model\"";
        memmem::find_iter(raw, KEY).find_map(|at| {
            let rest = raw[at + KEY.len()..].trim_ascii_start();
            let value = rest.strip_prefix(b":")?.trim_ascii_start();
            value.starts_with(told.as_bytes()).then(|| raw.len() - value.len())
        })
    })
}
