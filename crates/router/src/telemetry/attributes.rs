//! What spans say, by name. Those of `gen_ai.`, `server.` and `error.` are OpenTelemetry's, those of `devmesh.` are ours and
//! are called as in a call's record.

use crate::{Call, accounts::Price, answer::Usage};
use opentelemetry::{Array, KeyValue, StringValue, Value};
use protocol::{Egress, FinishReason, ModelCallRecord};
use std::time::Duration;

/// Names that callers choose are cut: a collector may keep every one of them.
const NAME_BYTES: usize = 256;

pub(super) fn name(text: &str) -> String {
    text[..text.floor_char_boundary(NAME_BYTES)].to_owned()
}

/// Of the caller's request.
pub(super) fn request(call: &Call) -> Vec<KeyValue> {
    let peek = &call.asked.peek;
    let mut attributes = vec![
        KeyValue::new("gen_ai.request.model", name(&call.route)),
        KeyValue::new("devmesh.call_id", call.id.to_string()),
        KeyValue::new("devmesh.route", name(&call.route)),
        KeyValue::new("devmesh.dialect", call.asked.dialect.name()),
    ];
    if peek.stream {
        attributes.push(KeyValue::new("gen_ai.request.stream", true));
    }
    if let Some(tokens) = peek.max_output_tokens {
        attributes.push(KeyValue::new("gen_ai.request.max_tokens", i64::from(tokens)));
    }
    if let Some(temperature) = call.asked.conversation().ok().and_then(|conversation| conversation.temperature) {
        // By way of its digits: 0.7 stays 0.7 in the wider type.
        attributes
            .extend(temperature.to_string().parse().map(|wide: f64| KeyValue::new("gen_ai.request.temperature", wide)));
    }
    if let Some(job) = call.caller.job {
        attributes.push(KeyValue::new("gen_ai.conversation.id", job.to_string()));
    }
    attributes
}

/// What became of a call.
pub(super) fn outcome(record: &ModelCallRecord, usage: Usage, first_token: Option<Duration>) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("devmesh.state", record.state.as_str()),
        KeyValue::new("devmesh.cache_hit", record.cache_hit),
        KeyValue::new("devmesh.fallbacks", i64::from(record.fallbacks)),
        egress(record.egress),
    ];
    // Where nobody answered, this gateway is all there was.
    let provider = record.provider.as_deref().unwrap_or("devmesh");
    attributes.push(KeyValue::new("gen_ai.provider.name", provider.to_owned()));
    attributes.extend(record.model.as_deref().map(|model| KeyValue::new("gen_ai.response.model", name(model))));
    attributes.extend(tokens(usage));
    attributes.extend(record.cost_microusd.map(|cost| KeyValue::new("devmesh.cost_microusd", whole(cost))));
    if let Some(first) = first_token {
        attributes.push(KeyValue::new("gen_ai.response.time_to_first_chunk", first.as_secs_f64()));
        attributes.push(KeyValue::new("devmesh.first_token_ms", first.as_millis() as i64));
    }
    attributes
}

pub(super) fn egress(egress: Egress) -> KeyValue {
    KeyValue::new("devmesh.egress", egress.as_str())
}

pub(super) fn tokens(usage: Usage) -> impl Iterator<Item = KeyValue> {
    let counted = [
        ("gen_ai.usage.input_tokens", usage.input_tokens),
        ("gen_ai.usage.output_tokens", usage.output_tokens),
        ("gen_ai.usage.cache_read.input_tokens", usage.cached_input_tokens),
        ("gen_ai.usage.cache_creation.input_tokens", usage.cache_write_tokens),
        ("gen_ai.usage.reasoning.output_tokens", usage.reasoning_tokens),
    ];
    counted.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| KeyValue::new(name, whole(count)))
}

pub(super) fn cost(price: Option<Price>, usage: Usage) -> Option<KeyValue> {
    price.map(|price| KeyValue::new("devmesh.cost_microusd", whole(price.cost_microusd(&usage))))
}

pub(super) fn finish_reasons(reason: FinishReason) -> KeyValue {
    let reasons = vec![StringValue::from(finish_reason(reason))];
    KeyValue::new("gen_ai.response.finish_reasons", Value::Array(Array::String(reasons)))
}

/// As the conventions say it.
pub(super) fn finish_reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::ToolCalls => "tool_call",
        other => other.as_str(),
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
