//! JSON as models write it: with line ends inside strings, commas before a closing bracket, Python's quotes and literals,
//! and without the last brackets. Strict readers see none of that, and it is plain what was meant.
//!
//! A text that ends inside a string is another matter: nobody knows how it went on, so it is `cut` and never used. Each
//! byte is looked at once.

use serde_json::{Map, Number, Value};

/// Deeper nesting is nobody's tool call.
const DEPTH: usize = 32;

/// What was read, and how much of it there is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) value: Value,
    /// Where it ends, in bytes from its beginning.
    pub(super) length: usize,
    /// It ends in the middle of a string or of a word.
    pub(super) cut: bool,
}

/// The object or array a text begins with. `None` where it is none, however generously one looks.
pub(super) fn read(text: &str) -> Option<Read> {
    let mut reader = Reader { text, at: 0, cut: false };
    if !text.starts_with(['{', '[']) {
        return None;
    }
    let value = reader.value(DEPTH)?;
    Some(Read { value, length: reader.at, cut: reader.cut })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    cut: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn takes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip_space();
        match self.peek()? {
            b'{' if depth > 0 => self.object(depth - 1),
            b'[' if depth > 0 => self.array(depth - 1),
            b'"' | b'\'' | b'`' => self.string().map(Value::String),
            _ => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut members = Map::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => return Some(Value::Object(members)),
                Some(b'}') => {
                    self.at += 1;
                    return Some(Value::Object(members));
                }
                Some(b',') => self.at += 1,
                Some(b'"' | b'\'') => {
                    let name = self.string()?;
                    self.skip_space();
                    if self.peek().is_none() {
                        self.cut = true;
                        return Some(Value::Object(members));
                    }
                    if !self.takes(b':') {
                        return None;
                    }
                    self.skip_space();
                    if self.peek().is_none() {
                        self.cut = true;
                        return Some(Value::Object(members));
                    }
                    members.insert(name, self.value(depth)?);
                }
                Some(_) => return None,
            }
        }
    }

    fn array(&mut self, depth: usize) -> Option<Value> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => return Some(Value::Array(items)),
                Some(b']') => {
                    self.at += 1;
                    return Some(Value::Array(items));
                }
                Some(b',') => self.at += 1,
                Some(_) => items.push(self.value(depth)?),
            }
        }
    }

    fn string(&mut self) -> Option<String> {
        let quote = char::from(self.peek()?);
        // Python's long strings, for what has several lines.
        let long: String = std::iter::repeat_n(quote, 3).collect();
        if quote != '`' && self.rest().starts_with(&long) {
            self.at += long.len();
            let (text, end) = match self.rest().find(&long) {
                Some(end) => (&self.rest()[..end], end + long.len()),
                None => {
                    self.cut = true;
                    (self.rest(), self.rest().len())
                }
            };
            self.at += end;
            return Some(text.to_owned());
        }
        self.at += 1;
        let mut text = String::new();
        let rest = self.rest();
        let mut characters = rest.char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '\\' => match characters.next() {
                    Some((_, 'u')) => {
                        let (decoded, used) = unicode(&rest[at..]);
                        text.push(decoded);
                        (2..used).for_each(|_| _ = characters.next());
                    }
                    Some((_, escaped)) => push_escaped(&mut text, escaped),
                    None => break,
                },
                _ if character == quote => {
                    self.at += at + character.len_utf8();
                    return Some(text);
                }
                _ => text.push(character),
            }
        }
        self.at = self.text.len();
        self.cut = true;
        Some(text)
    }

    /// A number, `true` and its like.
    fn word(&mut self) -> Option<Value> {
        let rest = self.rest();
        let end = rest
            .find(|character: char| !character.is_ascii_alphanumeric() && !"+-._".contains(character))
            .unwrap_or(rest.len());
        let word = &rest[..end];
        self.at += end;
        // The next characters could have been part of it.
        self.cut |= end == rest.len();
        match word {
            "true" | "True" => Some(Value::Bool(true)),
            "false" | "False" => Some(Value::Bool(false)),
            "null" | "None" => Some(Value::Null),
            _ => word.parse::<Number>().ok().map(Value::Number),
        }
    }
}

/// What stands behind a backslash. One that means nothing was meant as a backslash, as in a pattern.
fn push_escaped(text: &mut String, escaped: char) {
    match escaped {
        'n' => text.push('\n'),
        't' => text.push('\t'),
        'r' => text.push('\r'),
        'b' => text.push('\u{8}'),
        'f' => text.push('\u{c}'),
        '"' | '\'' | '\\' | '/' | '`' | '\n' => text.push(escaped),
        other => text.extend(['\\', other]),
    }
}

/// The character that `\uXXXX`, or a pair of them, stands for, and how many characters that took.
fn unicode(text: &str) -> (char, usize) {
    let unit = |text: &str| u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok();
    let Some(first) = unit(text) else { return ('\u{fffd}', 2) };
    let low = text.get(6..).and_then(unit).filter(|low| (0xdc00..0xe000).contains(low));
    match (first, low) {
        (0xd800..0xdc00, Some(low)) => {
            let joined = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
            (char::from_u32(joined).unwrap_or('\u{fffd}'), 12)
        }
        _ => (char::from_u32(first).unwrap_or('\u{fffd}'), 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn value(text: &str) -> Value {
        let read = read(text).unwrap_or_else(|| panic!("{text}"));
        assert!(!read.cut, "{text}");
        read.value
    }

    #[test]
    fn reads_what_models_write_instead_of_json() {
        let expected = json!({"action": "run", "command": "ls"});
        for text in [
            r#"{"action": "run", "command": "ls"}"#,
            r#"{"action": "run", "command": "ls",}"#,
            r#"{"action": "run", "command": "ls""#,
            r#"{'action': 'run', 'command': 'ls'}"#,
            r#"{"action": "run", "command": """ls"""}"#,
            r#"{"action": "run", "command": `ls`}"#,
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        assert_eq!(value("{\"a\": \"x\n\ty\"}"), json!({"a": "x\n\ty"}), "line ends as they are");
        assert_eq!(value(r#"{"a": "\d+\u00e9\ud83d\ude00\n"}"#), json!({"a": "\\d+é😀\n"}));
        assert_eq!(value("[1, 2.5, True, None,]"), json!([1, 2.5, true, null]));
    }

    #[test]
    fn what_ends_within_a_string_is_cut() {
        for text in [r#"{"command": "rm -rf ./bui"#, r#"{"command"#, r#"{"command":"#, r#"{"to": 1"#, "{\"a\": \"\"\"x"]
        {
            assert!(read(text).is_some_and(|read| read.cut), "{text}");
        }
    }

    #[test]
    fn code_is_no_json() {
        for text in ["{ let x = 1; }", "{}}", "{a: 1}", "[x for x in y]"] {
            assert!(read(text).is_none_or(|read| read.value == json!({})), "{text}");
        }
    }

    #[test]
    fn a_megabyte_of_brackets_is_read_in_one_go() {
        assert_eq!(read(&"[".repeat(1 << 20)), None);
        assert_eq!(read(&"{\"a\":".repeat(1 << 18)), None);
    }

    proptest! {
        #[test]
        fn good_json_means_what_it_says(text in "[ -~é😀\n]{0,40}", number in any::<i32>()) {
            let expected = json!({"text": text, "list": [number, null, {"deep": true}]});
            prop_assert_eq!(value(&expected.to_string()), expected);
        }

        #[test]
        fn no_text_makes_it_panic(text in "[\\[{][\\[\\]{}\"'`:,\\\\u0-9a-fé\n ]{0,60}") {
            let _ = read(&text);
        }
    }
}
