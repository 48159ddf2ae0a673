//! The response object and the items that an answer is made of.

use super::{FOREIGN_SEAL, OWN_SEAL};
use crate::{
    Error,
    answer::{Block, Usage, Whole},
    conversation::Called,
    dialect::Envelope,
    wire::openai,
};
use protocol::FinishReason;
use serde_json::{Value, json};

/// How far an item, or the whole response, has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn of(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop | FinishReason::ToolCalls => Self::Completed,
            FinishReason::Length | FinishReason::ContentFilter => Self::Incomplete,
        }
    }
}

pub(crate) fn text_part(text: &str) -> Value {
    json!({"type": "output_text", "annotations": [], "logprobs": [], "text": text})
}

pub(crate) fn summary_part(text: &str) -> Value {
    json!({"type": "summary_text", "text": text})
}

pub(crate) fn message(id: &str, parts: &[String], status: Status) -> Value {
    json!({
        "id": id,
        "type": "message",
        "status": status.as_str(),
        "role": "assistant",
        "content": parts.iter().map(|text| text_part(text)).collect::<Value>(),
    })
}

/// A signature travels as encrypted content, so that it comes back with the conversation. Thinking that was never shown has
/// no summary at all.
pub(crate) fn reasoning(id: &str, parts: &[String], sealed: Option<&str>) -> Value {
    let mut item = json!({
        "id": id,
        "type": "reasoning",
        "summary": parts.iter().map(|text| summary_part(text)).collect::<Value>(),
    });
    if let Some(sealed) = sealed {
        let ours = sealed.strip_prefix(OWN_SEAL);
        item["encrypted_content"] = ours.map_or_else(|| json!(format!("{FOREIGN_SEAL}{sealed}")), |seal| json!(seal));
    }
    item
}

pub(crate) fn call(id: &str, call_id: &str, called: &Called, arguments: &str, status: Status) -> Value {
    let kind = if called.is_custom { "custom_tool_call" } else { "function_call" };
    let mut item = json!({"id": id, "type": kind, "status": status.as_str(), "call_id": call_id, "name": called.name});
    if called.is_custom {
        item["input"] = json!(Called::input(arguments));
    } else {
        item["arguments"] = json!(arguments);
    }
    if let Some(namespace) = &called.namespace {
        item["namespace"] = json!(namespace);
    }
    item
}

/// As the caller declared the tool that is called `name` here.
pub(crate) fn called(envelope: &Envelope, name: &str) -> Called {
    let declared = envelope.asked.as_ref().and_then(|asked| asked.conversation().ok());
    let renamed = declared.and_then(|declared| declared.renamed.iter().find(|renamed| renamed.name == name));
    renamed.map_or_else(|| Called::plain(name), |renamed| renamed.called.clone())
}

pub(crate) fn response_id(envelope: &Envelope) -> String {
    format!("resp_{}", envelope.id)
}

pub(crate) fn message_id(envelope: &Envelope, output_index: usize) -> String {
    format!("msg_{}_{output_index}", envelope.id)
}

pub(crate) fn reasoning_id(envelope: &Envelope, output_index: usize) -> String {
    format!("rs_{}_{output_index}", envelope.id)
}

pub(crate) fn call_id(envelope: &Envelope, output_index: usize) -> String {
    format!("fc_{}_{output_index}", envelope.id)
}

pub(crate) fn custom_call_id(envelope: &Envelope, output_index: usize) -> String {
    format!("ctc_{}_{output_index}", envelope.id)
}

/// Why a response is not completed.
pub(crate) enum End<'a> {
    Open,
    Finished(FinishReason, &'a Usage),
    Failed(&'a Error),
}

/// The fields that only repeat the request hold what stands for "not said".
pub(crate) fn response(id: &str, envelope: &Envelope, output: Vec<Value>, end: &End<'_>) -> Value {
    let status = match end {
        End::Open => Status::InProgress,
        End::Finished(reason, _) => Status::of(*reason),
        End::Failed(_) => Status::Failed,
    };
    let incomplete = match end {
        End::Finished(FinishReason::Length, _) => json!({"reason": "max_output_tokens"}),
        End::Finished(FinishReason::ContentFilter, _) => json!({"reason": "content_filter"}),
        _ => Value::Null,
    };
    let error = match end {
        End::Failed(error) => failure(error),
        _ => Value::Null,
    };
    let usage = match end {
        End::Finished(_, usage) => self::usage(usage),
        _ => Value::Null,
    };
    json!({
        "id": id,
        "object": "response",
        "created_at": envelope.created_s,
        "status": status.as_str(),
        "background": false,
        "error": error,
        "incomplete_details": incomplete,
        "instructions": null,
        "max_output_tokens": null,
        "metadata": {},
        "model": envelope.model,
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": {"effort": null, "summary": null},
        "store": false,
        "temperature": null,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": null,
        "truncation": "disabled",
        "usage": usage,
        "user": null,
    })
}

/// The vendor's own error where it said one.
fn failure(error: &Error) -> Value {
    let theirs = error.verbatim_in_band().unwrap_or_default();
    let said = |name: &str| theirs["error"][name].as_str();
    let message = said("message").map_or_else(|| error.to_string(), str::to_owned);
    json!({"code": said("code").unwrap_or_else(|| failure_code(error)), "message": message})
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens.saturating_add(usage.output_tokens),
    })
}

/// This dialect has few codes of its own; clients look for these.
fn failure_code(error: &Error) -> &'static str {
    match openai::error::class(error).2 {
        Some(code @ ("rate_limit_exceeded" | "context_length_exceeded")) => code,
        Some("content_filter") => "invalid_prompt",
        Some(_) => "server_error",
        None => "invalid_prompt",
    }
}

/// A call whose arguments are whole JSON was not what the end cut off.
pub(crate) fn call_status(arguments: &str, end: Status) -> Status {
    if is_whole(arguments) { Status::Completed } else { end }
}

/// Nothing can follow a JSON object, so its call is over.
pub(crate) fn is_whole(arguments: &str) -> bool {
    arguments.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}

pub(crate) fn whole(envelope: &Envelope, whole: &Whole) -> Value {
    let reason = whole.finish.as_ref().map_or(FinishReason::Stop, |finish| finish.reason);
    let status = Status::of(reason);
    let says_something = |block: &&Block| match block {
        Block::Text(text) | Block::Thinking { text, signature: None } => !text.is_empty(),
        _ => true,
    };
    let blocks: Vec<_> = whole.blocks.iter().filter(says_something).collect();
    let last = blocks.len().saturating_sub(1);
    let output = blocks.iter().enumerate().map(|(at, block)| match block {
        Block::Text(text) => {
            let status = if at == last { status } else { Status::Completed };
            message(&message_id(envelope, at), std::slice::from_ref(text), status)
        }
        Block::Thinking { text, signature } => {
            reasoning(&reasoning_id(envelope, at), std::slice::from_ref(text), signature.as_deref())
        }
        Block::RedactedThinking(data) => reasoning(&reasoning_id(envelope, at), &[], Some(data)),
        Block::ToolCall { id, name, arguments, .. } => {
            let called = called(envelope, name);
            let item_id = if called.is_custom { custom_call_id(envelope, at) } else { call_id(envelope, at) };
            call(&item_id, id, &called, arguments, call_status(arguments, status))
        }
    });
    let usage = whole.usage();
    response(&response_id(envelope), envelope, output.collect(), &End::Finished(reason, &usage))
}
