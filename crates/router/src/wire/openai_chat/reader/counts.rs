//! Token counts, each read by itself.

use crate::{answer::Usage, wire::lenient::Members};
use serde_json::value::RawValue;

/// `None` when it counts nothing.
pub(super) fn usage(value: &RawValue) -> Option<Usage> {
    let counts = Members::of(Some(value));
    let (prompt, completion) = (counts.object("prompt_tokens_details"), counts.object("completion_tokens_details"));
    // DeepSeek's and Moonshot's names for cached tokens.
    let others = || counts.count("prompt_cache_hit_tokens").or_else(|| counts.count("cached_tokens"));
    let usage = Usage {
        input_tokens: counts.count("prompt_tokens").unwrap_or(0),
        cached_input_tokens: prompt.count("cached_tokens").or_else(others).unwrap_or(0),
        // OpenRouter tells what was written, too.
        cache_write_tokens: prompt.count("cache_write_tokens").unwrap_or(0),
        cache_write_1h_tokens: 0,
        output_tokens: counts.count("completion_tokens").unwrap_or(0),
        reasoning_tokens: completion.count("reasoning_tokens").unwrap_or(0),
    };
    (usage != Usage::default()).then_some(usage)
}
