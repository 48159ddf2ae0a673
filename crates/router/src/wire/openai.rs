//! What OpenAI's dialects have in common: reading requests, streams of server-sent events, token counts, and errors.

pub(crate) mod asked_embeddings;
pub(crate) mod content;
mod embeddings;
pub(crate) mod error;
pub(crate) mod models;
pub(crate) mod options;
mod original;
pub(crate) mod passage;
pub(crate) mod place;
pub mod provider;
pub(crate) mod routing;
pub(crate) mod sampling;
mod silent;
pub(crate) mod sse;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use error::error;

use crate::answer::Usage;
use protocol::FinishReason;
use serde_json::{Value, json};

/// As chat and completions count.
pub(crate) fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

/// Some servers say `stop` after a tool call; clients wait for `tool_calls` before they run any.
pub(crate) fn finish_reason(reason: FinishReason, has_tool_calls: bool) -> &'static str {
    match reason {
        FinishReason::Stop if has_tool_calls => FinishReason::ToolCalls.as_str(),
        reason => reason.as_str(),
    }
}
