//! Tool calls come in pieces: a first one with id and name, then the arguments as fragments of a string.

use crate::Event;
use serde::Deserialize;
use serde_json::Value;

/// What a call counts against the limit on an answer, besides its arguments: so that there are some thousand at most.
const CALL_BYTES: usize = 4096;

#[derive(Deserialize)]
pub(crate) struct Piece {
    /// Which call this belongs to. Some servers leave it out, some say 0 for every one.
    pub(crate) index: Option<usize>,
    pub(crate) id: Option<String>,
    pub(crate) function: Option<FunctionPiece>,
}

#[derive(Deserialize)]
pub(crate) struct FunctionPiece {
    pub(crate) name: Option<String>,
    pub(crate) arguments: Option<Value>,
}

#[derive(Debug, Default)]
struct Call {
    index: usize,
    id: String,
    /// Its name is known and was told.
    begun: bool,
    /// Arguments that came before the name.
    held: String,
    /// Something other than white space was told of its arguments.
    argued: bool,
}

/// The calls of one answer as they grow, in the order they began.
#[derive(Debug, Default)]
pub(crate) struct Calls(Vec<Call>);

impl Calls {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Gives how many bytes this adds to the answer.
    pub(crate) fn add(&mut self, piece: Piece, events: &mut Vec<Event>) -> usize {
        let mut bytes = 0;
        let id = piece.id.unwrap_or_default();
        let position = match piece.index {
            Some(index) => self.0.iter().rposition(|call| call.index == index),
            None => self.0.len().checked_sub(1),
        };
        // Another id at the same place is another call, whatever the index says.
        let goes_on = position.filter(|&at| id.is_empty() || self.0[at].id.is_empty() || self.0[at].id == id);
        let at = goes_on.unwrap_or_else(|| {
            bytes += CALL_BYTES;
            self.0.push(Call { index: piece.index.unwrap_or(self.0.len()), ..Call::default() });
            self.0.len() - 1
        });
        let call = &mut self.0[at];
        if call.id.is_empty() {
            call.id = id;
        }
        let Some(function) = piece.function else { return bytes };
        let before = call.held.len();
        match function.arguments {
            Some(Value::String(fragment)) => call.held.push_str(&fragment),
            // Servers that give an object give it whole.
            Some(arguments @ (Value::Object(_) | Value::Array(_))) if !call.argued => call.held = arguments.to_string(),
            _ => {}
        }
        bytes += call.held.len().saturating_sub(before);
        if let Some(name) = function.name.filter(|name| !name.is_empty() && !call.begun) {
            call.begin(at, name, events);
        }
        if call.begun {
            call.tell(at, events);
        }
        bytes
    }

    /// The answer is whole: what was held back, and an empty object for calls without arguments.
    pub(crate) fn finish(&mut self, events: &mut Vec<Event>) {
        for (at, call) in self.0.iter_mut().enumerate() {
            if !call.begun {
                call.begin(at, String::new(), events);
            }
            if !call.argued && call.held.trim().is_empty() {
                call.held = "{}".to_owned();
            }
            call.tell(at, events);
        }
    }
}

impl Call {
    fn begin(&mut self, at: usize, name: String, events: &mut Vec<Event>) {
        if self.id.is_empty() {
            self.id = new_call_id();
        }
        self.begun = true;
        events.push(Event::ToolCall { index: at, id: self.id.clone(), name });
    }

    fn tell(&mut self, at: usize, events: &mut Vec<Event>) {
        if !self.held.is_empty() {
            self.argued |= !self.held.trim().is_empty();
            events.push(Event::ToolArguments { index: at, fragment: std::mem::take(&mut self.held) });
        }
    }
}

/// An id for a tool call that came without one. Ids must be unique within a job, because decisions of people are bound to
/// them; 64 random bits are.
fn new_call_id() -> String {
    format!("call_{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Block, Whole};
    use serde_json::json;

    fn calls(pieces: Value) -> Vec<(String, String, String)> {
        let (mut calls, mut events) = (Calls::default(), Vec::new());
        for piece in serde_json::from_value::<Vec<Piece>>(pieces).unwrap() {
            calls.add(piece, &mut events);
        }
        calls.finish(&mut events);
        let mut whole = Whole::default();
        events.iter().for_each(|event| whole.add(event));
        let blocks = whole.blocks.into_iter();
        blocks
            .map(|block| match block {
                Block::ToolCall { id, name, arguments, .. } => (id, name, arguments),
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
        (id.to_owned(), name.to_owned(), arguments.to_owned())
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
        assert_eq!(got, [call("a", "read", r#"{"path":"x"}"#), call("b", "list", "{}")]);
    }

    #[test]
    fn servers_that_bend_the_rules_are_understood() {
        let same_index = json!([
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": "{}"}},
            {"index": 0, "id": "b", "function": {"name": "list", "arguments": {"all": true}}},
        ]);
        assert_eq!(calls(same_index), [call("a", "read", "{}"), call("b", "list", r#"{"all":true}"#)]);
        let repeated = json!([
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": "{\"n\""}},
            {"index": 0, "id": "a", "function": {"name": "read", "arguments": ":1}"}},
        ]);
        assert_eq!(calls(repeated), [call("a", "read", r#"{"n":1}"#)]);
        let no_index = json!([
            {"id": "a", "function": {"name": "read", "arguments": ""}}, {"function": {"arguments": "oops {"}},
        ]);
        assert_eq!(calls(no_index), [call("a", "read", "oops {")]);
        let name_last = json!([
            {"index": 3, "id": "a"}, {"index": 3, "function": {"arguments": "{\"n\":"}},
            {"index": 3, "function": {"name": "read", "arguments": "1}"}},
        ]);
        assert_eq!(calls(name_last), [call("a", "read", r#"{"n":1}"#)]);
        let no_id = calls(json!([{"index": 0, "function": {"name": "read", "arguments": ""}}]));
        assert!(no_id[0].0.starts_with("call_") && no_id[0].2 == "{}", "{no_id:?}");
    }
}
