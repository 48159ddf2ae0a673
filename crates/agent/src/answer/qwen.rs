//! Calls between tags, as Qwen and the models trained after it write them where their runtime did not take them out.
//!
//! ```text
//! <tool_call>                                    <tool_call>
//! {"name": "run", "arguments": {…}}              <function=run>
//! </tool_call>                                   <parameter=command>
//!                                                ls
//!        Qwen 2.5, Hermes                        </parameter>
//!                                                </function>
//!                                                </tool_call>       Qwen 3 Coder
//! ```
//! `<function=run>{…}</function>` is Llama's, and read here too.

use super::{LOOKED_AT, json, said::Said};
use serde_json::{Map, Value};

pub(super) const MARKS: &[&str] = &["<tool_call>", "<function="];

const CALL: &str = "<tool_call>";
const CALL_END: &str = "</tool_call>";
const FUNCTION: &str = "<function=";
const FUNCTION_END: &str = "</function>";
const PARAMETER: &str = "<parameter=";
const PARAMETER_END: &str = "</parameter>";

pub(super) fn calls(text: &str) -> Vec<Said<'_>> {
    let mut calls = Vec::new();
    let mut rest = text;
    for _ in 0..LOOKED_AT {
        let (object, function) = (rest.find(CALL), rest.find(FUNCTION));
        match (object, function) {
            (Some(at), function) if function.is_none_or(|function| at < function) => {
                rest = &rest[at + CALL.len()..];
                let Some(open) = bracket(rest) else { continue };
                // A bracket that was forgotten is missed where the tag begins.
                let alone = || json::read(&rest[open..rest.find(CALL_END).unwrap_or(rest.len()).max(open)]);
                let Some(read) = json::read(&rest[open..]).or_else(alone) else { continue };
                let objects = match &read.value {
                    Value::Array(items) => items.iter().collect(),
                    one => vec![one],
                };
                let found = objects.into_iter().filter_map(Said::of);
                calls.extend(found.map(|said| Said { cut: read.cut, ..said }));
                rest = &rest[open + read.length..];
            }
            (_, Some(at)) => {
                let Some((said, end)) = function_at(&rest[at + FUNCTION.len()..]) else { break };
                calls.push(said);
                rest = &rest[at + FUNCTION.len() + end..];
            }
            _ => break,
        }
    }
    calls
}

/// Where the JSON of a call begins: at once, or in a fence.
fn bracket(text: &str) -> Option<usize> {
    let within = text.find(CALL_END).map_or(text, |end| &text[..end]);
    let at = within.find(['{', '['])?;
    (!within[..at].contains('<')).then_some(at)
}

/// A function's name, and its parameters in tags of their own or in JSON; and where it ends.
fn function_at(text: &str) -> Option<(Said<'static>, usize)> {
    let close = text.find('>')?;
    let name = text[..close].trim().trim_matches(['"', '\'']);
    let body = &text[close + 1..];
    if body.trim_start().starts_with('{') {
        let start = body.len() - body.trim_start().len();
        let read = json::read(&body[start..])?;
        let length = read.length;
        let said = Said { cut: read.cut, ..Said::new(name, read.value) };
        return Some((said, close + 1 + start + length));
    }
    let mut parameters = Map::new();
    let mut rest = body;
    let mut cut = false;
    // The first parameter begins at once, and so does each after it.
    for _ in 0..LOOKED_AT {
        let Some(named) = rest.trim_start().strip_prefix(PARAMETER) else { break };
        let Some((key, value)) = named.split_once('>') else {
            cut = true;
            rest = "";
            break;
        };
        let (value, after) = match value.split_once(PARAMETER_END) {
            Some(parts) => parts,
            // The end was forgotten; without another tag after it nobody knows whether all of it is there.
            None => match [PARAMETER, FUNCTION_END, CALL_END].iter().filter_map(|tag| value.find(tag)).min() {
                Some(end) => value.split_at(end),
                None => {
                    cut = true;
                    (value, "")
                }
            },
        };
        let value = value.strip_prefix('\n').unwrap_or(value);
        let value = value.strip_suffix('\n').unwrap_or(value);
        parameters.insert(key.trim().to_owned(), Value::String(value.to_owned()));
        rest = after;
    }
    let end = text.len() - rest.len();
    Some((Said { cut, ..Said::new(name, Value::Object(parameters)) }, end))
}
