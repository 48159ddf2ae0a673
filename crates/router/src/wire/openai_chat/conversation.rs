//! A chat completion's request in the router's words.

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
use serde_json::{Map, Value, json};

/// What a request is answered with that would lose all of its tools.
const NONE_LEFT: &str = "are all tools that are no functions, and the chosen model's provider knows functions alone. Name a model of a server that speaks this API, or declare a function";

pub(crate) fn conversation(body: &Bytes) -> Result<Conversation, Error> {
    let root = Place::Root;
    let mut to = Conversation::default();
    let mut has_messages = false;
    // The older name gives way to the newer one, whichever comes first.
    let mut max_tokens = None;
    let mut allowed = None;
    let mut declares_tools = false;
    for (name, value) in place::body(body)? {
        let at = root.field(&name);
        if value.is_null() {
            continue;
        }
        let Some(value) = sampling::take(&mut to, &name, value, &at)? else { continue };
        match name.as_str() {
            "messages" => {
                has_messages = true;
                to.messages = messages(&mut to, value, &at)?;
            }
            "tools" => {
                declares_tools = value.as_array().is_some_and(|tools| !tools.is_empty());
                to.tools.extend(tools(value, &at, &mut to.lost)?);
            }
            "functions" => {
                for (index, function) in at.array(value)?.into_iter().enumerate() {
                    let at = at.index(index);
                    to.tools.push(content::tool(at.object(function)?, &at, &mut to.lost)?);
                }
            }
            "tool_choice" | "function_call" => to.tool_choice = tool_choice(value, &at, &mut allowed, &mut to.lost)?,
            "response_format" => {
                let mut fields = at.object(value)?;
                let mut kind = at.field("type").string(at.required(&mut fields, "type")?)?;
                let inner = at.field("json_schema");
                // llama.cpp, Together and Fireworks write a schema so.
                let beside = fields.remove("schema").filter(|schema| kind == "json_object" && schema.is_object());
                if let Some(schema) = beside {
                    kind = "json_schema".to_owned();
                    fields.insert("json_schema".to_owned(), json!({ "schema": schema }));
                }
                let schema = || inner.object(at.required(&mut fields, "json_schema")?);
                to.format = sampling::format(&kind, schema, &inner, &mut to.lost)?;
            }
            "max_completion_tokens" => to.max_output_tokens = at.limit(&value)?,
            "max_tokens" => max_tokens = at.limit(&value)?,
            "reasoning_effort" => to.thinking = sampling::effort(at.string(value)?),
            "reasoning" => sampling::reasoning(&mut to, value, &at)?,
            _ if sampling::is_default(&name, &value) => {}
            _ => to.lost.push(at.to_string()),
        }
    }
    to.max_output_tokens = to.max_output_tokens.or(max_tokens);
    if declares_tools && to.tools.is_empty() {
        return Err(root.field("tools").invalid(NONE_LEFT));
    }
    if let ToolChoice::Named(name) = &to.tool_choice
        && to.tools.iter().all(|tool| tool.name != *name)
    {
        return Err(root.field("tool_choice").invalid(format!(
            "names `{name}`, which is not among the `tools` that the chosen model can be told of. Choose one of its functions, or name a model of a server that speaks this API"
        )));
    }
    if let Some(allowed) = allowed.filter(|_| !to.tools.is_empty()) {
        to.tools.retain(|tool| allowed.contains(&tool.name));
        if to.tools.is_empty() {
            let at = root.field("tool_choice");
            return Err(at.invalid("allows no tool that the chosen model can be told of. Allow one of `tools`"));
        }
    }
    if !has_messages {
        return Err(root.field("messages").invalid("is missing"));
    }
    Ok(to)
}

fn tools(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Vec<Tool>, Error> {
    let mut tools = Vec::new();
    for (index, tool) in at.array(value)?.into_iter().enumerate() {
        let at = at.index(index);
        let mut fields = at.object(tool)?;
        let kind = at.optional_string(&mut fields, "type")?;
        if kind.is_some_and(|kind| kind != "function") {
            // Tools whose calls are no JSON.
            lost.push(at.to_string());
            continue;
        }
        let inner = at.field("function");
        let function = inner.object(at.required(&mut fields, "function")?)?;
        tools.push(content::tool(function, &inner, lost)?);
        at.leftovers(&fields, lost);
    }
    Ok(tools)
}

/// The only tools that may be called go to `allowed`: others are not even told of.
fn tool_choice(
    value: Value,
    at: &Place<'_>,
    allowed: &mut Option<Vec<String>>,
    lost: &mut Vec<String>,
) -> Result<ToolChoice, Error> {
    let mut fields = match value {
        Value::String(mode) => return sampling::mode_of(&mode, at),
        other => at.object(other)?,
    };
    let kind = at.optional_string(&mut fields, "type")?;
    match kind.as_deref() {
        Some("function" | "tool") if fields.contains_key("function") => {
            let inner = at.field("function");
            let mut function = inner.object(at.required(&mut fields, "function")?)?;
            Ok(ToolChoice::Named(inner.field("name").string(inner.required(&mut function, "name")?)?))
        }
        // The older `function_call`, and how other vendors name one.
        None | Some("function" | "tool") => {
            Ok(ToolChoice::Named(at.field("name").string(at.required(&mut fields, "name")?)?))
        }
        Some("allowed_tools") => {
            let inner = at.field("allowed_tools");
            let mut choice = inner.object(at.required(&mut fields, "allowed_tools")?)?;
            let mode = inner.optional_string(&mut choice, "mode")?;
            let list = inner.field("tools");
            let mut names = Vec::new();
            for (index, tool) in list.array(inner.required(&mut choice, "tools")?)?.into_iter().enumerate() {
                let at = list.index(index);
                let mut tool = at.object(tool)?;
                match tool.remove("function") {
                    Some(function) => {
                        let at = at.field("function");
                        let mut function = at.object(function)?;
                        names.push(at.field("name").string(at.required(&mut function, "name")?)?);
                    }
                    // One that only its vendor runs.
                    None => lost.push(at.to_string()),
                }
            }
            *allowed = Some(names);
            sampling::mode_of(mode.as_deref().unwrap_or("auto"), &inner.field("mode"))
        }
        // Clients of several vendors write a mode as an object.
        Some(mode) => sampling::mode_of(mode, &at.field("type")),
    }
}

fn messages(to: &mut Conversation, value: Value, at: &Place<'_>) -> Result<Vec<Message>, Error> {
    let values = at.array(value)?;
    let mut messages = Vec::with_capacity(values.len());
    let mut functions = Functions::default();
    for (index, message) in values.into_iter().enumerate() {
        let at = at.index(index);
        messages.push(one_message(to, at.object(message)?, &at, &mut functions)?);
    }
    Ok(messages)
}

/// Calls of the older kind have no ids: their results name the function. Ids are made for them, and found again.
#[derive(Default)]
struct Functions {
    made: usize,
    unanswered: Vec<(String, String)>,
}

impl Functions {
    fn called(&mut self, name: &str) -> String {
        self.made += 1;
        let id = format!("function_{}", self.made);
        self.unanswered.push((name.to_owned(), id.clone()));
        id
    }

    fn answered(&mut self, name: &str) -> String {
        match self.unanswered.iter().position(|(called, _)| called == name) {
            Some(at) => self.unanswered.remove(at).1,
            None => name.to_owned(),
        }
    }
}

fn one_message(
    to: &mut Conversation,
    mut fields: Map<String, Value>,
    at: &Place<'_>,
    functions: &mut Functions,
) -> Result<Message, Error> {
    let role = at.field("role").string(at.required(&mut fields, "role")?)?;
    let content = fields.remove("content").unwrap_or(Value::Null);
    if role == "assistant" {
        let message = assistant(to, &mut fields, content, at, functions)?;
        at.leftovers(&fields, &mut to.lost);
        return Ok(message);
    }
    let lost = &mut to.lost;
    let content = content::parts(content, &at.field("content"), lost)?;
    let message = match role.as_str() {
        "system" | "developer" => Message { role: Role::System, parts: content },
        "user" => Message { role: Role::User, parts: content },
        "tool" => {
            let call_id = at.field("tool_call_id").string(at.required(&mut fields, "tool_call_id")?)?;
            // The call has the name already.
            fields.remove("name");
            result(call_id, content)
        }
        "function" => {
            let name = at.field("name").string(at.required(&mut fields, "name")?)?;
            result(functions.answered(&name), content)
        }
        other => {
            let known = "system, developer, user, assistant, tool, function";
            return Err(at.field("role").invalid(format!("is `{other}`. Known here: {known}")));
        }
    };
    at.leftovers(&fields, lost);
    Ok(message)
}

fn result(call_id: String, parts: Vec<Part>) -> Message {
    Message { role: Role::Tool, parts: vec![Part::ToolResult { call_id, parts, is_error: false }] }
}

/// What an assistant showed or spoke and did not write. Only the server that it came from knows it again.
const SHOWN: [&str; 3] = ["audio", "images", "video"];

fn assistant(
    to: &mut Conversation,
    fields: &mut Map<String, Value>,
    content: Value,
    at: &Place<'_>,
    functions: &mut Functions,
) -> Result<Message, Error> {
    for name in SHOWN {
        if fields.remove(name).is_some_and(|shown| !place::says_nothing(&shown)) {
            to.foreign.push(format!("`{}` (what an assistant showed or spoke)", at.field(name)));
        }
    }
    let lost = &mut to.lost;
    let content = content::of_assistant(content, &at.field("content"), lost)?;
    let mut parts = Vec::new();
    // Two names of one thing: servers that send both send the same text.
    let thinking = at.optional_string(fields, "reasoning_content")?;
    let thinking = thinking.or(at.optional_string(fields, "reasoning")?);
    if let Some(text) = thinking.filter(|text| !text.is_empty()) {
        parts.push(Part::Thinking { text, signature: None });
    }
    parts.extend(content);
    if let Some(refusal) = at.optional_string(fields, "refusal")? {
        parts.push(Part::Text(refusal));
    }
    if let Some(calls) = fields.remove("tool_calls").filter(|calls| !calls.is_null()) {
        let at = at.field("tool_calls");
        for (index, call) in at.array(calls)?.into_iter().enumerate() {
            let at = at.index(index);
            let mut call = at.object(call)?;
            // Parts of a stream that some clients send back as they gathered them.
            call.remove("index");
            let kind = at.optional_string(&mut call, "type")?;
            if let Some(kind) = kind.filter(|kind| !kind.is_empty() && kind != "function") {
                return Err(at.field("type").invalid(format!(
                    "is `{kind}`, a call that only OpenAI's API has a place for. Name a model of such a server"
                )));
            }
            let id = at.field("id").string(at.required(&mut call, "id")?)?;
            let inner = at.field("function");
            let (name, arguments) = function(at.required(&mut call, "function")?, &inner, lost)?;
            parts.push(Part::ToolCall { id, name, arguments });
            at.leftovers(&call, lost);
        }
    }
    if let Some(call) = fields.remove("function_call").filter(|call| !call.is_null()) {
        let (name, arguments) = function(call, &at.field("function_call"), lost)?;
        parts.push(Part::ToolCall { id: functions.called(&name), name, arguments });
    }
    Ok(Message { role: Role::Assistant, parts })
}

fn function(value: Value, at: &Place<'_>, lost: &mut Vec<String>) -> Result<(String, String), Error> {
    let mut function = at.object(value)?;
    let name = at.field("name").string(at.required(&mut function, "name")?)?;
    let arguments = content::arguments(function.remove("arguments"));
    // What the SDK's `parse` adds to what it gathered.
    function.remove("parsed_arguments");
    at.leftovers(&function, lost);
    Ok((name, arguments))
}
