//! A Responses request in the router's words.
//!
//! Items are smaller than messages: one turn of an assistant is its reasoning, its text and its calls, each an item. They
//! are gathered into one message, because providers want thought and the calls that came of it together.

use super::{FOREIGN_SEAL, tools};
use crate::{
    Conversation, Error,
    conversation::{Message, Part},
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
    let (mut declared, mut choice) = (0, None);
    for (name, value) in place::body(body)? {
        let at = root.field(&name);
        if value.is_null() {
            continue;
        }
        let Some(value) = sampling::take(&mut to, &name, value, &at)? else { continue };
        match name.as_str() {
            "input" => {
                has_input = true;
                let (messages, tools) = input(&mut to, value, &at)?;
                to.messages = messages;
                declared += tools;
            }
            "instructions" => instructions = Some(at.string(value)?),
            "tools" => declared += tools::tools(&mut to, value, &at)?,
            "tool_choice" => choice = Some(value),
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
    if declared > 0 && to.tools.is_empty() {
        return Err(root.field("tools").invalid(tools::NONE_LEFT));
    }
    if let Some(choice) = choice {
        tools::choose(&mut to, choice, &root.field("tool_choice"))?;
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

/// The messages, and how many tools were declared among them.
fn input(to: &mut Conversation, value: Value, at: &Place<'_>) -> Result<(Vec<Message>, usize), Error> {
    let items = match value {
        Value::String(text) => return Ok((vec![Message::text(Role::User, text)], 0)),
        other => at.array(other)?,
    };
    let mut messages: Vec<Message> = Vec::with_capacity(items.len());
    let mut declared = 0;
    for (index, value) in items.into_iter().enumerate() {
        let at = at.index(index);
        let mut fields = at.object(value)?;
        // Of an answer's item that comes back: neither says anything to a model.
        fields.remove("id");
        fields.remove("status");
        if fields.get("type").is_some_and(|kind| kind == "additional_tools") {
            declared += tools::tools(to, at.required(&mut fields, "tools")?, &at.field("tools"))?;
            continue;
        }
        let Some(message) = item(to, fields, &at)? else { continue };
        match messages.last_mut() {
            Some(last) if last.role == Role::Assistant && message.role == Role::Assistant => {
                last.parts.extend(message.parts);
            }
            _ => messages.push(message),
        }
    }
    Ok((messages, declared))
}

fn item(to: &mut Conversation, mut fields: Map<String, Value>, at: &Place<'_>) -> Result<Option<Message>, Error> {
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
            let parts = content::parts(at.required(&mut fields, "content")?, &at.field("content"), &mut to.lost)?;
            Message { role, parts }
        }
        Some(kind @ ("function_call" | "custom_tool_call")) => {
            let id = at.field("call_id").string(at.required(&mut fields, "call_id")?)?;
            let name = at.field("name").string(at.required(&mut fields, "name")?)?;
            let namespace = at.optional_string(&mut fields, "namespace")?;
            let name = tools::flat(namespace.as_deref(), &name);
            fields.remove("parsed_arguments");
            let arguments = if kind == "custom_tool_call" {
                tools::arguments_of(&at.field("input").string(at.required(&mut fields, "input")?)?)
            } else {
                content::arguments(fields.remove("arguments"))
            };
            Message { role: Role::Assistant, parts: vec![Part::ToolCall { id, name, arguments }] }
        }
        Some("function_call_output" | "custom_tool_call_output") => {
            let call_id = at.field("call_id").string(at.required(&mut fields, "call_id")?)?;
            // Which tool it was stands with the call.
            fields.remove("name");
            let parts = content::parts(at.required(&mut fields, "output")?, &at.field("output"), &mut to.lost)?;
            Message { role: Role::Tool, parts: vec![Part::ToolResult { call_id, parts, is_error: false }] }
        }
        Some("reasoning") => Message { role: Role::Assistant, parts: reasoning(to, &mut fields, at)? },
        Some("item_reference") => return Err(at.invalid(NOT_STORED)),
        Some(kind) => {
            if holds_content(kind, &fields) {
                to.foreign.push(format!("`{at}` (an item `{kind}`)"));
            } else {
                to.lost.push(at.to_string());
            }
            return Ok(None);
        }
    };
    at.leftovers(&fields, &mut to.lost);
    Ok(Some(message))
}

/// Whether an item that only OpenAI's own tools say and read tells a model anything: most do, and what nobody knows may. Of
/// these the answer that follows them has told what there was.
fn holds_content(kind: &str, fields: &Map<String, Value>) -> bool {
    let content: &[&str] = match kind {
        "web_search_call" | "mcp_list_tools" => &[],
        "mcp_call" => &["output", "error"],
        "code_interpreter_call" => &["outputs"],
        "file_search_call" => &["results"],
        _ => return true,
    };
    content.iter().any(|name| fields.get(*name).is_some_and(|value| !place::says_nothing(value)))
}

/// The reverse of [`super::items::reasoning`]: a summary with a seal is thinking with its signature; a seal alone is
/// thinking that was never shown. What OpenAI sealed is for OpenAI alone, and goes nowhere else.
fn reasoning(to: &mut Conversation, fields: &mut Map<String, Value>, at: &Place<'_>) -> Result<Vec<Part>, Error> {
    let sealed = at.optional_string(fields, "encrypted_content")?.filter(|sealed| !sealed.is_empty());
    if sealed.as_deref().is_some_and(|sealed| !sealed.starts_with(FOREIGN_SEAL)) {
        to.lost.push(at.field("encrypted_content").to_string());
    }
    let sealed = sealed.and_then(|sealed| sealed.strip_prefix(FOREIGN_SEAL).map(str::to_owned));
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
