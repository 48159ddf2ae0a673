//! Token counts, each read by itself.

use crate::{answer::Usage, wire::lenient::Members};
use serde_json::value::RawValue;

/// Of a whole chunk, wherever servers write them: OpenAI beside the choices, Groq under a name of its own, Moonshot in the
/// choice.
pub(super) fn of_chunk<'a>(chunk: &Members<'a>, choices: &[&'a RawValue]) -> Option<Usage> {
    let beside = || chunk.get("usage").and_then(usage);
    let groqs = || chunk.object("x_groq").get("usage").and_then(usage);
    let within = || choices.iter().find_map(|choice| Members::of(Some(choice)).get("usage").and_then(usage));
    beside().or_else(groqs).or_else(within)
}

/// `None` when it counts nothing.
fn usage(value: &RawValue) -> Option<Usage> {
    let counts = Members::of(Some(value));
    let (prompt, completion) = (counts.object("prompt_tokens_details"), counts.object("completion_tokens_details"));
    // DeepSeek's and Moonshot's names for cached tokens.
    let others = || counts.count("prompt_cache_hit_tokens").or_else(|| counts.count("cached_tokens"));
    let (input_tokens, output_tokens) = (counts.count("prompt_tokens"), counts.count("completion_tokens").unwrap_or(0));
    // Some, such as xAI, count thoughts in the total alone.
    let beyond = counts.count("total_tokens").zip(input_tokens).map(|(total, input)| total.saturating_sub(input));
    let usage = Usage {
        input_tokens: input_tokens.unwrap_or(0),
        cached_input_tokens: prompt.count("cached_tokens").or_else(others).unwrap_or(0),
        // OpenRouter tells what was written, too.
        cache_write_tokens: prompt.count("cache_write_tokens").unwrap_or(0),
        cache_write_1h_tokens: 0,
        output_tokens: output_tokens.max(beyond.unwrap_or(0)),
        reasoning_tokens: completion.count("reasoning_tokens").unwrap_or(0),
    };
    (usage != Usage::default()).then_some(usage)
}
