//! Reading what servers send: text, tool arguments and the end strictly, every other field by itself and leniently.
//!
//! An odd value in a side field costs that field and nothing else, so objects are read member by member. Ids come as numbers,
//! counts as texts or fractions, `NaN` where no JSON has it, and an emoji as two escapes in two frames.

use crate::json_object::Fields;
use bytes::Bytes;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// One JSON object as it came, its words that are no JSON (`NaN`, `Infinity`, `-Infinity`) taken for `null`.
pub(crate) struct Object<'a> {
    text: Cow<'a, str>,
}

impl<'a> Object<'a> {
    /// # Errors
    /// Why it is no object, in words without any of it.
    pub(crate) fn of(data: &'a [u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(data).map_err(|error| format!("it is not UTF-8: {error}"))?;
        let text = match Fields::of(text.as_bytes()) {
            Ok(_) => Cow::Borrowed(text),
            Err(first) => {
                let mended = without_foreign_words(text).ok_or_else(|| first.to_string())?;
                Fields::of(mended.as_bytes()).map_err(|_| first.to_string())?;
                Cow::Owned(mended)
            }
        };
        Ok(Self { text })
    }

    pub(crate) fn fields(&self) -> Members<'_> {
        // It was read once, so it is read again.
        Members(Fields::of(self.text.as_bytes()).ok())
    }
}

/// The members of an object; none of what is no object.
pub(crate) struct Members<'a>(Option<Fields<'a>>);

impl<'a> Members<'a> {
    pub(crate) fn of(value: Option<&'a RawValue>) -> Self {
        Self(value.and_then(|value| Fields::of(value.get().as_bytes()).ok()))
    }

    pub(crate) fn is_object(&self) -> bool {
        self.0.is_some()
    }

    /// What is there and not `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.as_ref()?.get(name).filter(|value| value.get() != "null")
    }

    /// The object with these members set, each to JSON text; nothing of what is no object.
    pub(crate) fn with(&self, changes: &[(&str, &str)]) -> Bytes {
        self.0.as_ref().map(|fields| fields.with(changes)).unwrap_or_default()
    }

    /// Every member that is not `null`, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().flat_map(Fields::iter).filter(|(_, value)| value.get() != "null")
    }

    pub(crate) fn object(&self, name: &str) -> Self {
        Self::of(self.get(name))
    }

    /// The elements of an array; none of anything else.
    pub(crate) fn list(&self, name: &str) -> Vec<&'a RawValue> {
        self.get(name).and_then(|value| serde_json::from_str(value.get()).ok()).unwrap_or_default()
    }

    /// A text, half of an emoji in it told as one character that stands for what cannot be read.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        text(self.get(name)?)
    }

    /// An id: a text, or a number as one.
    pub(crate) fn id(&self, name: &str) -> Option<String> {
        let value = self.get(name)?;
        text(value).or_else(|| is_number(value).then(|| value.get().to_owned())).filter(|id| !id.is_empty())
    }

    /// A count: a number, a fraction cut off, or a text that says one.
    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        count(self.get(name)?)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }
}

pub(crate) fn text(value: &RawValue) -> Option<String> {
    value.get().starts_with('"').then(|| Halves::default().read_all(value))
}

pub(crate) fn count(value: &RawValue) -> Option<u64> {
    let said = text(value).unwrap_or_else(|| value.get().to_owned());
    if let Ok(count) = said.trim().parse() {
        return Some(count);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count of tokens, and `as` saturates"
    )]
    said.trim().parse::<f64>().ok().filter(|count| count.is_finite() && *count >= 0.0).map(|count| count as u64)
}

/// `null`, `false`, `0`, and what is empty: what servers write where they have nothing to say.
pub(crate) fn says_nothing(value: &RawValue) -> bool {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'[' | b'{') => text[1..text.len() - 1].trim_ascii().is_empty(),
        _ => matches!(text, "null" | "false" | "0" | "\"\""),
    }
}

fn is_number(value: &RawValue) -> bool {
    value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
}

/// Texts that come one after another, of which one may end in the first half of a character whose second half begins the
/// next: `"\ud83d"`, then `"\ude00"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Halves {
    first: Option<u16>,
}

impl Halves {
    /// The text so far; a first half at its end is kept for what comes next.
    pub(crate) fn read(&mut self, value: &RawValue) -> String {
        let Some(inner) = value.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            return String::new();
        };
        let mut text = String::with_capacity(inner.len());
        let mut rest = inner;
        while let Some(at) = rest.find('\\') {
            if at > 0 {
                self.end(&mut text);
                text.push_str(&rest[..at]);
            }
            let escape = rest[at + 1..].chars().next();
            if escape == Some('u') {
                let digits = rest.get(at + 2..at + 6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                self.unit(digits.unwrap_or(0xfffd), &mut text);
                rest = rest.get(at + 6..).unwrap_or_default();
                continue;
            }
            self.end(&mut text);
            text.push(match escape {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some(other) => other,
                None => '\\',
            });
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        if !rest.is_empty() {
            self.end(&mut text);
            text.push_str(rest);
        }
        text
    }

    fn read_all(mut self, value: &RawValue) -> String {
        let mut text = self.read(value);
        self.end(&mut text);
        text
    }

    /// Nothing follows: a half that is left stands for a character nobody can read.
    pub(crate) fn end(&mut self, text: &mut String) {
        if self.first.take().is_some() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn unit(&mut self, unit: u16, text: &mut String) {
        match (self.first.take(), unit) {
            (Some(first), 0xdc00..=0xdfff) => {
                text.extend(char::decode_utf16([first, unit]).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)));
            }
            (first, unit) => {
                if first.is_some() {
                    text.push(char::REPLACEMENT_CHARACTER);
                }
                match unit {
                    0xd800..=0xdbff => self.first = Some(unit),
                    unit => text.push(char::from_u32(u32::from(unit)).unwrap_or(char::REPLACEMENT_CHARACTER)),
                }
            }
        }
    }
}

/// The text with `null` where Python and its like write numbers that are none; `None` when there is no such word outside a
/// string.
fn without_foreign_words(text: &str) -> Option<String> {
    const WORDS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];
    let (mut mended, mut found, mut rest) = (String::with_capacity(text.len()), false, text);
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let end = end_of_string(rest);
            mended.push_str(&rest[..end]);
            rest = &rest[end..];
        } else if let Some(word) = WORDS.iter().find(|word| rest.starts_with(**word)) {
            mended.push_str("null");
            rest = &rest[word.len()..];
            found = true;
        } else {
            mended.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    found.then_some(mended)
}

/// Behind the quote that ends the string this begins with.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn every_field_is_read_by_itself() {
        let body = br#"{"id":17,"name":"\ud83d\ude00 \ud83d x","a":1.9,"b":"12","c":[],"d":null,"e":{"f":true},"g":-1,"h":NaN,"i":"NaN"}"#;
        let object = Object::of(body).unwrap();
        let fields = object.fields();
        assert_eq!((fields.id("id").as_deref(), fields.id("name").as_deref()), (Some("17"), Some("😀 \u{fffd} x")));
        assert_eq!((fields.count("a"), fields.count("b"), fields.count("c")), (Some(1), Some(12), None));
        assert_eq!((fields.count("d"), fields.count("g"), fields.count("h")), (None, None, None));
        assert_eq!((fields.text("i").as_deref(), fields.text("id")), (Some("NaN"), None));
        assert_eq!((fields.list("c").len(), fields.list("e").len()), (0, 0));
        assert!(!fields.object("id").is_object());
        for body in [&b"[]"[..], b"{", b"\xff", b"NaN", b"{\"a\":Nan}"] {
            assert!(Object::of(body).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn an_emoji_cut_in_two_is_whole_again() {
        let mut halves = Halves::default();
        assert_eq!(halves.read(&raw(r#""a \ud83d""#)), "a ");
        assert_eq!(halves.read(&raw(r#""\ude00 b""#)), "😀 b");
        assert_eq!(halves.read(&raw(r#""\ud83d""#)), "");
        assert_eq!(halves.read(&raw(r#""c""#)), "\u{fffd}c");
        assert_eq!(halves.read(&raw(r#""\ude00""#)), "\u{fffd}");
        let mut text = String::new();
        assert_eq!(halves.read(&raw(r#""\ud83d""#)), "");
        halves.end(&mut text);
        assert_eq!((text.as_str(), halves), ("\u{fffd}", Halves::default()));
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_json_has_it(text in any::<String>()) {
            let written = Value::from(text.as_str()).to_string();
            prop_assert_eq!(super::text(&raw(&written)), Some(text));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Object::of(&bytes).map(|object| object.fields().text("a"));
        }

        #[test]
        fn foreign_words_go_and_nothing_else_does(text in r#"[a-z" :,{}\\NaInfty-]{0,40}"#) {
            if let Some(mended) = without_foreign_words(&text) {
                prop_assert!(mended.contains("null"));
            }
        }
    }
}
