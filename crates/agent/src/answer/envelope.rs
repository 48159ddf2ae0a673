//! Our own form, and JSON objects wherever they stand: in a row, in a list, in a fence of their own.
//!
//! ````text
//! {"thought": "see what is there", "action": "run"}
//! ```sh
//! ls -la
//! ```
//! ````
//!
//! What a call carries stands outside the JSON as fenced blocks, because models write worse code inside JSON strings.
//! An object inside the block of another call is that call's text and never a call.

use super::{LOOKED_AT, fence, json, said::Said};
use serde_json::Value;

/// Between a call and its block there is a word at most, in bytes.
const GAP: usize = 200;

/// Every call, in order, and where the first one begins.
pub(super) fn calls(text: &str) -> (Vec<Said<'_>>, usize) {
    let mut calls: Vec<Said<'_>> = Vec::new();
    let mut first = text.len();
    let mut at = 0;
    for _ in 0..LOOKED_AT {
        let Some(Place { start, end, found }) = next_place(text, at) else { break };
        at = end;
        if calls.is_empty() && !found.is_empty() {
            first = start;
        }
        for mut call in found {
            at = take_blocks(&mut call, text, at);
            calls.push(call);
        }
    }
    (calls, first)
}

/// Whether a text begins with a call in JSON, whatever follows. One that is not closed counts as well.
pub(super) fn begins_with_call(text: &str) -> bool {
    json::read(text.trim_start()).is_some_and(|read| !said(&read).is_empty())
}

/// A block, or JSON outside of all blocks, and the calls in it.
struct Place {
    start: usize,
    end: usize,
    found: Vec<Said<'static>>,
}

/// What comes first from `at` on.
fn next_place(text: &str, at: usize) -> Option<Place> {
    let after = text.get(at..)?;
    let block = fence::first_fence(after);
    let outside = block.as_ref().map_or(after, |block| block.before);
    match (outside.find(['{', '[']), block) {
        (Some(bracket), _) => {
            let start = at + bracket;
            let read = json::read(&text[start..]);
            let end = start + read.as_ref().map_or(1, |read| read.length);
            Some(Place { start, end, found: read.as_ref().map(said).unwrap_or_default() })
        }
        (None, Some(block)) => {
            let (start, end) = (at + block.before.len(), text.len() - block.rest.len());
            Some(Place { start, end, found: in_fence(block.body) })
        }
        (None, None) => None,
    }
}

fn said(read: &json::Read) -> Vec<Said<'static>> {
    let objects = match &read.value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => match fields.get("tool_calls") {
            Some(Value::Array(items)) => items.iter().collect(),
            _ => vec![&read.value],
        },
        _ => Vec::new(),
    };
    let mut calls: Vec<Said<'static>> = objects.into_iter().filter_map(Said::of).collect();
    if let Some(last) = calls.last_mut() {
        last.cut = read.cut;
    }
    calls
}

/// The calls in a block that holds nothing else.
fn in_fence(body: &str) -> Vec<Said<'static>> {
    let mut rest = body.trim_start();
    let mut calls = Vec::new();
    while let Some(read) = json::read(rest) {
        let found = said(&read);
        if found.is_empty() {
            break;
        }
        calls.extend(found);
        rest = rest[read.length..].trim_start_matches([',', ';']).trim_start();
    }
    calls
}

/// Gives a call the blocks right after it; returns where they end.
fn take_blocks<'a>(call: &mut Said<'a>, text: &'a str, from: usize) -> usize {
    let mut at = from;
    let wanted = call.blocks_wanted();
    while call.blocks.len() < wanted {
        let Some(block) = fence::first_fence(&text[at..]) else { break };
        let is_near = block.before.trim().len() <= GAP && !holds_call(block.before);
        if !is_near || begins_with_call(block.body) {
            break;
        }
        at = text.len() - block.rest.len();
        let is_both = super::edit_blocks::old_and_new(std::slice::from_ref(&block)).is_some();
        call.blocks.push(block);
        if is_both {
            break;
        }
    }
    at
}

fn holds_call(gap: &str) -> bool {
    gap.match_indices(['{', '[']).take(LOOKED_AT).any(|(at, _)| begins_with_call(&gap[at..]))
}
