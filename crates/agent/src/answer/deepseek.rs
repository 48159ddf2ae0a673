//! Calls between DeepSeek's marks, and Kimi's, which are built alike.
//!
//! ````text
//! <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>run     V3, R1
//! ```json
//! {"command": "ls"}
//! ```<｜tool▁call▁end｜><｜tool▁calls▁end｜>
//! <｜tool▁call▁begin｜>run<｜tool▁sep｜>{"command": "ls"}<｜tool▁call▁end｜>     V3.1
//! <|tool_call_begin|>functions.run:0<|tool_call_argument_begin|>{"command": "ls"}<|tool_call_end|>     Kimi K2
//! ````

use super::{LOOKED_AT, json, said::Said};

pub(super) const MARKS: &[&str] = &["<｜tool▁call▁begin｜>", "<｜tool▁calls▁begin｜>", "<|tool_call_begin|>"];

const BEGIN: [&str; 2] = [MARKS[0], MARKS[2]];
const SEPARATORS: [&str; 2] = ["<｜tool▁sep｜>", "<|tool_call_argument_begin|>"];

pub(super) fn calls(text: &str) -> Vec<Said<'static>> {
    let mut calls = Vec::new();
    let mut rest = text;
    for _ in 0..LOOKED_AT {
        let Some((at, mark)) = first_of(rest, &BEGIN) else { break };
        rest = &rest[at + mark.len()..];
        let this = first_of(rest, &BEGIN).map_or(rest, |(next, _)| &rest[..next]);
        let Some((at, separator)) = first_of(this, &SEPARATORS) else { continue };
        let before = this[..at].trim();
        let after = &this[at + separator.len()..];
        let Some(open) = after.find('{') else { continue };
        // Before the separator stands the kind of call, or the name itself.
        let name = match before {
            "function" => after[..open].lines().next().unwrap_or_default().trim(),
            name => name,
        };
        let Some(read) = json::read(&after[open..]) else { continue };
        let cut = read.cut;
        calls.push(Said { cut, ..Said::new(name, read.value) });
    }
    calls
}

fn first_of<'m>(text: &str, marks: &[&'m str]) -> Option<(usize, &'m str)> {
    marks.iter().filter_map(|mark| Some((text.find(mark)?, *mark))).min()
}
