//! Calls in the channels of gpt-oss, where its runtime passed them on as text, with the marks or without them.
//!
//! ```text
//! <|channel|>analysis<|message|>…<|end|><|start|>assistant
//! <|channel|>commentary to=functions.run <|constrain|>json<|message|>{"command": "ls"}<|call|>
//! <|channel|>final<|message|>…
//! ```

use super::{LOOKED_AT, json, said::Said};

pub(super) const MARKS: &[&str] = &["<|channel|>", "to=functions."];

const TO: &str = "to=";

pub(super) fn calls(text: &str) -> Vec<Said<'static>> {
    let mut calls = Vec::new();
    let mut rest = text;
    for _ in 0..LOOKED_AT {
        let Some(at) = rest.find(TO) else { break };
        rest = &rest[at + TO.len()..];
        let end = rest.find(|character: char| !character.is_ascii_alphanumeric() && !"._-".contains(character));
        let (name, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        // Another channel, or another call, before any JSON.
        let Some(open) = after.find('{') else { break };
        if after[..open].contains(TO) {
            continue;
        }
        let Some(read) = json::read(&after[open..]) else { continue };
        rest = &after[open + read.length..];
        let cut = read.cut;
        calls.push(Said { cut, ..Said::new(name, read.value) });
    }
    calls
}

/// What it says to people, without its thoughts and marks.
pub(super) fn said_to_people(text: &str) -> &str {
    const FINAL: &str = "<|channel|>final<|message|>";
    let text = text.rfind(FINAL).map_or(text, |at| &text[at + FINAL.len()..]);
    ["<|return|>", "<|end|>"].iter().fold(text, |text, mark| text.trim_end().strip_suffix(mark).unwrap_or(text))
}
