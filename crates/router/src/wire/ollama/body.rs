//! The body of `POST /api/chat` for a conversation.

mod messages;

use super::provider::{Details, Settings};
use crate::wire::openai_chat::body::plain_number;
use crate::{
    Error, Field,
    conversation::{Conversation, Format, Thinking, Tool, ToolChoice},
};
pub(crate) use messages::can_look;
use serde_json::{Map, Value, json};

/// Ollama reads numbers as 64-bit floating point, which holds integers up to this.
const LARGEST_SEED: u64 = (1 << 53) - 1;

/// What Ollama cannot be told.
pub(crate) fn not_carried(conversation: &Conversation, details: Option<&Details>) -> Vec<Field> {
    let mut lost = vec![Field::ParallelToolCalls, Field::User];
    lost.extend(details.is_some_and(|details| !details.thinking).then_some(Field::Thinking));
    lost.retain(|field| field.is_said(conversation));
    lost
}

/// # Errors
/// [`Error::Refused`] for pictures and files that this model or Ollama itself cannot look at, and for a tool that must be
/// called, which Ollama cannot be told.
pub(crate) fn body(
    conversation: &Conversation,
    model: &str,
    details: &Details,
    settings: &Settings<'_>,
) -> Result<Value, Error> {
    let tools = tools(conversation, settings)?;
    let mut body = json!({
        "model": model,
        "messages": messages::messages(&conversation.messages, model, details, settings)?,
        "stream": true,
        "truncate": false,
        "shift": false,
        "keep_alive": settings.keep_alive(),
        "options": options(conversation, settings.context_tokens),
    });
    if !tools.is_empty() {
        body["tools"] = tools.iter().map(tool).collect();
        // Ollama says nothing while it gathers a tool call, which can take minutes. With this each token gives a line,
        // so that a model at work can be told from one that hangs. Hosts in the cloud need not know the field.
        if !details.remote {
            body["logprobs"] = json!(true);
        }
    }
    match &conversation.format {
        Format::Text | Format::Grammar(_) => {}
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

fn tools<'a>(conversation: &'a Conversation, settings: &Settings<'_>) -> Result<&'a [Tool], Error> {
    let choice = match &conversation.tool_choice {
        ToolChoice::None => return Ok(&[]),
        _ if conversation.tools.is_empty() => return Ok(&[]),
        ToolChoice::Auto => return Ok(&conversation.tools),
        ToolChoice::Required => "a tool".to_owned(),
        ToolChoice::Named(name) => format!("the tool `{name}`"),
    };
    let message = format!(
        "Ollama cannot be told that {choice} must be called. Leave the choice to the model, or use a model of another provider"
    );
    Err(Error::Refused { provider: settings.provider.to_owned(), message: message.into() })
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

#[cfg(test)]
mod tests;
