//! Calls behind Mistral's mark: a list of objects, or each name with its arguments.
//!
//! ```text
//! [TOOL_CALLS][{"name": "run", "arguments": {"command": "ls"}}]
//! [TOOL_CALLS]run[ARGS]{"command": "ls"}           [TOOL_CALLS]run[CALL_ID]x1y2z3[ARGS]{"command": "ls"}
//! ```

use super::{LOOKED_AT, json, said::Said};
use serde_json::Value;

pub(super) const MARKS: &[&str] = &["[TOOL_CALLS]"];

pub(super) fn calls(text: &str) -> Vec<Said<'static>> {
    let mut calls = Vec::new();
    for part in text.split(MARKS[0]).skip(1).take(LOOKED_AT) {
        let part = part.trim_start();
        if part.starts_with(['[', '{']) {
            let Some(read) = json::read(part) else { continue };
            let objects = match &read.value {
                Value::Array(items) => items.iter().collect(),
                one => vec![one],
            };
            calls.extend(objects.into_iter().filter_map(Said::of).map(|said| Said { cut: read.cut, ..said }));
        } else if let Some(open) = part.find('{') {
            let name = part[..open].split('[').next().unwrap_or_default();
            let Some(read) = json::read(&part[open..]) else { continue };
            let cut = read.cut;
            calls.push(Said { cut, ..Said::new(name.trim(), read.value) });
        }
    }
    calls
}
