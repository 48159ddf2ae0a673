//! `POST /v1/chat/completions`.

pub(crate) mod body;
mod conversation;
mod encoder;
pub(crate) mod reader;
pub(crate) mod thoughts;
pub(crate) mod tool_calls;

use crate::{
    Error,
    answer::{Block, Whole},
    dialect::{Encoder, Envelope, Peek},
    json_object::Fields,
    wire::openai::{self, place::Place, routing},
};
use bytes::Bytes;
use protocol::FinishReason;
use serde_json::{Value, json};

pub(crate) use super::openai::error;
pub(crate) use conversation::conversation;

pub(crate) fn peek(body: &Bytes) -> Result<Peek, Error> {
    let fields = Fields::of(body)?;
    let messages = routing::required(&fields, "messages")?;
    let at = Place::Root;
    if !messages.get().starts_with('[') || routing::is_empty(messages) {
        return Err(at.field("messages").invalid("must be an array of at least one message"));
    }
    let mut peek = routing::peek(
        &fields,
        &["max_completion_tokens", "max_tokens"],
        &["messages", "tools", "functions", "response_format"],
    )?;
    peek.has_schema = routing::said(&fields, "response_format")
        .is_some_and(|format| routing::kind(format).is_some_and(|kind| kind == "json_schema"));
    Ok(peek)
}

pub(crate) fn encoder(envelope: Envelope) -> Box<dyn Encoder> {
    Box::new(encoder::ChatEncoder::new(envelope))
}

pub(crate) fn whole(envelope: &Envelope, whole: &Whole) -> Value {
    let mut text = String::new();
    let mut thinking = String::new();
    let mut calls = Vec::new();
    for block in &whole.blocks {
        match block {
            Block::Text(more) => text.push_str(more),
            Block::Thinking { text: more, .. } => thinking.push_str(more),
            Block::RedactedThinking(_) => {}
            Block::ToolCall { id, name, arguments, .. } => calls.push(json!({
                "id": id, "type": "function", "function": {"name": name, "arguments": arguments},
            })),
        }
    }
    let reason = whole.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason);
    let has_tool_calls = !calls.is_empty();
    let content = if text.is_empty() && has_tool_calls { Value::Null } else { Value::String(text) };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if !thinking.is_empty() {
        message["reasoning_content"] = Value::String(thinking);
    }
    if has_tool_calls {
        message["tool_calls"] = Value::Array(calls);
    }
    json!({
        "id": format!("chatcmpl-{}", envelope.id),
        "object": "chat.completion",
        "created": envelope.created_s,
        "model": envelope.model,
        "choices": [{
            "index": 0,
            "message": message,
            "logprobs": null,
            "finish_reason": openai::finish_reason(reason, has_tool_calls),
        }],
        "usage": openai::usage(&whole.usage()),
    })
}

#[cfg(test)]
mod tests;
