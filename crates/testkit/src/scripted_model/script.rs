//! What the model says, turn by turn.

use super::Received;
use crate::Gate;
use protocol::{FinishReason, ToolCall};
use serde_json::{Value, json};
use std::{fmt, sync::Arc, time::Duration};

/// Which turn answers which request.
#[derive(Clone)]
pub struct Script(Kind);

#[derive(Clone)]
enum Kind {
    /// The n-th request gets the n-th turn; one more is a violation.
    InOrder(Vec<Turn>),
    ByRequest(Arc<dyn Fn(&Received) -> Turn + Send + Sync>),
}

impl Script {
    /// Every request is answered by what `answer` makes of it. Stateless, so it also fits runs in which requests are
    /// repeated: after a kill, a retry, a takeover.
    pub fn each(answer: impl Fn(&Received) -> Turn + Send + Sync + 'static) -> Self {
        Self(Kind::ByRequest(Arc::new(answer)))
    }

    /// The turn after n answers in the conversation is `turns[n]`, so a repeated request gets the same turn again.
    pub fn by_conversation(turns: impl Into<Vec<Turn>>) -> Self {
        let turns = turns.into();
        Self::each(move |received| {
            let number = received.answers_so_far();
            turns.get(number).cloned().unwrap_or_else(|| Turn::error(500, &format!("the script has no turn {number}")))
        })
    }

    pub(super) fn turn(&self, number: usize, received: &Received) -> Result<Turn, String> {
        match &self.0 {
            Kind::InOrder(turns) => {
                turns.get(number - 1).cloned().ok_or_else(|| format!("the script ends after {} turns", turns.len()))
            }
            Kind::ByRequest(answer) => Ok(answer(received)),
        }
    }
}

impl<const N: usize> From<[Turn; N]> for Script {
    fn from(turns: [Turn; N]) -> Self {
        Self(Kind::InOrder(turns.into()))
    }
}

impl From<Vec<Turn>> for Script {
    fn from(turns: Vec<Turn>) -> Self {
        Self(Kind::InOrder(turns))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::InOrder(turns) => f.debug_tuple("InOrder").field(turns).finish(),
            Kind::ByRequest(_) => f.write_str("ByRequest"),
        }
    }
}

/// One answer. Without more it is whole, without delay, in pieces of [`Turn::PIECE_BYTES`], and reports 7 input and 3
/// output tokens.
#[derive(Clone, Debug)]
pub struct Turn {
    pub(super) status: u16,
    pub(super) error: String,
    pub(super) thinking: String,
    pub(super) text: String,
    pub(super) tool_calls: Vec<ToolCall>,
    pub(super) finish_reason: FinishReason,
    pub(super) usage: Option<(u64, u64)>,
    pub(super) piece_bytes: usize,
    pub(super) delay: Duration,
    pub(super) piece_delay: Duration,
    pub(super) gate: Option<Gate>,
    pub(super) gate_after: Option<(usize, Gate)>,
    pub(super) ending: Ending,
    pub(super) demands_schema: bool,
}

/// How the stream of an answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// The connection closes cleanly after the text, without the dialect's marker.
    Cut,
    /// An error object inside the stream, after the text.
    Error(String),
    /// Nothing more comes and the connection stays open.
    Stall,
}

impl Turn {
    pub const PIECE_BYTES: usize = 8;

    pub fn text(text: impl Into<String>) -> Self {
        Self {
            status: 200,
            error: String::new(),
            thinking: String::new(),
            text: text.into(),
            tool_calls: Vec::new(),
            finish_reason: FinishReason::Stop,
            usage: Some((7, 3)),
            piece_bytes: Self::PIECE_BYTES,
            delay: Duration::ZERO,
            piece_delay: Duration::ZERO,
            gate: None,
            gate_after: None,
            ending: Ending::Whole,
            demands_schema: false,
        }
    }

    /// Asks for one tool call and says nothing.
    pub fn tool(name: &str, arguments: Value) -> Self {
        Self::text("").and_tool(name, arguments)
    }

    /// Answers with JSON, and demands that the request asked for a schema this JSON satisfies (top-level types and
    /// required properties are looked at).
    pub fn json(value: &Value) -> Self {
        Self { demands_schema: true, ..Self::text(value.to_string()) }
    }

    /// Answers with this HTTP status and an error in the dialect's shape.
    pub fn error(status: u16, message: &str) -> Self {
        Self { status, error: message.to_owned(), ..Self::text("") }
    }

    /// Asks for a tool call too. Ids are `call_1`, `call_2` … within the turn; see [`Turn::tool_id`].
    pub fn and_tool(mut self, name: &str, arguments: Value) -> Self {
        let id = format!("call_{}", self.tool_calls.len() + 1);
        self.tool_calls.push(ToolCall { id, name: name.to_owned(), arguments });
        self.finish_reason = FinishReason::ToolCalls;
        self
    }

    /// Gives the last tool call this id. An empty id is left out of the answer, as some servers do.
    pub fn tool_id(mut self, id: &str) -> Self {
        if let Some(call) = self.tool_calls.last_mut() {
            id.clone_into(&mut call.id);
        }
        self
    }

    /// Thinks this aloud before the text, in the field the dialect has for it.
    pub fn thinking(mut self, thinking: &str) -> Self {
        thinking.clone_into(&mut self.thinking);
        self
    }

    pub fn usage(mut self, input_tokens: u64, output_tokens: u64) -> Self {
        self.usage = Some((input_tokens, output_tokens));
        self
    }

    /// Reports no token counts, as some servers do.
    pub fn without_usage(mut self) -> Self {
        self.usage = None;
        self
    }

    pub fn finish_reason(mut self, reason: FinishReason) -> Self {
        self.finish_reason = reason;
        self
    }

    /// Before anything is sent, the status line included.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Before each piece.
    pub fn piece_delay(mut self, delay: Duration) -> Self {
        self.piece_delay = delay;
        self
    }

    /// Text is sent in pieces of about this many bytes (at least one character).
    pub fn piece_bytes(mut self, bytes: usize) -> Self {
        self.piece_bytes = bytes.max(1);
        self
    }

    /// Waits at the gate before anything is sent, the status line included.
    pub fn hold(mut self, gate: &Gate) -> Self {
        self.gate = Some(gate.clone());
        self
    }

    /// Waits at the gate after `pieces` pieces of the stream.
    pub fn hold_after(mut self, pieces: usize, gate: &Gate) -> Self {
        self.gate_after = Some((pieces, gate.clone()));
        self
    }

    /// Ends the stream after the text without the marker that says it is whole.
    pub fn cut(mut self) -> Self {
        self.ending = Ending::Cut;
        self
    }

    /// Ends the stream after the text with an error object under the status 200.
    pub fn then_error(mut self, message: &str) -> Self {
        self.ending = Ending::Error(message.to_owned());
        self
    }

    /// Sends nothing after the text and leaves the connection open.
    pub fn stall(mut self) -> Self {
        self.ending = Ending::Stall;
        self
    }

    pub(super) fn checked(self, received: &Received) -> Result<Self, String> {
        if self.demands_schema {
            let schema = received.schema.as_ref().ok_or("the turn answers with JSON and no schema was asked for")?;
            let value: Value = serde_json::from_str(&self.text).unwrap_or(Value::Null);
            mismatch(schema, &value)
                .map_or(Ok(()), |at| Err(format!("the scripted JSON breaks the schema at {at}")))?;
        }
        Ok(self)
    }

    /// The answer's text in pieces that end between characters.
    pub(super) fn pieces<'a>(&self, text: &'a str) -> Vec<&'a str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let whole = rest.char_indices().map(|(at, _)| at).find(|&at| at >= self.piece_bytes).unwrap_or(rest.len());
            let (piece, after) = rest.split_at(whole);
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// Where `value` is not what `schema` says, as far as types and required properties tell.
fn mismatch(schema: &Value, value: &Value) -> Option<String> {
    let right_type = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        _ => true,
    };
    if !right_type {
        return Some(format!("{value}: not {}", schema["type"]));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            return Some(format!("`{name}`, which is missing"));
        }
    }
    let properties = schema["properties"].as_object()?;
    properties.iter().find_map(|(name, schema)| mismatch(schema, value.get(name)?))
}

/// An error body in the shape that OpenAI clients expect.
pub(super) fn openai_error(status: u16, message: &str) -> Value {
    let kind = if status >= 500 { "server_error" } else { "invalid_request_error" };
    json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
}
