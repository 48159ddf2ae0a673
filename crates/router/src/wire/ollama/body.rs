//! The body of `POST /api/chat` for a conversation.

use super::provider::{Details, Settings};
use crate::{
    Error, Field,
    conversation::{Conversation, Format, Image, Message, Part, Thinking, Tool, ToolChoice},
};
use protocol::Role;
use serde_json::{Map, Value, json};

/// Ollama reads numbers as 64-bit floating point, which holds integers up to this.
const LARGEST_SEED: u64 = (1 << 53) - 1;

/// What Ollama cannot be told. A tool that must be called is at least the only one offered.
pub(crate) fn not_carried(conversation: &Conversation) -> Vec<Field> {
    let mut lost = Vec::new();
    if matches!(conversation.tool_choice, ToolChoice::Required | ToolChoice::Named(_)) {
        lost.push(Field::ToolChoice);
    }
    lost.push(Field::ParallelToolCalls);
    lost.retain(|field| field.is_said(conversation));
    lost
}

/// # Errors
/// [`Error::Refused`] for pictures that this model or Ollama itself cannot look at.
pub(crate) fn body(
    conversation: &Conversation,
    model: &str,
    details: &Details,
    settings: &Settings<'_>,
) -> Result<Value, Error> {
    let mut body = json!({
        "model": model,
        "messages": messages(&conversation.messages, model, details, settings)?,
        "stream": true,
        "truncate": false,
        "shift": false,
        "keep_alive": settings.keep_alive(),
        "options": options(conversation, settings.context_tokens),
    });
    let tools = tools(conversation);
    if !tools.is_empty() {
        body["tools"] = tools.into_iter().map(tool).collect();
        // Ollama says nothing while it gathers a tool call, which can take minutes. With this each token gives a line,
        // so that a model at work can be told from one that hangs. Hosts in the cloud need not know the field.
        if !details.remote {
            body["logprobs"] = json!(true);
        }
    }
    match &conversation.format {
        Format::Text => {}
        Format::Json => body["format"] = json!("json"),
        Format::Schema { schema, .. } => body["format"] = schema.clone(),
    }
    if let Some(think) = think(&conversation.thinking, details) {
        body["think"] = think;
    }
    Ok(body)
}

fn options(conversation: &Conversation, context_tokens: u64) -> Map<String, Value> {
    let mut options = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            options.insert(name.to_owned(), value);
        }
    };
    set("num_ctx", Some(context_tokens.into()));
    set("num_predict", conversation.max_output_tokens.map(Value::from));
    set("temperature", conversation.temperature.map(plain_number));
    set("top_p", conversation.top_p.map(plain_number));
    set("top_k", conversation.top_k.map(Value::from));
    set("frequency_penalty", conversation.frequency_penalty.map(plain_number));
    set("presence_penalty", conversation.presence_penalty.map(plain_number));
    set("seed", conversation.seed.map(|seed| Value::from(seed & LARGEST_SEED)));
    set("stop", (!conversation.stop.is_empty()).then(|| json!(conversation.stop)));
    options
}

/// A temperature of 0.2 goes out as 0.2, and not as the nearest 32-bit number written with 64 bits.
fn plain_number(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

fn tools(conversation: &Conversation) -> Vec<&Tool> {
    let offered = conversation.tools.iter();
    match &conversation.tool_choice {
        ToolChoice::None => Vec::new(),
        ToolChoice::Named(name) => offered.filter(|tool| &tool.name == name).collect(),
        ToolChoice::Auto | ToolChoice::Required => offered.collect(),
    }
}

fn tool(tool: &Tool) -> Value {
    json!({
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    })
}

/// Models without that capability refuse even being told to think.
fn think(thinking: &Thinking, details: &Details) -> Option<Value> {
    if !details.thinking {
        return None;
    }
    let level = |level: &str| match level {
        "minimal" | "low" => "low",
        "medium" => "medium",
        _ => "high",
    };
    match thinking {
        Thinking::Default => None,
        Thinking::Off | Thinking::BudgetTokens(0) => Some(json!(false)),
        Thinking::Effort(effort) if effort == "none" => Some(json!(false)),
        Thinking::Effort(effort) if details.thinks_by_level => Some(json!(level(effort))),
        Thinking::On | Thinking::Effort(_) | Thinking::BudgetTokens(_) => Some(json!(true)),
    }
}

fn messages(
    messages: &[Message],
    model: &str,
    details: &Details,
    settings: &Settings<'_>,
) -> Result<Vec<Value>, Error> {
    // A result names its tool here and not only its call.
    let name_of = |id: &str| {
        messages.iter().flat_map(|message| &message.parts).find_map(|part| match part {
            Part::ToolCall { id: at, name, .. } if at == id => Some(name.clone()),
            _ => None,
        })
    };
    let mut all = Vec::with_capacity(messages.len());
    for message in messages {
        // What an assistant said goes on where it stopped; what others said in pieces are lines.
        let between = if message.role == Role::Assistant { "" } else { "\n" };
        let mut wire = Wire { between, ..Wire::default() };
        for part in &message.parts {
            let Part::ToolResult { call_id, parts, .. } = part else {
                wire.add(part, model, details, settings)?;
                continue;
            };
            let mut result = Wire { between: "\n", ..Wire::default() };
            for part in parts {
                result.add(part, model, details, settings)?;
            }
            let mut result = result.finish("tool");
            result["tool_call_id"] = json!(call_id);
            if let Some(name) = name_of(call_id) {
                result["tool_name"] = json!(name);
            }
            all.push(result);
        }
        let only_results = message.parts.iter().any(|part| matches!(part, Part::ToolResult { .. })) && wire.is_empty();
        if !only_results {
            all.push(wire.finish(message.role.as_str()));
        }
    }
    Ok(all)
}

/// # Errors
/// [`Error::Refused`] for a model that is known not to.
pub(crate) fn can_look(model: &str, details: &Details, settings: &Settings<'_>) -> Result<(), Error> {
    if details.vision != Some(false) {
        return Ok(());
    }
    let message = format!("`{model}` cannot look at images. Take a model with the capability `vision`");
    Err(Error::Refused { provider: settings.provider.to_owned(), message })
}

/// One message as it grows from its parts.
#[derive(Default)]
struct Wire {
    between: &'static str,
    content: String,
    thinking: String,
    images: Vec<String>,
    tool_calls: Vec<Value>,
}

impl Wire {
    fn add(&mut self, part: &Part, model: &str, details: &Details, settings: &Settings<'_>) -> Result<(), Error> {
        let refused = |message: String| Error::Refused { provider: settings.provider.to_owned(), message };
        match part {
            Part::Text(text) => {
                if !self.content.is_empty() && !text.is_empty() {
                    self.content.push_str(self.between);
                }
                self.content.push_str(text);
            }
            Part::Image(image) => {
                can_look(model, details, settings)?;
                let data = match image {
                    Image::Base64 { data, .. } => data,
                    // What stands in the URL itself need not be fetched.
                    Image::Url(url) => url
                        .strip_prefix("data:")
                        .and_then(|rest| rest.split_once(";base64,"))
                        .map(|(_, data)| data)
                        .ok_or_else(|| {
                            refused("Ollama does not fetch images by URL. Send the image itself, as base64".to_owned())
                        })?,
                };
                self.images.push(data.to_owned());
            }
            Part::Document { media_type, .. } => {
                return Err(refused(format!("Ollama reads no documents (`{media_type}`). Send what it says as text")));
            }
            Part::Thinking { text, .. } => self.thinking.push_str(text),
            // Only its own provider can read it.
            Part::RedactedThinking { .. } => {}
            Part::ToolCall { id, name, arguments } => {
                // Ollama takes objects only; what a model got wrong once must still be sent back to it.
                let arguments = match serde_json::from_str::<Value>(arguments) {
                    Ok(Value::Object(arguments)) => Value::Object(arguments),
                    Ok(Value::Null) => json!({}),
                    _ if arguments.trim().is_empty() => json!({}),
                    _ => json!({"arguments": arguments}),
                };
                self.tool_calls.push(json!({"id": id, "function": {"name": name, "arguments": arguments}}));
            }
            Part::ToolResult { .. } => {}
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.content.is_empty() && self.thinking.is_empty() && self.images.is_empty() && self.tool_calls.is_empty()
    }

    fn finish(self, role: &str) -> Value {
        let mut wire = json!({"role": role, "content": self.content});
        if !self.thinking.is_empty() {
            wire["thinking"] = json!(self.thinking);
        }
        if !self.images.is_empty() {
            wire["images"] = json!(self.images);
        }
        if !self.tool_calls.is_empty() {
            wire["tool_calls"] = json!(self.tool_calls);
        }
        wire
    }
}

#[cfg(test)]
mod tests;
