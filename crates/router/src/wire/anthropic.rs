//! Anthropic's Messages API, as callers speak it: `POST /v1/messages` and `POST /v1/messages/count_tokens`.
//!
//! Written after the published API reference. Fields that have no place in a [`Conversation`], marks for the prompt cache
//! among them, are named in its `lost`; content that has none, in its `foreign`.

mod blocks;
mod body;
mod encoder;
mod error;
mod mark;
mod one_body;
pub mod provider;
mod reader;
mod request;
mod retold;
mod sealed;
mod shapes;
mod whole;

use crate::{
    Conversation, Error,
    answer::Usage,
    dialect::{IMAGE_PROMPT_BYTES, Peek},
    json_object::Fields,
    wire::{images, openai::place},
};
use bytes::Bytes;
pub(crate) use encoder::encoder;
pub(crate) use error::error;
pub use mark::Mark;
use protocol::FinishReason;
use serde::Serialize;
use serde_json::{json, value::RawValue};
pub(crate) use whole::whole;

/// `max_tokens` is required by the vendor; a provider of ours has a default, and counting tokens needs none.
pub(crate) fn peek(body: &Bytes) -> Result<Peek, Error> {
    let fields = Fields::of(body)?;
    let model: String = needed(&fields, "model", "the name of a model or route")?;
    if model.is_empty() {
        return Err(Error::invalid("/model", "is empty. Name a model or a route."));
    }
    let messages = present(&fields, "messages").ok_or_else(|| Error::invalid("/messages", "is missing"))?;
    let any: Vec<&RawValue> = read(messages, "/messages", "a list of messages")?;
    if any.is_empty() {
        return Err(Error::invalid("/messages", "is empty. At least one message is needed."));
    }
    let max_output_tokens = optional_count(&fields, "max_tokens")?;
    let schema = present(&fields, "output_config").is_some_and(|config| {
        Fields::of(config.get().as_bytes()).is_ok_and(|config| present(&config, "format").is_some())
    });
    let prompt = ["system", "messages", "tools"].iter().filter_map(|name| present(&fields, name));
    let prompt_bytes: usize = prompt.map(|value| value.get().len()).sum();
    Ok(Peek {
        model,
        stream: optional(&fields, "stream", "true or false")?.unwrap_or(false),
        // Counts are part of every answer of this dialect.
        wants_usage: true,
        max_output_tokens,
        has_tools: fields.read::<Vec<&RawValue>>("tools").is_some_and(|tools| !tools.is_empty()),
        has_schema: schema || present(&fields, "output_format").is_some(),
        has_images: images::shown(messages, &["image"]),
        choices: 1,
        prompt_bytes: prompt_bytes - inline_bytes(messages.get()),
    })
}

/// How much of `messages` is the content of inline images and documents beyond what each counts for.
fn inline_bytes(messages: &str) -> usize {
    const KEY: &str = "\"data\"";
    /// Of a document's text; the rest is how it looks.
    const PDF_SHARE: usize = 10;
    let mut beyond = 0;
    let mut rest = messages;
    // A key cannot stand inside a text: there its quotes would be escaped.
    while let Some(at) = rest.find(KEY) {
        rest = &rest[at + KEY.len()..];
        let value = rest.trim_start().strip_prefix(':').and_then(|value| value.trim_start().strip_prefix('"'));
        let Some(value) = value else { continue };
        let content = &value[..value.find('"').unwrap_or(value.len())];
        rest = &value[content.len()..];
        let is_base64 = content.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='));
        if is_base64 {
            let counts_for = if content.starts_with("JVBERi") { content.len() / PDF_SHARE } else { 0 };
            beyond += content.len().saturating_sub(counts_for.max(IMAGE_PROMPT_BYTES));
        }
    }
    beyond
}

pub(crate) fn conversation(body: &Bytes) -> Result<Conversation, Error> {
    request::conversation(body)
}

/// A field that is there and not `null`.
fn present<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.get(name).filter(|value| value.get() != "null")
}

fn read<'a, T: serde::Deserialize<'a>>(value: &'a RawValue, pointer: &str, expected: &str) -> Result<T, Error> {
    serde_json::from_str(value.get()).map_err(|error| Error::invalid(pointer, format!("must be {expected}: {error}")))
}

/// `100.0` is a whole number, too, and more than a `u32` holds is as good as no limit.
#[derive(serde::Deserialize)]
#[serde(try_from = "serde_json::Value")]
struct Count(u32);

impl TryFrom<serde_json::Value> for Count {
    type Error = String;

    fn try_from(value: serde_json::Value) -> Result<Self, String> {
        let count = place::whole(&value).ok_or_else(|| format!("{value} is none"))?;
        Ok(Self(u32::try_from(count).unwrap_or(u32::MAX)))
    }
}

fn optional_count(fields: &Fields<'_>, name: &str) -> Result<Option<u32>, Error> {
    Ok(optional(fields, name, "a whole number")?.map(|Count(count)| count))
}

fn optional<'a, T: serde::Deserialize<'a>>(
    fields: &Fields<'a>,
    name: &str,
    expected: &str,
) -> Result<Option<T>, Error> {
    present(fields, name).map(|value| read(value, &format!("/{name}"), expected)).transpose()
}

fn needed<'a, T: serde::Deserialize<'a>>(fields: &Fields<'a>, name: &str, expected: &str) -> Result<T, Error> {
    optional(fields, name, expected)?
        .ok_or_else(|| Error::invalid(format!("/{name}"), format!("is missing. It must be {expected}.")))
}

fn stop_reason(reason: FinishReason, stop_sequence: Option<&str>) -> &'static str {
    match reason {
        FinishReason::Stop if stop_sequence.is_some() => "stop_sequence",
        FinishReason::Stop => "end_turn",
        FinishReason::Length => "max_tokens",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::ContentFilter => "refusal",
    }
}

/// Token counts as this dialect has them: what was read from a cache or written to it is no part of `input_tokens`.
#[derive(Serialize)]
struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_tokens: Option<u64>,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_tokens_details: Option<Details>,
}

#[derive(Serialize)]
struct Details {
    thinking_tokens: u64,
}

impl Counts {
    /// `input_tokens` is absent where the provider did not tell.
    fn of(usage: &Usage) -> Self {
        let cached = usage.cached_input_tokens.saturating_add(usage.cache_write_tokens);
        Self {
            input_tokens: (usage.input_tokens > 0).then(|| usage.input_tokens.saturating_sub(cached)),
            cache_creation_input_tokens: usage.cache_write_tokens,
            cache_read_input_tokens: usage.cached_input_tokens,
            output_tokens: usage.output_tokens,
            output_tokens_details: (usage.reasoning_tokens > 0)
                .then_some(Details { thinking_tokens: usage.reasoning_tokens }),
        }
    }

    fn or_estimated(mut self, input_tokens: u64) -> Self {
        self.input_tokens.get_or_insert(input_tokens);
        self
    }
}

/// A tool's input has to be an object. What a model wrote that is none is wrapped as the vendor advises, so that nobody takes
/// it for arguments and the model sees its mistake.
pub(crate) fn input(arguments: &str) -> Box<RawValue> {
    let arguments = match arguments.trim() {
        "" => "{}",
        arguments => arguments,
    };
    match serde_json::from_str::<Box<RawValue>>(arguments) {
        Ok(input) if input.get().starts_with('{') => input,
        _ => serde_json::value::to_raw_value(&json!({ "INVALID_JSON": arguments })).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peeked(body: &str) -> Result<Peek, Error> {
        peek(&Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn routing_learns_what_it_needs() {
        let peek = peeked(
            r#"{"model":"fast","max_tokens":9,"stream":true,"tools":[{"name":"t","input_schema":{}}],
                "output_config":{"format":{"type":"json_schema","schema":{}}},
                "messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"http://x"}}]}]}"#,
        )
        .unwrap();
        assert!(peek.stream && peek.has_tools && peek.has_schema && peek.has_images && peek.wants_usage);
        assert_eq!((peek.model.as_str(), peek.max_output_tokens, peek.choices), ("fast", Some(9), 1));
        assert!(peek.prompt_bytes > 100, "{}", peek.prompt_bytes);
        let plain =
            peeked(r#"{"model":"m","tools":[],"messages":[{"role":"user","content":"an \"image\""}]}"#).unwrap();
        assert_eq!((plain.has_images, plain.has_tools, plain.has_schema, plain.stream), (false, false, false, false));
        for (written, limit) in [("100.0", Some(100)), ("1e2", Some(100)), ("1e20", Some(u32::MAX)), ("null", None)] {
            let body = format!(r#"{{"model":"m","messages":[{{}}],"max_tokens":{written}}}"#);
            assert_eq!(peeked(&body).unwrap().max_output_tokens, limit, "{written}");
        }
    }

    #[test]
    fn inline_content_counts_for_what_a_model_makes_of_it() {
        let asking = |block: &str| {
            let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{block}]}}]}}"#);
            peeked(&body).unwrap().prompt_bytes
        };
        let image = |size: usize| {
            let data = "A".repeat(size);
            format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data": "{data}"}}}}"#)
        };
        let pdf =
            format!(r#"{{"type":"document","source":{{"type":"base64","data":"JVBERi{}"}}}}"#, "0".repeat(1_000_000));
        let result = format!(r#"{{"type":"tool_result","tool_use_id":"t","content":[{}]}}"#, image(1_400_000));
        let said =
            format!(r#"{{"type":"tool_use","id":"t","name":"n","input":{{"data":"{}"}}}}"#, "two words ".repeat(1_000));
        for (what, block, least, most) in [
            ("a small icon", image(100), 150, 300),
            ("a screenshot", image(1_400_000), 6_000, 6_500),
            ("two of them", [image(1_400_000), image(700_000)].join(","), 12_200, 13_000),
            ("a screenshot in a tool's result", result, 6_000, 6_600),
            ("a document", pdf, 100_000, 101_000),
            ("text that is called so", said, 10_000, 10_200),
        ] {
            let bytes = asking(&block);
            assert!((least..most).contains(&bytes), "{what}: {bytes}");
        }
    }

    #[test]
    fn a_wrong_request_is_told_where() {
        for (body, place) in [
            (r#"{"messages":[{}]}"#, "/model"),
            (r#"{"model":"","messages":[{}]}"#, "/model"),
            (r#"{"model":3,"messages":[{}]}"#, "/model"),
            (r#"{"model":"m"}"#, "/messages"),
            (r#"{"model":"m","messages":[]}"#, "/messages"),
            (r#"{"model":"m","messages":"x"}"#, "/messages"),
            (r#"{"model":"m","messages":[{}],"max_tokens":-1}"#, "/max_tokens"),
            (r#"{"model":"m","messages":[{}],"max_tokens":1.5}"#, "/max_tokens"),
            (r#"{"model":"m","messages":[{}],"max_tokens":"9"}"#, "/max_tokens"),
            (r#"{"model":"m","messages":[{}],"stream":"yes"}"#, "/stream"),
        ] {
            let error = peeked(body).unwrap_err();
            assert!(matches!(&error, Error::Invalid { pointer, .. } if pointer == place), "{body}: {error}");
        }
    }

    #[test]
    fn arguments_that_are_no_object_are_marked() {
        assert_eq!(input(r#"{"b": 1,"a":2}"#).get(), r#"{"b": 1,"a":2}"#);
        assert_eq!(input("").get(), "{}");
        assert_eq!(input(r#"{"a"#).get(), r#"{"INVALID_JSON":"{\"a"}"#);
        assert_eq!(input("[1]").get(), r#"{"INVALID_JSON":"[1]"}"#);
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in "\\PC*") {
            let _ = peeked(&body);
        }
    }
}
