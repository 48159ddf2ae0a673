//! Calls behind Llama's mark: objects one after the other.
//!
//! ```text
//! <|python_tag|>{"name": "run", "parameters": {"command": "ls"}}; {"name": …}
//! ```
//! Without the mark they are objects like any others, and with `<function=` they are read as [`super::qwen`] reads them.

use super::{LOOKED_AT, json, said::Said};

pub(super) const MARKS: &[&str] = &["<|python_tag|>"];

pub(super) fn calls(text: &str) -> Vec<Said<'static>> {
    let Some((_, mut rest)) = text.split_once(MARKS[0]) else { return Vec::new() };
    let mut calls = Vec::new();
    for _ in 0..LOOKED_AT {
        rest = rest.trim_start_matches(|character: char| character.is_whitespace() || ";,".contains(character));
        let Some(read) = json::read(rest) else { break };
        let Some(said) = Said::of(&read.value) else { break };
        calls.push(Said { cut: read.cut, ..said });
        rest = &rest[read.length..];
    }
    calls
}
