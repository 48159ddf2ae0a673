//! The objects that answers are made of, in the shapes of `/api/chat` and `/api/generate`.

use crate::answer::{Block, Finish, Whole};
use crate::dialect::Envelope;
use domain::Timestamp;
use protocol::FinishReason;
use serde_json::{Map, Value, json};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `message: {role, content, thinking, tool_calls}`
    Chat,
    /// `response`, `thinking`, `tool_calls`
    Generate,
}

/// What one object says.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) text: String,
    pub(crate) thinking: String,
    pub(crate) tool_calls: Vec<Value>,
}

/// How long the parts of an answer took, as far as can be seen from here; zero where it cannot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Took {
    pub(crate) total: Duration,
    /// From the beginning to the first of the answer.
    pub(crate) first: Duration,
}

pub(crate) fn object(shape: Shape, model: &str, created_at: Timestamp, said: Said) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("model".to_owned(), json!(model));
    object.insert("created_at".to_owned(), json!(created_at.to_string()));
    let mut fields = Map::new();
    if shape == Shape::Chat {
        fields.insert("role".to_owned(), json!("assistant"));
    }
    let text = if shape == Shape::Chat { "content" } else { "response" };
    fields.insert(text.to_owned(), json!(said.text));
    if !said.thinking.is_empty() {
        fields.insert("thinking".to_owned(), json!(said.thinking));
    }
    if !said.tool_calls.is_empty() {
        fields.insert("tool_calls".to_owned(), json!(said.tool_calls));
    }
    match shape {
        Shape::Chat => {
            object.insert("message".to_owned(), Value::Object(fields));
        }
        Shape::Generate => object.extend(fields),
    }
    object.insert("done".to_owned(), json!(false));
    object
}

/// The end of an answer. Always with all counts: some clients insist on them.
pub(crate) fn finish(object: &mut Map<String, Value>, finish: &Finish, took: Took) {
    let reason = match finish.reason {
        // Tool calls end like any other answer here.
        FinishReason::Stop | FinishReason::ToolCalls => "stop",
        FinishReason::Length => "length",
        FinishReason::ContentFilter => "content_filter",
    };
    let load = Duration::from_millis(finish.load_ms.unwrap_or(0));
    let nanoseconds = |time: Duration| json!(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    object.insert("done".to_owned(), json!(true));
    object.insert("done_reason".to_owned(), json!(reason));
    object.insert("total_duration".to_owned(), nanoseconds(took.total));
    object.insert("load_duration".to_owned(), nanoseconds(load));
    object.insert("prompt_eval_count".to_owned(), json!(finish.usage.input_tokens));
    object.insert("prompt_eval_duration".to_owned(), nanoseconds(took.first.saturating_sub(load)));
    object.insert("eval_count".to_owned(), json!(finish.usage.output_tokens));
    object.insert("eval_duration".to_owned(), nanoseconds(took.total.saturating_sub(took.first)));
}

/// Arguments are an object here. What a model got wrong is passed on within one.
pub(crate) fn tool_call(index: usize, id: &str, name: &str, arguments: &str) -> Value {
    let arguments = match serde_json::from_str::<Value>(arguments) {
        Ok(Value::Object(arguments)) => Value::Object(arguments),
        Ok(Value::Null) => json!({}),
        _ if arguments.trim().is_empty() => json!({}),
        _ => json!({"arguments": arguments}),
    };
    let mut call = json!({"function": {"index": index, "name": name, "arguments": arguments}});
    if !id.is_empty() {
        call["id"] = json!(id);
    }
    call
}

/// An answer that came whole.
pub(crate) fn whole(shape: Shape, envelope: &Envelope, whole: &Whole) -> Value {
    let mut said = Said::default();
    for block in &whole.blocks {
        match block {
            Block::Text(text) => said.text.push_str(text),
            Block::Thinking { text, .. } => said.thinking.push_str(text),
            // Has no place here.
            Block::RedactedThinking(_) => {}
            Block::ToolCall { index, id, name, arguments } => {
                said.tool_calls.push(tool_call(*index, id, name, arguments));
            }
        }
    }
    let created_at = Timestamp::from_millis(envelope.created_s.saturating_mul(1000));
    let mut object = object(shape, &envelope.model, created_at, said);
    if let Some(end) = &whole.finish {
        finish(&mut object, end, Took::default());
    }
    Value::Object(object)
}
