//! What an answer counts, and why it ended.

use crate::{answer::Usage, wire::lenient::Members};
use protocol::FinishReason;

/// As far as they were told.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    /// Of those, what is kept for an hour.
    cache_write_1h_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    thinking_tokens: Option<u64>,
}

impl Counts {
    pub(crate) fn of(usage: &Members<'_>) -> Self {
        Self {
            input_tokens: usage.count("input_tokens"),
            cache_creation_input_tokens: usage.count("cache_creation_input_tokens"),
            cache_write_1h_tokens: usage.object("cache_creation").count("ephemeral_1h_input_tokens"),
            cache_read_input_tokens: usage.count("cache_read_input_tokens"),
            output_tokens: usage.count("output_tokens"),
            thinking_tokens: usage.object("output_tokens_details").count("thinking_tokens"),
        }
    }

    /// Counts are totals: a later one takes the place of an earlier one.
    pub(crate) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.cache_creation_input_tokens = later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_write_1h_tokens = later.cache_write_1h_tokens.or(self.cache_write_1h_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.thinking_tokens = later.thinking_tokens.or(self.thinking_tokens);
    }

    pub(crate) fn usage(&self) -> Usage {
        let cached_input_tokens = self.cache_read_input_tokens.unwrap_or(0);
        let cache_write_tokens = self.cache_creation_input_tokens.unwrap_or(0);
        let rest = self.input_tokens.unwrap_or(0);
        Usage {
            input_tokens: rest.saturating_add(cached_input_tokens).saturating_add(cache_write_tokens),
            cached_input_tokens,
            cache_write_tokens,
            cache_write_1h_tokens: self.cache_write_1h_tokens.unwrap_or(0),
            output_tokens: self.output_tokens.unwrap_or(0),
            reasoning_tokens: self.thinking_tokens.unwrap_or(0),
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
