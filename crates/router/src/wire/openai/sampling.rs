//! The parameters that all OpenAI dialects name alike.

use super::place::{Place, says_nothing, whole};
use crate::{
    Conversation, Error,
    conversation::{Format, Thinking, ToolChoice},
};
use serde_json::{Map, Value};

/// Takes `value` if `name` is one of them; gives it back otherwise.
pub(crate) fn take(to: &mut Conversation, name: &str, value: Value, at: &Place<'_>) -> Result<Option<Value>, Error> {
    match name {
        // The envelope's.
        "model" | "stream" | "stream_options" => {}
        "temperature" => to.temperature = Some(at.number(&value)?),
        "top_p" => to.top_p = Some(at.number(&value)?),
        // Not OpenAI's, but of many servers that speak its dialect.
        "top_k" => {
            // 0 and -1 are all of them.
            let is_all = value.as_f64().is_some_and(|count| count <= 0.0);
            to.top_k = if is_all { None } else { Some(at.count(&value)?) };
        }
        "frequency_penalty" => to.frequency_penalty = Some(at.number(&value)?),
        "presence_penalty" => to.presence_penalty = Some(at.number(&value)?),
        "parallel_tool_calls" => to.parallel_tool_calls = Some(at.flag(&value)?),
        "seed" => match whole(&value) {
            Some(seed) => to.seed = Some(seed),
            // Providers disagree about negative seeds, so there is no right translation.
            None if value.is_i64() => to.lost.push(at.to_string()),
            None => return Err(at.invalid(format!("must be a whole number and is {value}"))),
        },
        "stop" => to.stop = stop(value, at)?,
        "user" => to.user = Some(at.string(value)?),
        // OpenAI's newer name for it.
        "safety_identifier" => {
            let user = at.string(value)?;
            to.user.get_or_insert(user);
        }
        // One answer in place of several would be another answer.
        "n" if whole(&value).is_some_and(|answers| answers > 1) => {
            return Err(at.invalid(format!(
                "is {value}, and the chosen model's API gives one answer. Send one request for each"
            )));
        }
        _ => return Ok(Some(value)),
    }
    Ok(None)
}

/// Whether `value` is what happens anyway, so that leaving it out loses nothing.
pub(crate) fn is_default(name: &str, value: &Value) -> bool {
    match name {
        "logprobs" | "store" | "background" | "echo" => *value == Value::Bool(false),
        "top_logprobs" => value.as_u64() == Some(0),
        "n" | "best_of" => whole(value) == Some(1),
        "service_tier" => matches!(value.as_str(), Some("auto" | "default")),
        "truncation" => value.as_str() == Some("disabled"),
        "verbosity" => value.as_str() == Some("medium"),
        "modalities" => matches!(value.as_array().map(Vec::as_slice), Some([only]) if only == "text"),
        // Without any wish it asks for a search all the same.
        "web_search_options" => value.is_null(),
        _ => says_nothing(value),
    }
}

fn stop(value: Value, at: &Place<'_>) -> Result<Vec<String>, Error> {
    match value {
        Value::String(text) => Ok(vec![text]),
        Value::Array(texts) => {
            texts.into_iter().enumerate().map(|(index, text)| at.index(index).string(text)).collect()
        }
        _ => Err(at.invalid("must be a text or an array of texts")),
    }
}

pub(crate) fn effort(effort: String) -> Thinking {
    if effort == "none" { Thinking::Off } else { Thinking::Effort(effort) }
}

/// `reasoning: {effort, max_tokens, enabled}`. OpenAI has only `effort` there; the others are OpenRouter's.
pub(crate) fn reasoning(to: &mut Conversation, value: Value, at: &Place<'_>) -> Result<(), Error> {
    let mut fields = at.object(value)?;
    if let Some(enabled) = fields.remove("enabled").filter(|value| !value.is_null()) {
        to.thinking = if at.field("enabled").flag(&enabled)? { Thinking::On } else { Thinking::Off };
    }
    if let Some(tokens) = fields.remove("max_tokens").filter(|value| !value.is_null()) {
        to.thinking = Thinking::BudgetTokens(at.field("max_tokens").count(&tokens)?);
    }
    if let Some(text) = at.optional_string(&mut fields, "effort")? {
        to.thinking = effort(text);
    }
    // Thinking is passed on as it comes, which is what `auto` asks for.
    fields.retain(|name, value| !(name == "summary" && *value == "auto"));
    at.leftovers(&fields, &mut to.lost);
    Ok(())
}

pub(crate) fn mode_of(mode: &str, at: &Place<'_>) -> Result<ToolChoice, Error> {
    match mode {
        "auto" => Ok(ToolChoice::Auto),
        "none" => Ok(ToolChoice::None),
        "required" | "any" => Ok(ToolChoice::Required),
        other => Err(at.invalid(format!("is `{other}`. Known here: auto, none, required, or one function"))),
    }
}

/// A `response_format` or `text.format`; `schema` are the fields of the object that holds the schema.
pub(crate) fn format(
    kind: &str,
    schema: impl FnOnce() -> Result<Map<String, Value>, Error>,
    at: &Place<'_>,
    lost: &mut Vec<String>,
) -> Result<Format, Error> {
    match kind {
        "text" => Ok(Format::Text),
        "json_object" => Ok(Format::Json),
        "json_schema" => {
            let mut fields = schema()?;
            let format = Format::Schema {
                name: at.optional_string(&mut fields, "name")?.unwrap_or_else(|| "answer".to_owned()),
                schema: Value::Object(at.field("schema").object(at.required(&mut fields, "schema")?)?),
                strict: match fields.remove("strict") {
                    None | Some(Value::Null) => None,
                    Some(strict) => Some(at.field("strict").flag(&strict)?),
                },
            };
            at.leftovers(&fields, lost);
            Ok(format)
        }
        other => Err(at.field("type").invalid(format!("is `{other}`. Known here: text, json_object, json_schema"))),
    }
}
