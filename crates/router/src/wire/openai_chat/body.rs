//! The body of `POST /chat/completions`, from a conversation.

use crate::wire::{
    effort::Efforts,
    openai::provider::{Dressing, OutputLimit, Prefill},
};
use crate::{
    Conversation, Field,
    conversation::{Document, Format, Image, Message, Part, Thinking, ToolChoice},
    seals,
};
use protocol::{Location, Role};
use serde_json::{Value, json};

/// What a server there has no field for: OpenAI refuses what it does not know, and servers at home know more.
pub(crate) fn unknown(location: Location, efforts: &Efforts, conversation: &Conversation) -> Vec<Field> {
    let is_cloud = location == Location::Cloud;
    let thinking = match &conversation.thinking {
        Thinking::Effort(effort) => efforts.nearest(effort).is_none(),
        Thinking::BudgetTokens(_) => true,
        _ => is_cloud,
    };
    [(Field::TopK, is_cloud), (Field::Thinking, thinking), (Field::User, !is_cloud)]
        .into_iter()
        .filter_map(|(field, is_unknown)| is_unknown.then_some(field))
        .collect()
}

pub(crate) fn body(conversation: &Conversation, dressing: &Dressing<'_>) -> Value {
    let mut body = json!({
        "model": dressing.model,
        "messages": messages(conversation, dressing),
        "stream": true,
        "stream_options": {"include_usage": true},
    });
    tools(conversation, &mut body);
    match &conversation.format {
        Format::Text | Format::Grammar(_) => {}
        Format::Json => body["response_format"] = json!({"type": "json_object"}),
        Format::Schema { name, schema, strict } => {
            body["response_format"] = json!({
                "type": "json_schema",
                "json_schema": {"name": name, "schema": schema, "strict": strict.unwrap_or_else(|| is_strict(schema))},
            });
        }
    }
    let limit = match dressing.output_limit {
        OutputLimit::MaxTokens => "max_tokens",
        OutputLimit::MaxCompletionTokens => "max_completion_tokens",
    };
    let local = dressing.location == Location::Local;
    let stop = Some(&conversation.stop).filter(|stop| !stop.is_empty());
    let optional = [
        (limit, conversation.max_output_tokens.map(Value::from)),
        ("temperature", conversation.temperature.map(plain_number)),
        ("top_p", conversation.top_p.map(plain_number)),
        // See `unknown`.
        ("top_k", conversation.top_k.filter(|_| local).map(Value::from)),
        ("frequency_penalty", conversation.frequency_penalty.map(plain_number)),
        ("presence_penalty", conversation.presence_penalty.map(plain_number)),
        ("seed", conversation.seed.map(Value::from)),
        ("stop", stop.map(|stop| json!(stop))),
        ("user", conversation.user.as_deref().filter(|_| !local).map(Value::from)),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            body[name] = value;
        }
    }
    match &conversation.thinking {
        Thinking::Effort(effort) => {
            if let Some(effort) = dressing.efforts.nearest(effort) {
                body["reasoning_effort"] = json!(effort);
            }
        }
        // The template's own switch, which vLLM, llama.cpp and SGLang pass on. A server in the cloud refuses it, and a
        // model there that cannot think refuses an effort.
        Thinking::Off if local => body["chat_template_kwargs"] = json!({"enable_thinking": false}),
        Thinking::On | Thinking::BudgetTokens(_) if local => {
            body["chat_template_kwargs"] = json!({"enable_thinking": true});
        }
        _ => {}
    }
    let prefilled = conversation.messages.last().is_some_and(is_prefill);
    if prefilled && dressing.prefill == Prefill::VllmFlags {
        body["continue_final_message"] = json!(true);
        body["add_generation_prompt"] = json!(false);
    }
    if prefilled
        && dressing.prefill == Prefill::PrefixField
        && let Some(last) = body["messages"].as_array_mut().and_then(|messages| messages.last_mut())
    {
        last["prefix"] = json!(true);
    }
    body
}

fn is_prefill(message: &Message) -> bool {
    message.role == Role::Assistant && !message.parts.iter().any(|part| matches!(part, Part::ToolCall { .. }))
}

fn tools(conversation: &Conversation, body: &mut Value) {
    if conversation.tools.is_empty() {
        return;
    }
    let tools = conversation.tools.iter().map(|tool| {
        let mut function = json!({"name": tool.name, "description": tool.description, "parameters": tool.parameters});
        if let Some(strict) = tool.strict {
            function["strict"] = json!(strict);
        }
        json!({"type": "function", "function": function})
    });
    body["tools"] = tools.collect();
    match &conversation.tool_choice {
        ToolChoice::Auto => {}
        ToolChoice::None => body["tool_choice"] = json!("none"),
        ToolChoice::Required => body["tool_choice"] = json!("required"),
        ToolChoice::Named(name) => body["tool_choice"] = json!({"type": "function", "function": {"name": name}}),
    }
    if let Some(parallel) = conversation.parallel_tool_calls {
        body["parallel_tool_calls"] = json!(parallel);
    }
}

fn messages(conversation: &Conversation, dressing: &Dressing<'_>) -> Vec<Value> {
    let mut wire = Vec::with_capacity(conversation.messages.len());
    // Tools answer with text alone; what they show comes from the user, after the last of the answers in a row.
    let mut shown: Vec<Value> = Vec::new();
    for message in &conversation.messages {
        let results = message.parts.iter().filter_map(|part| match part {
            Part::ToolResult { call_id, parts, is_error } => Some((call_id, parts, *is_error)),
            _ => None,
        });
        for (call_id, parts, is_error) in results {
            wire.push(json!({"role": "tool", "tool_call_id": call_id, "content": result_text(parts, is_error)}));
            shown.extend(parts.iter().filter_map(attached));
        }
        if message.role == Role::Tool {
            continue;
        }
        if !shown.is_empty() {
            wire.push(json!({"role": "user", "content": std::mem::take(&mut shown)}));
        }
        wire.extend(match message.role {
            Role::Assistant => Some(assistant(message, dressing)),
            role => said(message).map(|content| json!({"role": role.as_str(), "content": content})),
        });
    }
    if !shown.is_empty() {
        wire.push(json!({"role": "user", "content": shown}));
    }
    wire
}

/// Text as a string, which every server's template takes; with images or files, parts in their order. `None` when there is
/// nothing.
fn said(message: &Message) -> Option<Value> {
    if !message.parts.iter().any(|part| attached(part).is_some()) {
        let texts = texts(&message.parts);
        return (!texts.is_empty() || message.parts.is_empty()).then(|| json!(texts.join("\n")));
    }
    let parts = message.parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(json!({"type": "text", "text": text})),
        part => attached(part),
    });
    Some(parts.collect())
}

/// What is shown and not said.
fn attached(part: &Part) -> Option<Value> {
    match part {
        Part::Image(shown) => Some(image(shown)),
        Part::Document { content: Document::Text(text), .. } => Some(json!({"type": "text", "text": text})),
        Part::Document { name, media_type, content } => {
            let data = match content {
                Document::Base64(data) => format!("data:{media_type};base64,{data}"),
                Document::Url(url) | Document::Text(url) => url.clone(),
            };
            let name = name.as_deref().unwrap_or("document");
            Some(json!({"type": "file", "file": {"filename": name, "file_data": data}}))
        }
        _ => None,
    }
}

fn assistant(message: &Message, dressing: &Dressing<'_>) -> Value {
    let text = message.plain();
    let calls = message.parts.iter().filter_map(|part| match part {
        Part::ToolCall { id, name, arguments } => {
            Some(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
        }
        _ => None,
    });
    let calls: Vec<Value> = calls.collect();
    let mut wire = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        wire["tool_calls"] = Value::Array(calls);
        if text.is_empty() {
            wire["content"] = Value::Null;
        }
    }
    // Models that think between tool calls want it back. A cloud gets nothing that it did not think itself.
    let local = dressing.location == Location::Local;
    let is_theirs = |seal: &Option<String>| {
        seal.as_deref().and_then(|seal| seal.strip_prefix(seals::NAMED)) == Some(dressing.provider)
    };
    let thoughts = message.parts.iter().filter_map(|part| match part {
        Part::Thinking { text, signature } if local || is_theirs(signature) => Some(text.as_str()),
        _ => None,
    });
    let thoughts: String = thoughts.collect();
    if !thoughts.is_empty() {
        wire["reasoning_content"] = json!(thoughts);
    }
    wire
}

pub(crate) fn texts(parts: &[Part]) -> Vec<&str> {
    parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None }).collect()
}

pub(crate) fn images(parts: &[Part]) -> impl Iterator<Item = &Image> {
    parts.iter().filter_map(|part| if let Part::Image(image) = part { Some(image) } else { None })
}

/// The dialect has no mark for a tool that failed.
pub(crate) fn result_text(parts: &[Part], is_error: bool) -> String {
    let text = texts(parts).join("\n");
    if is_error && !text.to_lowercase().starts_with("error") { format!("Error: {text}") } else { text }
}

pub(crate) fn image_url(image: &Image) -> String {
    match image {
        Image::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Image::Url(url) => url.clone(),
    }
}

fn image(image: &Image) -> Value {
    json!({"type": "image_url", "image_url": {"url": image_url(image)}})
}

/// A temperature of 0.2 goes out as 0.2, and not as the nearest 32-bit number written with 64 bits.
pub(crate) fn plain_number(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Whether every object says that it has all its properties and no others: the strict subset's rule for objects. `strict`
/// holds a model to the schema, and is refused for schemas outside the subset.
pub(crate) fn is_strict(schema: &Value) -> bool {
    let own = schema["type"] != "object" || {
        let properties = schema["properties"].as_object();
        let required = schema["required"].as_array();
        schema["additionalProperties"] == json!(false)
            && properties.is_none_or(|properties| {
                properties.keys().all(|name| required.is_some_and(|all| all.iter().any(|one| one == name.as_str())))
            })
    };
    own && match schema {
        Value::Object(parts) => parts.values().all(is_strict),
        Value::Array(parts) => parts.iter().all(is_strict),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
