//! Changing a few fields of a JSON object and nothing else: every byte that is not named stays where it was.

use crate::Error;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde::{Deserialize, Deserializer, de::MapAccess, de::Visitor};
use serde_json::{Value, value::RawValue};
use std::{borrow::Cow, fmt};

/// The top level of one JSON object, borrowed.
pub(crate) struct Fields<'a> {
    text: &'a str,
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
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

    /// The object with these of its fields alone.
    pub(crate) fn only(&self, is_kept: impl Fn(&str) -> bool) -> String {
        let mut text = String::with_capacity(self.text.len());
        for (name, value) in self.iter().filter(|(name, _)| is_kept(name)) {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&Value::from(name).to_string());
            text.push(':');
            text.push_str(value.get());
        }
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        text
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

/// JSON text in which halves of characters (`\ud83d` alone) are a character that stands for what cannot be read. Clients that
/// cut texts by UTF-16 write them; parsers refuse them.
pub(crate) fn whole_characters(json: &Bytes) -> Cow<'_, Bytes> {
    if memmem::find(json, b"\\ud").or_else(|| memmem::find(json, b"\\uD")).is_none() {
        return Cow::Borrowed(json);
    }
    let unit = |at: usize| {
        let escape = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    let mut mended = BytesMut::new();
    let (mut from, mut at) = (0, 0);
    while let Some(escape) = memchr::memchr(b'\\', &json[at..]).map(|found| at + found) {
        at = match (unit(escape), unit(escape + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => escape + 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.extend_from_slice(&json[from..escape]);
                mended.extend_from_slice(b"\\ufffd");
                from = escape + 6;
                from
            }
            (Some(_), _) => escape + 6,
            (None, _) => (escape + 2).min(json.len()),
        };
    }
    if from == 0 {
        return Cow::Borrowed(json);
    }
    mended.extend_from_slice(&json[from..]);
    Cow::Owned(mended.freeze())
}

struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

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
struct BorrowedKey<'a>(Cow<'a, str>);

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
    fn only_the_named_fields_are_kept() {
        let fields = Fields::of(br#"{ "a" : 1.50, "b\u0020":[ 2 ], "a":"x" }"#).unwrap();
        assert_eq!(fields.only(|name| name == "a"), r#"{"a":1.50,"a":"x"}"#);
        assert_eq!(fields.only(|_| false), "{}");
    }

    #[test]
    fn half_a_character_is_one_that_cannot_be_read_and_every_other_byte_stays() {
        for (json, whole) in [
            (r#"{"a":"\ud83d\ude00 \uD83D\uDE00"}"#, r#"{"a":"\ud83d\ude00 \uD83D\uDE00"}"#),
            (r#"{"a":"x\ud83d"}"#, r#"{"a":"x\ufffd"}"#),
            (r#"{"a":"\ude00\ud83dx\ud83d\n"}"#, r#"{"a":"\ufffd\ufffdx\ufffd\n"}"#),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"\\ud83d \\\ud83d \u00fc"}"#, r#"{"a":"\\ud83d \\\ufffd \u00fc"}"#),
            ("\"\\ud83", "\"\\ud83"),
        ] {
            assert_eq!(*whole_characters(&Bytes::from(json)), whole, "{json}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_with_the_place() {
        for body in [&b"[]"[..], b"", b"{", b"{} {}", b"{\"a\":\xff}", b"null"] {
            assert!(matches!(Fields::of(body), Err(Error::Invalid { .. })), "{:?}", String::from_utf8_lossy(body));
        }
    }
}
