//! Tool calls come in pieces: a first one with id and name, then the arguments as fragments of a string.

use crate::provider::new_call_id;
use protocol::ToolCall;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(super) struct Piece {
    /// Which call this belongs to. Some servers leave it out, some say 0 for every one.
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionPiece>,
}

#[derive(Deserialize)]
struct FunctionPiece {
    name: Option<String>,
    arguments: Option<Value>,
}

#[derive(Default)]
struct Partial {
    index: usize,
    id: String,
    name: String,
    arguments: String,
}

/// The calls of one answer as they grow, in the order they began.
#[derive(Default)]
pub(super) struct Calls(Vec<Partial>);

impl Calls {
    /// Gives how many bytes were added.
    pub(super) fn add(&mut self, piece: Piece) -> usize {
        let id = piece.id.unwrap_or_default();
        let position = match piece.index {
            Some(index) => self.0.iter().rposition(|call| call.index == index),
            None => self.0.len().checked_sub(1),
        };
        // Another id at the same place is another call, whatever the index says.
        let goes_on = position.filter(|&at| id.is_empty() || self.0[at].id.is_empty() || self.0[at].id == id);
        let at = goes_on.unwrap_or_else(|| {
            self.0.push(Partial { index: piece.index.unwrap_or(self.0.len()), ..Partial::default() });
            self.0.len() - 1
        });
        let call = &mut self.0[at];
        if call.id.is_empty() {
            call.id = id;
        }
        let Some(function) = piece.function else { return 0 };
        if call.name.is_empty() {
            call.name = function.name.unwrap_or_default();
        }
        let before = call.arguments.len();
        match function.arguments {
            Some(Value::String(fragment)) => call.arguments.push_str(&fragment),
            // Servers that give an object give it whole.
            Some(arguments @ (Value::Object(_) | Value::Array(_))) => call.arguments = arguments.to_string(),
            _ => {}
        }
        call.arguments.len().saturating_sub(before)
    }

    /// Arguments that are not JSON are handed on as the text they are, so that the model can be told.
    pub(super) fn finish(self) -> Vec<ToolCall> {
        self.0
            .into_iter()
            .map(|call| ToolCall {
                id: if call.id.is_empty() { new_call_id() } else { call.id },
                name: call.name,
                arguments: if call.arguments.trim().is_empty() {
                    json!({})
                } else {
                    serde_json::from_str(&call.arguments).unwrap_or(Value::String(call.arguments))
                },
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(pieces: Value) -> Vec<ToolCall> {
        let mut calls = Calls::default();
        for piece in serde_json::from_value::<Vec<Piece>>(pieces).unwrap() {
            calls.add(piece);
        }
        calls.finish()
    }

    fn call(id: &str, name: &str, arguments: Value) -> ToolCall {
        ToolCall { id: id.to_owned(), name: name.to_owned(), arguments }
    }

    #[test]
    fn interleaved_fragments_are_told_apart_by_index() {
        let got = calls(json!([
            {"index": 0, "id": "a", "type": "function", "function": {"name": "read", "arguments": ""}},
            {"index": 1, "id": "b", "type": "function", "function": {"name": "list", "arguments": ""}},
            {"index": 0, "function": {"arguments": "{\"path\":"}},
            {"index": 1, "function": {"arguments": "{}"}},
            {"index": 0, "function": {"arguments": "\"x\"}"}},
        ]));
        assert_eq!(got, [call("a", "read", json!({"path": "x"})), call("b", "list", json!({}))]);
    }

    #[test]
    fn servers_that_bend_the_rules_are_understood() {
        let same_index = json!([
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": "{}"}},
            {"index": 0, "id": "b", "function": {"name": "list", "arguments": {"all": true}}},
        ]);
        assert_eq!(calls(same_index), [call("a", "read", json!({})), call("b", "list", json!({"all": true}))]);
        let repeated = json!([
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": "{\"n\""}},
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": ":1}"}},
        ]);
        assert_eq!(calls(repeated), [call("a", "read", json!({"n": 1}))]);
        let no_index = json!([
            {"id": "a", "function": {"name": "read", "arguments": ""}}, {"function": {"arguments": "oops {"}},
        ]);
        assert_eq!(calls(no_index), [call("a", "read", json!("oops {"))]);
        let no_id = calls(json!([{"index": 0, "function": {"name": "read", "arguments": ""}}]));
        assert!(no_id[0].id.starts_with("call_") && no_id[0].arguments == json!({}));
    }
}
