//! What a client asked, the same whatever its dialect.

use super::{last_of, list, text};
use axum::http::HeaderMap;
use protocol::{ChatMessage, Role, ToolCall};
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    OpenAi,
    Ollama,
}

/// One chat request.
#[derive(Clone, Debug)]
pub struct Received {
    pub dialect: Dialect,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    /// The body as it came.
    pub body: Value,
    pub model: String,
    pub messages: Vec<ChatMessage>,
    /// Names of the tools offered.
    pub tools: Vec<String>,
    /// The JSON schema asked for.
    pub schema: Option<Value>,
}

impl Received {
    pub(super) fn new(dialect: Dialect, path: &str, headers: &HeaderMap, body: Value) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let schema = match dialect {
            Dialect::OpenAi => body.pointer("/response_format/json_schema/schema"),
            Dialect::Ollama => body.pointer("/format").filter(|format| format.is_object()),
        };
        Self {
            dialect,
            path: path.to_owned(),
            headers,
            model: text(&body, "/model"),
            messages: list(&body, "/messages").iter().map(message).collect(),
            tools: list(&body, "/tools").iter().map(|tool| text(tool, "/function/name")).collect(),
            schema: schema.cloned(),
            body,
        }
    }

    /// The text of the last message of `role` (`system`, `user`, `assistant`, `tool`); empty when there is none.
    pub fn last(&self, role: &str) -> &str {
        last_of(&self.messages, role)
    }

    /// How many answers of the model the conversation holds: 0 in the first request. Scripts that must give the same
    /// answer to a repeated request go by this.
    pub fn answers_so_far(&self) -> usize {
        self.messages.iter().filter(|message| message.role == Role::Assistant).count()
    }
}

fn message(message: &Value) -> ChatMessage {
    let role = match text(message, "/role").as_str() {
        "system" | "developer" => Role::System,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => Role::User,
    };
    let id = text(message, "/tool_call_id");
    ChatMessage {
        role,
        content: text(message, "/content"),
        tool_calls: list(message, "/tool_calls").iter().map(call).collect(),
        tool_call_id: (!id.is_empty()).then_some(id),
    }
}

fn call(call: &Value) -> ToolCall {
    let arguments = match call.pointer("/function/arguments") {
        Some(Value::String(json)) => serde_json::from_str(json).unwrap_or_else(|_| Value::String(json.clone())),
        Some(arguments) => arguments.clone(),
        None => Value::Null,
    };
    ToolCall { id: text(call, "/id"), name: text(call, "/function/name"), arguments }
}
