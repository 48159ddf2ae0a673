//! A Responses request in the router's words.
//!
//! Items are smaller than messages: one turn of an assistant is its reasoning, its text and its calls, each an item. They
//! are gathered into one message, because providers want thought and the calls that came of it together.

use crate::{
    Conversation, Error,
    conversation::{Message, Part, Tool, ToolChoice},
    wire::openai::{
        content,
        place::{self, Place},
        sampling,
    },
};
use bytes::Bytes;
use protocol::Role;
use serde_json::{Map, Value};

/// What asking for a stored conversation is answered with.
pub(crate) const NOT_STORED: &str = "names something that is stored, and nothing is stored here. Send the whole conversation in `input`, with `store` false";

pub(crate) fn conversation(body: &Bytes) -> Result<Conversation, Error> {
    let root = Place::Root;
    let mut to = Conversation::default();
    let mut has_input = false;
    let mut instructions = None;
    for (name, value) in place::body(body)? {
        let at = root.field(&name);
        if value.is_null() {
            continue;
        }
        let Some(value) = sampling::take(&mut to, &name, value, &at)? else { continue };
        match name.as_str() {
            "input" => {
                has_input = true;
                to.messages = input(value, &at, &mut to.lost)?;
            }
            "instructions" => instructions = Some(at.string(value)?),
            "tools" => to.tools = tools(value, &at, &mut to.lost)?,
            "tool_choice" => to.tool_choice = tool_choice(value, &at, &mut to.lost)?,
            "text" => text(&mut to, value, &at)?,
            "reasoning" => sampling::reasoning(&mut to, value, &at)?,
            "max_output_tokens" => to.max_output_tokens = Some(at.count(&value)?),
            "previous_response_id" | "conversation" | "prompt" => return Err(at.invalid(NOT_STORED)),
            "include" => {
                for (index, what) in at.array(value)?.into_iter().enumerate() {
                    // Sealed reasoning is always given, and log probabilities and the like never.
                    if what != "reasoning.encrypted_content" {
                        to.lost.push(at.index(index).to_string());
                    }
                }
            }
            _ if sampling::is_default(&name, &value) => {}
            _ => to.lost.push(at.to_string()),
        }
    }
    if !has_input {
        return Err(root.field("input").invalid("is missing"));
    }
    if let Some(text) = instructions.filter(|text| !text.is_empty()) {
        to.messages.insert(0, Message::text(Role::System, text));
    }
    Ok(to)
}

fn text(to: &mut Conversation, value: Value, at: &Place<'_>) -> Result<(), Error> {
    let mut fields = at.object(value)?;
    if let Some(format) = fields.remove("format").filter(|format| !format.is_null()) {
        let at = at.field("format");
        let mut format = at.object(format)?;
        let kind = at.field("type").string(at.required(&mut format, "type")?)?;
        to.format = sampling::format(&kind, || Ok(format), &at, &mut to.lost)?;
    }
    fields.retain(|name, value| !sampling::is_default(name, value));
    at.leftovers(&fields, &mut to.lost);
    Ok(())
}

fn tools(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Vec<Tool>, Error> {
    let mut tools = Vec::new();
    for (index, tool) in at.array(value)?.into_iter().enumerate() {
        let at = at.index(index);
        let mut fields = at.object(tool)?;
        let kind = at.field("type").string(at.required(&mut fields, "type")?)?;
        if kind == "function" {
            tools.push(content::tool(fields, &at, lost)?);
        } else {
            // Web search and its like run at OpenAI.
            lost.push(at.to_string());
        }
    }
    Ok(tools)
}

fn tool_choice(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<ToolChoice, Error> {
    let mut fields = match value {
        Value::String(mode) => return sampling::mode_of(&mode, at),
        other => at.object(other)?,
    };
    match at.field("type").string(at.required(&mut fields, "type")?)?.as_str() {
        "function" => Ok(ToolChoice::Named(at.field("name").string(at.required(&mut fields, "name")?)?)),
        "allowed_tools" => {
            lost.push(at.field("tools").to_string());
            let mode = at.optional_string(&mut fields, "mode")?;
            sampling::mode_of(mode.as_deref().unwrap_or("auto"), &at.field("mode"))
        }
        _ => {
            lost.push(at.to_string());
            Ok(ToolChoice::Auto)
        }
    }
}

fn input(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Vec<Message>, Error> {
    let items = match value {
        Value::String(text) => return Ok(vec![Message::text(Role::User, text)]),
        other => at.array(other)?,
    };
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    for (index, value) in items.into_iter().enumerate() {
        let at = at.index(index);
        let mut fields = at.object(value)?;
        // Of an answer's item that comes back: neither says anything to a model.
        fields.remove("id");
        fields.remove("status");
        let Some(message) = item(fields, &at, lost)? else { continue };
        match messages.last_mut() {
            Some(last) if last.role == Role::Assistant && message.role == Role::Assistant => {
                last.parts.extend(message.parts);
            }
            _ => messages.push(message),
        }
    }
    Ok(messages)
}

fn item(mut fields: Map<String, Value>, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Option<Message>, Error> {
    let kind = at.optional_string(&mut fields, "type")?;
    let message = match kind.as_deref() {
        None | Some("message") => {
            let role = at.field("role").string(at.required(&mut fields, "role")?)?;
            let role = match role.as_str() {
                "system" | "developer" => Role::System,
                "user" => Role::User,
                "assistant" => Role::Assistant,
                other => {
                    let known = "system, developer, user, assistant";
                    return Err(at.field("role").invalid(format!("is `{other}`. Known here: {known}")));
                }
            };
            let parts = content::parts(at.required(&mut fields, "content")?, &at.field("content"), lost)?;
            Message { role, parts }
        }
        Some("function_call") => Message {
            role: Role::Assistant,
            parts: vec![Part::ToolCall {
                id: at.field("call_id").string(at.required(&mut fields, "call_id")?)?,
                name: at.field("name").string(at.required(&mut fields, "name")?)?,
                arguments: {
                    fields.remove("parsed_arguments");
                    content::arguments(fields.remove("arguments"))
                },
            }],
        },
        Some("function_call_output") => {
            let call_id = at.field("call_id").string(at.required(&mut fields, "call_id")?)?;
            let parts = content::parts(at.required(&mut fields, "output")?, &at.field("output"), lost)?;
            Message { role: Role::Tool, parts: vec![Part::ToolResult { call_id, parts, is_error: false }] }
        }
        Some("reasoning") => Message { role: Role::Assistant, parts: reasoning(&mut fields, at)? },
        Some("item_reference") => return Err(at.invalid(NOT_STORED)),
        // What only OpenAI's own tools say and read.
        Some(_) => {
            lost.push(at.to_string());
            return Ok(None);
        }
    };
    at.leftovers(&fields, lost);
    Ok(Some(message))
}

/// The reverse of [`super::items::reasoning`]: a summary with a seal is thinking with its signature; a seal alone is
/// thinking that was never shown.
fn reasoning(fields: &mut Map<String, Value>, at: &Place<'_>) -> Result<Vec<Part>, Error> {
    let sealed = at.optional_string(fields, "encrypted_content")?;
    let mut shown = Vec::new();
    for name in ["content", "summary"] {
        let Some(texts) = fields.remove(name).filter(|texts| !texts.is_null()) else { continue };
        let at = at.field(name);
        let mut all = Vec::new();
        for (index, part) in at.array(texts)?.into_iter().enumerate() {
            let at = at.index(index);
            let mut part = at.object(part)?;
            all.push(at.field("text").string(at.required(&mut part, "text")?)?);
        }
        // Both tell the same thoughts; the content tells them in full.
        if shown.is_empty() {
            shown = all;
        }
    }
    Ok(match (shown.is_empty(), sealed) {
        (true, None) => Vec::new(),
        (true, Some(data)) => vec![Part::RedactedThinking { data }],
        (false, signature) => vec![Part::Thinking { text: shown.join("\n\n"), signature }],
    })
}
