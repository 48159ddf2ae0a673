//! The lines of an Ollama's answer as the one body that it would have sent to who asked for no stream: what it counted, and
//! content that has no words here, with it. What a last line repeats is there once, as in the reader.

use crate::wire::lenient::{Halves, Members, Object};
use bytes::Bytes;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

/// Of these each line has a piece. Arrays are gathered, too; of everything else the last one counts.
const TEXTS: [&str; 3] = ["content", "thinking", "response"];

/// `None` when they are not the lines of a whole answer.
pub(crate) fn joined(lines: &[Bytes]) -> Option<Bytes> {
    let mut whole = Gathered::default();
    let mut is_done = false;
    for line in lines {
        let object = Object::of(line).ok()?;
        let line = object.fields();
        is_done = line.flag("done").unwrap_or(false);
        whole.add(&line, is_done);
    }
    is_done.then(|| Bytes::from(whole.finish()))
}

#[derive(Default)]
struct Gathered {
    members: Vec<(String, Member)>,
}

enum Member {
    Text(String, Halves),
    List(Vec<Box<RawValue>>),
    Message(Gathered),
    Other(Box<RawValue>),
}

impl Gathered {
    fn add(&mut self, line: &Members<'_>, is_done: bool) {
        for (name, value) in line.iter() {
            let text = value.get();
            let list = || serde_json::from_str::<Vec<Box<RawValue>>>(text).unwrap_or_default();
            let there = self.members.iter_mut().find(|(known, _)| known == name).map(|(_, member)| member);
            match there {
                Some(Member::Text(so_far, halves)) if text.starts_with('"') => {
                    let more = halves.read(value);
                    if !(is_done && *so_far == more) {
                        so_far.push_str(&more);
                    }
                }
                Some(Member::List(items)) if text.starts_with('[') => {
                    let known = items.len();
                    for item in list() {
                        let mut before = items[..known].iter();
                        let has_id = Members::of(Some(&item)).id("id").is_some();
                        if !(has_id && before.any(|known| known.get() == item.get())) {
                            items.push(item);
                        }
                    }
                }
                Some(Member::Message(message)) if text.starts_with('{') => {
                    message.add(&Members::of(Some(value)), is_done);
                }
                Some(other) => *other = Member::Other(value.to_owned()),
                None => {
                    let member = if TEXTS.contains(&name) && text.starts_with('"') {
                        let mut halves = Halves::default();
                        Member::Text(halves.read(value), halves)
                    } else if text.starts_with('[') {
                        Member::List(list())
                    } else if name == "message" && text.starts_with('{') {
                        let mut message = Self::default();
                        message.add(&Members::of(Some(value)), is_done);
                        Member::Message(message)
                    } else {
                        Member::Other(value.to_owned())
                    };
                    self.members.push((name.to_owned(), member));
                }
            }
        }
    }

    fn finish(self) -> String {
        let members = self.members.into_iter().map(|(name, member)| {
            let value = match member {
                Member::Text(mut text, mut halves) => {
                    halves.end(&mut text);
                    Value::from(text).to_string()
                }
                Member::List(items) => {
                    to_raw_value(&items).map_or_else(|_| "[]".to_owned(), |items| items.get().to_owned())
                }
                Member::Message(message) => message.finish(),
                Member::Other(value) => value.get().to_owned(),
            };
            format!("{}:{value}", Value::from(name))
        });
        format!("{{{}}}", members.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> Option<String> {
        let lines: Vec<_> = lines.iter().map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
        joined(&lines).map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn lines_are_one_body_with_everything_in_it() {
        for (lines, expected) in [
            (
                &[
                    r#"{"model":"m","created_at":"1","message":{"role":"assistant","content":"","thinking":"Hm"},"done":false}"#,
                    r#"{"model":"m","created_at":"2","message":{"role":"assistant","content":"\ud83d","thinking":"."},"done":false}"#,
                    r#"{"model":"m","created_at":"3","message":{"role":"assistant","content":"\ude00","images":["a"],"tool_calls":[{"x":1.50}]},"done":false}"#,
                    r#"{"model":"m","created_at":"4","message":{"role":"assistant","content":"!","images":["b"],"tool_calls":[{"y":1}]},"done":true,"eval_duration":12345678901234567890}"#,
                ][..],
                Some(
                    r#"{"model":"m","created_at":"4","message":{"role":"assistant","content":"😀!","thinking":"Hm.","images":["a","b"],"tool_calls":[{"x":1.50},{"y":1}]},"done":true,"eval_duration":12345678901234567890}"#,
                ),
            ),
            (
                &[r#"{"response":"a","done":false}"#, r#"{"response":"b","done":true,"context":[1,2]}"#],
                Some(r#"{"response":"ab","done":true,"context":[1,2]}"#),
            ),
            (&[r#"{"response":"a","done":false}"#], None),
            (&["<odd>", r#"{"response":"b","done":true}"#], None),
            (&[], None),
        ] {
            assert_eq!(of(lines).as_deref(), expected);
        }
    }
}
