//! A [`Conversation`] as the body of `POST /v1/messages`.
//!
//! The vendor refuses much that others take: texts without a character, results of tools in several messages, thinking
//! beside a forced tool. What stands here bends a conversation to its rules where the meaning stays.

mod messages;
mod thinking;

use super::provider::capabilities::{Capabilities, ThinkingStyle};
use crate::{
    Conversation, Field,
    conversation::{Format, Thinking, Tool, ToolChoice},
};
pub(crate) use messages::unfit;
use messages::{Content, Said};
use serde::Serialize;
use serde_json::{Value, json};
use thinking::Config;

/// What a model and its configuration allow.
pub(crate) struct Limits {
    pub(crate) capabilities: Capabilities,
    pub(crate) default_max_tokens: u32,
}

/// The body, and the white space that was taken from its end (see [`super::reader::Manner::held_back`]).
pub(crate) struct Built {
    pub(crate) json: Vec<u8>,
    pub(crate) held_back: String,
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<Content<'a>>,
    messages: Vec<Said<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Config>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Value>,
}

pub(crate) fn build(model: &str, conversation: &Conversation, limits: &Limits) -> Result<Built, serde_json::Error> {
    let capabilities = limits.capabilities;
    let (messages, held_back) = messages::of(conversation);
    let mut max_tokens = conversation.max_output_tokens.unwrap_or(limits.default_max_tokens).max(1);
    let chosen = thinking::choose(conversation, capabilities, &mut max_tokens);
    let thinks = chosen.config.as_ref().is_some_and(Config::is_on);
    let schema = match &conversation.format {
        Format::Schema { schema, .. } if capabilities.schema => Some(schema),
        _ => None,
    };
    let mut output_config = serde_json::Map::new();
    output_config
        .extend(schema.map(|schema| ("format".to_owned(), json!({ "type": "json_schema", "schema": schema }))));
    output_config.extend(chosen.effort.map(|effort| ("effort".to_owned(), effort.into())));
    let sampling = Sampling::of(conversation, capabilities, thinks);
    let body = Body {
        model,
        max_tokens,
        stream: true,
        system: messages::system(conversation, asked_in_words(&conversation.format, capabilities)),
        messages,
        tools: conversation.tools.iter().map(|tool| self::tool(tool, capabilities)).collect(),
        tool_choice: tool_choice(conversation),
        thinking: chosen.config,
        output_config: (!output_config.is_empty()).then_some(Value::Object(output_config)),
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        // Those without a visible character are refused.
        stop_sequences: conversation.stop.iter().map(String::as_str).filter(|stop| !stop.trim().is_empty()).collect(),
        metadata: conversation.user.as_ref().map(|user| json!({ "user_id": user })),
    };
    Ok(Built { json: serde_json::to_vec(&body)?, held_back })
}

/// What the vendor has no field for, or this model does not take.
pub(crate) fn not_carried(conversation: &Conversation, limits: &Limits) -> Vec<Field> {
    let mut max_tokens = conversation.max_output_tokens.unwrap_or(limits.default_max_tokens);
    let chosen = thinking::choose(conversation, limits.capabilities, &mut max_tokens);
    let thinks = chosen.config.as_ref().is_some_and(Config::is_on);
    let told = Sampling::of(conversation, limits.capabilities, thinks);
    let mut lost = vec![Field::FrequencyPenalty, Field::PresencePenalty, Field::Seed];
    let is_cooler = conversation.temperature.is_some_and(|asked| asked > 1.0);
    lost.extend((told.temperature.is_none() || is_cooler).then_some(Field::Temperature));
    lost.extend(conversation.stop.iter().any(|stop| stop.trim().is_empty()).then_some(Field::Stop));
    lost.extend(told.top_p.is_none().then_some(Field::TopP));
    lost.extend(told.top_k.is_none().then_some(Field::TopK));
    // A budget stands for every word there is.
    let is_said = thinks && (chosen.effort.is_some() || !matches!(conversation.thinking, Thinking::Effort(_)));
    let is_budget = matches!(chosen.config, Some(Config::Enabled { .. }));
    lost.extend((!is_said && !is_budget).then_some(Field::Thinking));
    lost.retain(|field| field.is_said(conversation));
    lost
}

/// What a model without a field for it is told about the shape of its answer.
fn asked_in_words(format: &Format, capabilities: Capabilities) -> Option<String> {
    match format {
        Format::Text | Format::Grammar(_) => None,
        Format::Json => Some("Answer with one JSON object and nothing else.".to_owned()),
        Format::Schema { .. } if capabilities.schema => None,
        Format::Schema { schema, .. } => {
            Some(format!("Answer with JSON that this JSON Schema describes, and nothing else: {schema}"))
        }
    }
}

fn tool(tool: &Tool, capabilities: Capabilities) -> Value {
    let mut schema = tool.parameters.clone();
    if !schema.is_object() {
        schema = json!({});
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.entry("type").or_insert_with(|| "object".into());
    }
    let mut json = json!({ "name": tool.name, "input_schema": schema });
    if !tool.description.is_empty() {
        json["description"] = tool.description.as_str().into();
    }
    if tool.strict == Some(true) && capabilities.schema {
        json["strict"] = true.into();
    }
    json
}

fn tool_choice(conversation: &Conversation) -> Option<Value> {
    if conversation.tools.is_empty() {
        return None;
    }
    let one_at_a_time = conversation.parallel_tool_calls == Some(false);
    let mut choice = match &conversation.tool_choice {
        ToolChoice::Auto if !one_at_a_time => return None,
        ToolChoice::Auto => json!({ "type": "auto" }),
        ToolChoice::None => return Some(json!({ "type": "none" })),
        ToolChoice::Required => json!({ "type": "any" }),
        ToolChoice::Named(name) => json!({ "type": "tool", "name": name }),
    };
    if one_at_a_time {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

struct Sampling {
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
}

impl Sampling {
    /// The vendor's temperatures end at 1. A thinking model takes none, no `top_k`, and `top_p` only close to 1. Models that
    /// have schemas take either a temperature or `top_p`.
    fn of(conversation: &Conversation, capabilities: Capabilities, thinks: bool) -> Self {
        if !capabilities.sampling {
            return Self { temperature: None, top_p: None, top_k: None };
        }
        let temperature = conversation.temperature.filter(|_| !thinks).map(|temperature| temperature.clamp(0.0, 1.0));
        let top_p = conversation.top_p.filter(|top_p| !thinks || (0.95..=1.0).contains(top_p));
        let one_of_both = capabilities.schema || capabilities.thinking == ThinkingStyle::Adaptive;
        Self {
            temperature,
            top_p: top_p.filter(|_| temperature.is_none() || !one_of_both),
            top_k: conversation.top_k.filter(|&top_k| !thinks && top_k > 0),
        }
    }
}

#[cfg(test)]
mod tests;
