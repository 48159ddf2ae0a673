//! JSON that means the same to everybody who reads it: RFC 7493, and no deeper than [`DEPTH`].
//!
//! A reader that has nothing but doubles, JavaScript above all, and RFC 8785 with it, turns `9007199254740993` into
//! `9007199254740992`: two different arguments would get one digest. And of two members with one name some readers keep the
//! first, others the last: a person could be shown another command than the one that runs. So what readers would take
//! differently is refused where it enters, with its place and what to do instead.

use serde_json::{Number, Value};
use std::{borrow::Cow, collections::HashSet, ops::Range};
use thiserror::Error;

/// Levels of arrays and objects. Arguments of real tools have four or five. Parsers stop at 128, and an answer puts some
/// levels around what it tells.
pub const DEPTH: usize = 64;
/// Integers beyond it, either way, have neighbours that a double cannot tell from them: 2^53 - 1.
pub const LARGEST_INTEGER: u64 = (1 << 53) - 1;
/// Decimal digits that a double may need; further ones are lost.
const DIGITS: usize = 17;
/// From here on RFC 8785 writes an exponent, so that nobody takes the number for an integer.
const FIRST_WITH_EXPONENT: f64 = 1e21;
/// Characters of a number that a message repeats.
const SHOWN: usize = 40;

/// What would not mean the same to everybody, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{problem}")]
pub struct Flaw {
    /// RFC 6901.
    pub pointer: String,
    pub problem: FlawKind,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FlawKind {
    #[error(
        "is {0}; integers from -{LARGEST_INTEGER} to {LARGEST_INTEGER} keep their value with every reader (RFC 7493). \
         Send it as a string"
    )]
    Integer(String),
    #[error("is {0}, which no double holds as it is (RFC 7493). Send at most {DIGITS} digits, or a string")]
    Precision(String),
    #[error(
        "has a name that its object has already, and readers differ in which one they keep (RFC 7493). Name it once"
    )]
    Repeated,
    #[error("is nested more than {DEPTH} levels deep. Send it flatter, or as a string")]
    Depth,
}

/// Checks JSON text before it is parsed, in one pass that remembers the names in the objects around the place it has come to.
/// Of text that is no JSON it may say anything.
pub fn check_text(text: &str) -> Result<(), Flaw> {
    let bytes = text.as_bytes();
    let mut places: Vec<Place<'_>> = Vec::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let end = match byte {
            b'"' => end_of_string(bytes, at),
            b'-' | b'0'..=b'9' => end_of_number(bytes, at),
            _ => at + 1,
        };
        match byte {
            b'{' | b'[' => {
                if places.len() == DEPTH {
                    return Err(Flaw { pointer: pointer(text, &places), problem: FlawKind::Depth });
                }
                places.push(if byte == b'[' { Place::Element(0) } else { Place::Member(Member::default()) });
            }
            b'}' | b']' => drop(places.pop()),
            b',' => match places.last_mut() {
                Some(Place::Element(index)) => *index += 1,
                Some(Place::Member(member)) => member.is_named = false,
                None => {}
            },
            b':' => {
                if let Some(Place::Member(member)) = places.last_mut()
                    && !std::mem::replace(&mut member.is_named, true)
                    && !member.names.insert(name(text, &member.name))
                {
                    return Err(Flaw { pointer: pointer(text, &places), problem: FlawKind::Repeated });
                }
            }
            b'"' => {
                if let Some(Place::Member(member)) = places.last_mut()
                    && !member.is_named
                {
                    member.name = at..end;
                }
            }
            b'-' | b'0'..=b'9' => {
                if let Some(problem) = flaw_of_text(&text[at..end]) {
                    return Err(Flaw { pointer: pointer(text, &places), problem });
                }
            }
            _ => {}
        }
        at = end;
    }
    Ok(())
}

/// Checks a value that was made here or has been parsed.
pub fn check(value: &Value) -> Result<(), Flaw> {
    let mut path = Vec::new();
    check_below(value, &mut path).map_err(|problem| Flaw { pointer: path.concat(), problem })
}

fn check_below(value: &Value, path: &mut Vec<String>) -> Result<(), FlawKind> {
    match value {
        Value::Number(number) => flaw_of_number(number).map_or(Ok(()), Err),
        Value::Array(_) | Value::Object(_) if path.len() == DEPTH => Err(FlawKind::Depth),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            path.push(format!("/{index}"));
            check_below(item, path)?;
            path.pop();
            Ok(())
        }),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            path.push(format!("/{}", escaped(name)));
            check_below(member, path)?;
            path.pop();
            Ok(())
        }),
        Value::Null | Value::Bool(_) | Value::String(_) => Ok(()),
    }
}

/// One part of a pointer, as RFC 6901 writes it.
pub fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

enum Place<'a> {
    /// Of an array, the element that comes.
    Element(usize),
    Member(Member<'a>),
}

/// Of an object, the member that comes.
#[derive(Default)]
struct Member<'a> {
    /// Where it stands, quotes included, once it was read.
    name: Range<usize>,
    /// The colon after it was read.
    is_named: bool,
    /// Of all members up to here.
    names: Names<'a>,
}

/// The names in an object. Nearly all objects have few, which are compared one by one; the others pay for a table.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 16;

    /// Whether it is new.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() < Self::FEW {
            self.few.push(name);
            return true;
        }
        self.many.insert(name)
    }
}

/// What a name in the text says.
fn name<'a>(text: &'a str, at: &Range<usize>) -> Cow<'a, str> {
    let quoted = text.get(at.clone()).unwrap_or_default();
    match quoted.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(name) if !name.contains('\\') => name.into(),
        _ => serde_json::from_str::<String>(quoted).unwrap_or_default().into(),
    }
}

fn pointer(text: &str, places: &[Place<'_>]) -> String {
    let mut pointer = String::new();
    for place in places {
        let part = match place {
            Place::Element(index) => index.to_string(),
            Place::Member(member) => escaped(&name(text, &member.name)),
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
}

fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn end_of_number(bytes: &[u8], start: usize) -> usize {
    let length = bytes[start..].iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    length.map_or(bytes.len(), |length| start + length)
}

fn flaw_of_text(text: &str) -> Option<FlawKind> {
    let double: f64 = text.parse().ok()?;
    let is_integer = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0').trim_end_matches('0').len();
    let shown = || text.chars().take(SHOWN).collect();
    if reads_as_large_integer(double) || (is_integer && double.abs() > LARGEST_INTEGER as f64) {
        return Some(FlawKind::Integer(shown()));
    }
    let is_lost = !double.is_finite() || (double == 0.0 && digits > 0) || digits > DIGITS;
    is_lost.then(|| FlawKind::Precision(shown()))
}

fn flaw_of_number(number: &Number) -> Option<FlawKind> {
    // Compared as what it is: as a double, the first integer that is too large looks like the last that is not.
    let is_large = match (number.as_u64(), number.as_i64()) {
        (Some(integer), _) => integer > LARGEST_INTEGER,
        (None, Some(integer)) => integer.unsigned_abs() > LARGEST_INTEGER,
        (None, None) => number.as_f64().is_some_and(reads_as_large_integer),
    };
    is_large.then(|| FlawKind::Integer(number.to_string()))
}

/// Every double of this size is a whole number, and is written as one.
fn reads_as_large_integer(double: f64) -> bool {
    let size = double.abs();
    size > LARGEST_INTEGER as f64 && size < FIRST_WITH_EXPONENT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &str) -> Option<(String, FlawKind)> {
        let of_text = check_text(text).err();
        of_text.map(|flaw| (flaw.pointer, flaw.problem))
    }

    #[test]
    fn numbers_that_every_reader_keeps_pass() {
        for text in [
            "0",
            "-0",
            "9007199254740991",
            "-9007199254740991",
            "9007199254740991.0",
            "0.1",
            "0.10000000000000001",
            "5e-324",
            "6.02214076e23",
            "1.7976931348623157e308",
            "100e-2",
            "0.00000000000000000000000012",
            "12000000.00000000000000000000000",
        ] {
            assert_eq!(flaw(text), None, "{text}");
            assert_eq!(check(&serde_json::from_str(text).unwrap()), Ok(()), "{text}");
        }
    }

    #[test]
    fn numbers_that_some_reader_changes_are_refused() {
        for text in [
            "9007199254740992",
            "9007199254740993",
            "-9007199254740993",
            "18446744073709551615",
            "18446744073709551617",
            "1e16",
            "100000000000000000000",
            "1000000000000000000000000000",
        ] {
            assert_eq!(flaw(text), Some((String::new(), FlawKind::Integer(text.into()))), "{text}");
        }
        for text in ["3.14159265358979323846", "1e-400", "1e400", "123456789.0123456789"] {
            assert_eq!(flaw(text), Some((String::new(), FlawKind::Precision(text.into()))), "{text}");
        }
        for text in ["9007199254740992", "-9007199254740992", "18446744073709551615", "1e16", "99999999999999999999"] {
            assert!(check(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_flaw_is_pointed_at() {
        for (text, pointer) in [
            (r#"{"a": [1, {"b/c~": {"\u00e9\"]": 9007199254740993}}]}"#, "/a/1/b~1c~0/é\"]"),
            (r#"[[], {}, "9007199254740993", [0, 1, 9007199254740993]]"#, "/3/2"),
            (r#"{"9007199254740993": ":,{[", "x": {"y": []}, "z": 9007199254740993}"#, "/z"),
            (r#"{"": 9007199254740993}"#, "/"),
        ] {
            let expected = Some((pointer.to_owned(), FlawKind::Integer("9007199254740993".into())));
            assert_eq!(flaw(text), expected, "{text}");
            let of_value = check(&serde_json::from_str(text).unwrap()).unwrap_err();
            assert_eq!(Some((of_value.pointer, of_value.problem)), expected, "{text}");
        }
    }

    #[test]
    fn no_object_has_a_name_twice() {
        for (text, pointer) in [
            (r#"{"a": 1, "a": 2}"#, "/a"),
            (r#"{"a": 1, "\u0061": 1}"#, "/a"),
            (r#"[{"x": {"command": "ls", "cwd": {"command": 1}, "command": "rm"}}]"#, "/0/x/command"),
            (r#"{"": 1, "": 2}"#, "/"),
            (r#"{"a/b\"": {}, "b": [], "a/b\"": "b"}"#, "/a~1b\""),
        ] {
            assert_eq!(flaw(text), Some((pointer.to_owned(), FlawKind::Repeated)), "{text}");
        }
        for text in [
            r#"{"a": "a", "b": "a", "c": ["a", "a"], "A": {"a": {"a": "a"}}}"#,
            r#"[{"a": 1}, {"a": 1}, "a", "a"]"#,
            r#"{"a": {"b": 1}, "b": {"b": 1, "a": 1}}"#,
        ] {
            assert_eq!(flaw(text), None, "{text}");
        }
        let wide: Vec<_> = (0..200_000).map(|number| format!("\"{number}\":0")).collect();
        assert_eq!(flaw(&format!("{{{}}}", wide.join(","))), None);
        assert!(matches!(flaw(&format!("{{{},\"7\":0}}", wide.join(","))), Some((_, FlawKind::Repeated))));
    }

    #[test]
    fn sixty_four_levels_are_read_and_no_more() {
        let nested = |levels: usize| format!("{}1{}", r#"{"a":["#.repeat(levels / 2), "]}".repeat(levels / 2));
        assert_eq!(flaw(&nested(64)), None);
        assert_eq!(check(&serde_json::from_str(&nested(64)).unwrap()), Ok(()));
        assert_eq!(flaw(&nested(66)), Some(("/a/0".repeat(32), FlawKind::Depth)));
        let of_value = check(&serde_json::from_str(&nested(66)).unwrap()).unwrap_err();
        assert_eq!(of_value, Flaw { pointer: "/a/0".repeat(32), problem: FlawKind::Depth });
        assert!(matches!(flaw(&"[".repeat(1_000_000)), Some((_, FlawKind::Depth))));
        assert_eq!(flaw(&format!("[{}]", vec!["[]"; 1_000].join(","))), None, "wide is not deep");
    }

    proptest::proptest! {
        /// Whatever passes comes back as it was from a reader that has only doubles.
        #[test]
        fn what_passes_survives_doubles(number: i64, text in "[-0-9eE.+\\[\\]{}\",:a\\\\ ]{0,40}") {
            let kept = number as f64 as i128 == i128::from(number) && number.unsigned_abs() <= LARGEST_INTEGER;
            proptest::prop_assert_eq!(check_text(&number.to_string()).is_ok(), kept);
            // No text makes it panic.
            let _ = check_text(&text);
        }
    }
}
