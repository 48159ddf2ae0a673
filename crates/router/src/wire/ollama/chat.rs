//! `POST /api/chat`

use super::{
    answer::{self, Shape},
    error as errors, read,
    writer::Lines,
};
use crate::{
    Error,
    answer::Whole,
    conversation::{Conversation, Message, Part, Tool},
    dialect::{Encoder, Envelope, Peek},
    json_object::kind,
};
use bytes::Bytes;
use http::StatusCode;
use protocol::Role;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

/// `prompt_bytes` is 0 for a request to load the model and for no other: see [`super::loading`].
pub(crate) fn peek(body: &Bytes) -> Result<Peek, Error> {
    #[derive(Deserialize)]
    struct Pictures<'a> {
        #[serde(borrow)]
        images: Option<&'a RawValue>,
    }
    let fields = read::fields(body)?;
    let mut peek = read::peek(&fields)?;
    let messages = fields.get("messages").filter(|messages| messages.get() != "null");
    if let Some(messages) = messages {
        if !messages.get().starts_with('[') {
            return Err(Error::invalid("/messages", "it must be an array of messages"));
        }
        if read::holds_something(Some(messages)) {
            let tools = fields.get("tools").map_or(0, |tools| tools.get().len());
            peek.prompt_bytes = messages.get().len() + tools;
        }
        // The key cannot stand inside a text: there its quotes would be escaped.
        if messages.get().contains("\"images\"") {
            let pictures: Vec<Pictures<'_>> = serde_json::from_str(messages.get()).unwrap_or_default();
            peek.has_images = pictures.iter().any(|message| read::holds_something(message.images));
            let images = pictures.iter().filter_map(|message| message.images);
            peek.prompt_bytes -= images.map(read::image_bytes).sum::<usize>();
        }
    }
    Ok(peek)
}

pub(crate) fn conversation(body: &Bytes) -> Result<Conversation, Error> {
    let body = read::whole_body(body)?;
    let mut conversation = Conversation::default();
    read::rest(&body, &["messages", "tools"], &mut conversation)?;
    let mut calls = Calls::default();
    for (at, message) in read::list(&body, "", "messages")?.iter().enumerate() {
        let place = format!("/messages/{at}");
        let Value::Object(message) = message else {
            return Err(Error::invalid(place, format!("{} where a message belongs", kind(message))));
        };
        conversation.messages.push(self::message(message, &place, &mut calls, &mut conversation.lost)?);
    }
    for (at, tool) in read::list(&body, "", "tools")?.iter().enumerate() {
        conversation.tools.push(self::tool(tool, &format!("/tools/{at}"))?);
    }
    Ok(conversation)
}

/// The tool calls so far, in order. Clients may leave ids out: then results answer them by name, or by their order.
#[derive(Default)]
struct Calls {
    all: Vec<(String, String)>,
    answered: Vec<bool>,
}

impl Calls {
    fn add(&mut self, given: String, name: &str) -> String {
        let id = if given.is_empty() { format!("call_{}", self.all.len() + 1) } else { given };
        self.all.push((id.clone(), name.to_owned()));
        self.answered.push(false);
        id
    }

    fn answer(&mut self, given: String, name: &str) -> String {
        let open = |at: &usize| !self.answered[*at];
        let by_id = || (0..self.all.len()).rev().find(|&at| self.all[at].0 == given);
        let by_name = || (0..self.all.len()).filter(open).find(|&at| !name.is_empty() && self.all[at].1 == name);
        let by_order = || (0..self.all.len()).find(open).filter(|_| name.is_empty());
        let at = if given.is_empty() { by_name().or_else(by_order) } else { by_id() };
        let Some(at) = at else {
            return if given.is_empty() { format!("call_{}", self.all.len() + 1) } else { given };
        };
        self.answered[at] = true;
        self.all[at].0.clone()
    }
}

fn message(
    message: &Map<String, Value>,
    place: &str,
    calls: &mut Calls,
    lost: &mut Vec<String>,
) -> Result<Message, Error> {
    let role = match read::text(message, place, "role")?.to_lowercase().as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let expected = "expected `system`, `user`, `assistant` or `tool`";
            return Err(Error::invalid(format!("{place}/role"), format!("`{other}` is no role; {expected}")));
        }
    };
    const KNOWN: &[&str] =
        &["role", "content", "thinking", "images", "tool_calls", "tool_name", "name", "tool_call_id"];
    lost.extend(message.keys().filter(|name| !KNOWN.contains(&name.as_str())).map(|name| format!("{place}/{name}")));
    let mut parts = Vec::new();
    let thinking = read::text(message, place, "thinking")?;
    if !thinking.is_empty() {
        parts.push(Part::Thinking { text: thinking, signature: None });
    }
    let content = read::text(message, place, "content")?;
    let images = read::images(message, place)?;
    let tool_calls = read::list(message, place, "tool_calls")?;
    if !content.is_empty() || (images.is_empty() && tool_calls.is_empty() && parts.is_empty()) {
        parts.push(Part::Text(content));
    }
    parts.extend(images.into_iter().map(Part::Image));
    if role == Role::Tool {
        let name = ["tool_name", "name"].iter().find_map(|name| message.get(*name)?.as_str()).unwrap_or_default();
        let call_id = calls.answer(read::text(message, place, "tool_call_id")?, name);
        parts = vec![Part::ToolResult { call_id, parts, is_error: false }];
    }
    for (at, call) in tool_calls.iter().enumerate() {
        parts.push(tool_call(call, &format!("{place}/tool_calls/{at}"), calls)?);
    }
    Ok(Message { role, parts })
}

fn tool_call(call: &Value, place: &str, calls: &mut Calls) -> Result<Part, Error> {
    let Some(Value::Object(function)) = call.get("function") else {
        return Err(Error::invalid(format!("{place}/function"), "a tool call has an object here"));
    };
    let name = read::text(function, &format!("{place}/function"), "name")?;
    let arguments = match function.get("arguments") {
        None | Some(Value::Null) => "{}".to_owned(),
        // Not of this dialect, but what clients of another one send.
        Some(Value::String(text)) => text.clone(),
        Some(arguments) => arguments.to_string(),
    };
    let given = call.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Part::ToolCall { id: calls.add(given, &name), name, arguments })
}

fn tool(tool: &Value, place: &str) -> Result<Tool, Error> {
    let Some(Value::Object(function)) = tool.get("function") else {
        return Err(Error::invalid(format!("{place}/function"), "a tool has an object here"));
    };
    let place = format!("{place}/function");
    let name = read::text(function, &place, "name")?;
    if name.is_empty() {
        return Err(Error::invalid(format!("{place}/name"), "a tool needs a name"));
    }
    let parameters = function.get("parameters").filter(|schema| schema.is_object()).cloned();
    Ok(Tool {
        name,
        description: read::text(function, &place, "description")?,
        parameters: parameters.unwrap_or_else(|| json!({"type": "object", "properties": {}})),
        strict: None,
    })
}

pub(crate) fn encoder(envelope: Envelope) -> Box<dyn Encoder> {
    Box::new(Lines::new(Shape::Chat, envelope))
}

pub(crate) fn whole(envelope: &Envelope, whole: &Whole) -> Value {
    answer::whole(Shape::Chat, envelope, whole)
}

pub(crate) fn error(error: &Error, _request_id: &str) -> (StatusCode, Value) {
    errors::error(error)
}

#[cfg(test)]
mod tests;
