//! The shapes of answers, as far as they are read here. Everything is optional: what a model says matters more than whether
//! a field that nobody reads is there.

use crate::answer::Usage;
use protocol::FinishReason;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

/// One event of a stream.
#[derive(Deserialize)]
pub(crate) struct Event {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    pub(crate) message: Option<Message>,
    pub(crate) content_block: Option<Block>,
    pub(crate) delta: Option<Delta>,
    pub(crate) usage: Option<Counts>,
    pub(crate) error: Option<Value>,
}

/// What is read of an event that has another shape than [`Event`].
#[derive(Deserialize)]
pub(crate) struct Named {
    #[serde(rename = "type")]
    pub(crate) kind: String,
}

/// In `message_start`, and the whole of an answer that is not streamed.
#[derive(Deserialize)]
pub(crate) struct Message {
    pub(crate) id: Option<String>,
    pub(crate) model: Option<String>,
    #[serde(default)]
    pub(crate) content: Vec<Block>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) stop_sequence: Option<String>,
    pub(crate) usage: Option<Counts>,
}

#[derive(Deserialize)]
pub(crate) struct Block {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) text: Option<String>,
    pub(crate) thinking: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) data: Option<Value>,
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) input: Option<Box<RawValue>>,
}

/// Of a block, or in `message_delta` of the message.
#[derive(Deserialize)]
pub(crate) struct Delta {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) thinking: Option<String>,
    pub(crate) signature: Option<String>,
    pub(crate) partial_json: Option<String>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) stop_sequence: Option<String>,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub(crate) struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    /// The same by how long they are kept.
    cache_creation: Option<Written>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    output_tokens_details: Option<Details>,
}

#[derive(Clone, Copy, Deserialize)]
struct Written {
    ephemeral_1h_input_tokens: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
struct Details {
    thinking_tokens: Option<u64>,
}

impl Counts {
    /// Counts are totals: a later one takes the place of an earlier one.
    pub(crate) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_creation = later.cache_creation.or(self.cache_creation);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.output_tokens_details = later.output_tokens_details.or(self.output_tokens_details);
    }

    pub(crate) fn usage(&self) -> Usage {
        let cached_input_tokens = self.cache_read_input_tokens.unwrap_or(0);
        let cache_write_tokens = self.cache_creation_input_tokens.unwrap_or(0);
        let rest = self.input_tokens.unwrap_or(0);
        Usage {
            input_tokens: rest.saturating_add(cached_input_tokens).saturating_add(cache_write_tokens),
            cached_input_tokens,
            cache_write_tokens,
            cache_write_1h_tokens: self.cache_creation.and_then(|all| all.ephemeral_1h_input_tokens).unwrap_or(0),
            output_tokens: self.output_tokens.unwrap_or(0),
            reasoning_tokens: self.output_tokens_details.and_then(|details| details.thinking_tokens).unwrap_or(0),
        }
    }
}

pub(crate) fn finish_reason(stop_reason: Option<&str>, called_tools: bool) -> FinishReason {
    match stop_reason {
        Some("tool_use") => FinishReason::ToolCalls,
        Some("max_tokens" | "model_context_window_exceeded") => FinishReason::Length,
        Some("refusal") => FinishReason::ContentFilter,
        // Only when the event that tells could not be read.
        None if called_tools => FinishReason::ToolCalls,
        // `end_turn`, `stop_sequence`, `pause_turn`, and what is newer than this code.
        _ => FinishReason::Stop,
    }
}
