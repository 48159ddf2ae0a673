//! Changing a few fields of a JSON object and nothing else: every byte that is not named stays where it was.

use crate::Error;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Deserializer, de::MapAccess, de::Visitor};
use serde_json::{Value, value::RawValue};
use std::fmt;

/// The top level of one JSON object, borrowed.
pub(crate) struct Fields<'a> {
    text: &'a str,
    fields: Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// [`Error::Invalid`] when the body is not one JSON object in UTF-8.
    pub(crate) fn of(body: &'a [u8]) -> Result<Self, Error> {
        let text =
            std::str::from_utf8(body).map_err(|error| Error::invalid("", format!("the body is not UTF-8: {error}")))?;
        let Entries(fields) = serde_json::from_str(text)
            .map_err(|error| Error::invalid("", format!("the body is not a JSON object: {error}")))?;
        Ok(Self { text, fields })
    }

    /// The last one of that name, as every JSON parser has it.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The value of `name` read as `T`; `None` when it is not there, `null`, or something else.
    pub(crate) fn read<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The object with these fields set, each to JSON text; those that are not there yet come first.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> Bytes {
        let mut spans: Vec<(usize, usize, &str)> = Vec::new();
        let mut new = String::new();
        for (name, json) in changes {
            let there: Vec<_> = self.fields.iter().filter(|(key, _)| key == name).collect();
            for (_, value) in &there {
                let start = value.get().as_ptr() as usize - self.text.as_ptr() as usize;
                spans.push((start, start + value.get().len(), json));
            }
            if there.is_empty() {
                if !new.is_empty() {
                    new.push(',');
                }
                new.push_str(&serde_json::Value::from(*name).to_string());
                new.push(':');
                new.push_str(json);
            }
        }
        if !new.is_empty() && !self.fields.is_empty() {
            new.push(',');
        }
        spans.sort_unstable();
        let mut changed = BytesMut::with_capacity(self.text.len() + new.len() + 64);
        // An object's first byte that is not white space is its brace.
        let after_brace = self.text.find('{').map_or(0, |at| at + 1);
        changed.extend_from_slice(&self.text.as_bytes()[..after_brace]);
        changed.extend_from_slice(new.as_bytes());
        let mut from = after_brace;
        for (start, end, json) in spans {
            changed.extend_from_slice(&self.text.as_bytes()[from..start]);
            changed.extend_from_slice(json.as_bytes());
            from = end;
        }
        changed.extend_from_slice(&self.text.as_bytes()[from..]);
        changed.freeze()
    }
}

struct Entries<'a>(Vec<(std::borrow::Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsEntries;
        impl<'de> Visitor<'de> for AsEntries {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut fields = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(BorrowedKey(key)) = map.next_key()? {
                    fields.push((key, map.next_value()?));
                }
                Ok(Entries(fields))
            }
        }
        deserializer.deserialize_map(AsEntries)
    }
}

/// A key, copied only when it holds escapes.
struct BorrowedKey<'a>(std::borrow::Cow<'a, str>);

impl<'de> Deserialize<'de> for BorrowedKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AsKey;
        impl<'de> Visitor<'de> for AsKey {
            type Value = BorrowedKey<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
                Ok(BorrowedKey(key.into()))
            }
            fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
                Ok(BorrowedKey(key.to_owned().into()))
            }
        }
        deserializer.deserialize_str(AsKey)
    }
}

/// What an error says was found.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_changes() {
        let body = br#" { "model" : "a", "x":[1, 2 ], "m\u006fdel":"b" } "#;
        let fields = Fields::of(body).unwrap();
        assert_eq!(fields.read::<String>("model"), Some("b".to_owned()));
        let changed = fields.with(&[("model", r#""c""#), ("stream", "true")]);
        assert_eq!(&changed[..], br#" {"stream":true, "model" : "c", "x":[1, 2 ], "m\u006fdel":"c" } "#);
        assert_eq!(&Fields::of(b"{}").unwrap().with(&[("a", "1")])[..], br#"{"a":1}"#);
        assert_eq!(&Fields::of(body).unwrap().with(&[])[..], &body[..]);
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_place() {
        for body in [&b"[]"[..], b"", b"{", b"{} {}", b"{\"a\":\xff}", b"null"] {
            assert!(matches!(Fields::of(body), Err(Error::Invalid { .. })), "{:?}", String::from_utf8_lossy(body));
        }
    }
}
