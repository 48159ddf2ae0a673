//! Whether a whole answer is good enough to be handed on.
//!
//! A provider can succeed and the answer still be useless: it breaks the schema it was asked to keep, calls a tool that
//! does not exist, says nothing, or says the same thing for ever. Such an answer is judged here; what follows from it (ask
//! again, ask a better model, hand it out all the same) is the route's policy.
//!
//! An answer that stopped at its length limit or at a content filter says so itself and is not judged by its form: it is
//! cut where it is cut.

mod loop_watch;
mod schema;

use crate::{
    Conversation,
    answer::{Block, Whole},
    conversation::Format,
};
pub use loop_watch::{Loop, LoopWatch};
use protocol::FinishReason;
use schema::Breach;
use serde_json::Value;
use std::fmt;

/// Why an answer is not good enough. Pointers are into the answer's JSON; messages are short and may quote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The text is JSON, or hides some in a code fence, but not of the schema asked for.
    SchemaBroken { pointer: String, message: String },
    /// JSON was asked for.
    NotJson { message: String },
    /// The request has no such tool.
    ToolUnknown { name: String },
    /// Not JSON (then `pointer` is empty), or not of the tool's schema.
    ToolArguments { name: String, pointer: String, message: String },
    /// No text and no tool call, by the model's own will.
    Empty,
    /// It repeats itself without end.
    Looping(Loop),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SchemaBroken { pointer, message } => {
                write!(f, "the answer breaks its schema at `{pointer}`: {message}")
            }
            Self::NotJson { message } => write!(f, "the answer is not the JSON asked for: {message}"),
            Self::ToolUnknown { name } => write!(f, "the answer calls `{name}`, which is no tool of the request"),
            Self::ToolArguments { name, pointer, message } => {
                write!(f, "the call of `{name}` has wrong arguments at `{pointer}`: {message}")
            }
            Self::Empty => write!(f, "the answer is empty"),
            Self::Looping(Loop { unit, times }) => write!(f, "the answer repeats {unit:?} {times} times"),
        }
    }
}

impl Flaw {
    /// For records and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::SchemaBroken { .. } => "schema_broken",
            Self::NotJson { .. } => "not_json",
            Self::ToolUnknown { .. } => "tool_unknown",
            Self::ToolArguments { .. } => "tool_arguments",
            Self::Empty => "empty",
            Self::Looping(_) => "looping",
        }
    }
}

/// What becomes of an answer in JSON that stands in a Markdown code fence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fences {
    /// The caller's parser would stumble over the fence.
    #[default]
    Break,
    /// The caller is known to look inside.
    Hold,
}

/// Everything that is wrong with `whole` as an answer to `conversation`; empty for a good one.
pub fn judge(conversation: &Conversation, whole: &Whole) -> Vec<Flaw> {
    judge_with(conversation, whole, Fences::Break)
}

/// Like [`judge`], with a say on code fences.
pub fn judge_with(conversation: &Conversation, whole: &Whole, fences: Fences) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    for block in &whole.blocks {
        match block {
            Block::Text(text) | Block::Thinking { text, .. } | Block::ToolCall { arguments: text, .. } => {
                let mut watch = LoopWatch::default();
                if watch.push(text) {
                    flaws.extend(watch.found().cloned().map(Flaw::Looping));
                }
            }
            Block::RedactedThinking(_) => {}
        }
    }
    let reason = whole.finish.as_ref().map(|finish| finish.reason);
    if !matches!(reason, Some(FinishReason::Stop | FinishReason::ToolCalls)) {
        return flaws;
    }
    let mut called = false;
    for block in &whole.blocks {
        if let Block::ToolCall { name, arguments, .. } = block {
            called = true;
            judge_call(conversation, name, arguments, &mut flaws);
        }
    }
    if !called {
        let text = whole.text();
        if !text.trim().is_empty() {
            judge_text(&conversation.format, &text, fences, &mut flaws);
        } else {
            // Also when it claims to have called a tool.
            flaws.push(Flaw::Empty);
        }
    }
    flaws
}

fn judge_call(conversation: &Conversation, name: &str, arguments: &str, flaws: &mut Vec<Flaw>) {
    let Some(tool) = conversation.tools.iter().find(|tool| tool.name == name) else {
        flaws.push(Flaw::ToolUnknown { name: schema::short(name) });
        return;
    };
    let wrong = |Breach { pointer, message }| Flaw::ToolArguments { name: name.to_owned(), pointer, message };
    // Models write nothing for a tool without parameters, and every client reads that as no arguments.
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
    match serde_json::from_str::<Value>(arguments) {
        Ok(value @ Value::Object(_)) => {
            flaws.extend(schema::breaches(&tool.parameters, &value).into_iter().map(wrong));
        }
        Ok(_) => flaws.push(wrong(Breach::new("", "the arguments are JSON, but no object"))),
        Err(error) => flaws.push(wrong(Breach::new("", &format!("the arguments are not JSON: {error}")))),
    }
}

fn judge_text(format: &Format, text: &str, fences: Fences, flaws: &mut Vec<Flaw>) {
    let schema = match format {
        Format::Text => return,
        Format::Json => None,
        Format::Schema { schema, .. } => Some(schema),
    };
    let fenced = inside_fence(text);
    let json = match (fenced, fences) {
        (Some(inside), Fences::Hold) => inside,
        _ => text,
    };
    match (serde_json::from_str::<Value>(json), schema) {
        (Ok(value), Some(schema)) => flaws.extend(
            schema::breaches(schema, &value)
                .into_iter()
                .map(|Breach { pointer, message }| Flaw::SchemaBroken { pointer, message }),
        ),
        (Ok(Value::Object(_)), None) => {}
        (Ok(_), None) => flaws.push(Flaw::NotJson { message: "it is JSON, but no object".to_owned() }),
        (Err(_), Some(_)) if fenced.is_some() => flaws
            .push(Flaw::SchemaBroken { pointer: String::new(), message: "the JSON stands in a code fence".to_owned() }),
        (Err(error), _) => flaws.push(Flaw::NotJson { message: error.to_string() }),
    }
}

/// What stands between the fences of a text that is one fenced block and nothing else.
fn inside_fence(text: &str) -> Option<&str> {
    let (info, inside) = text.trim().strip_prefix("```")?.strip_suffix("```")?.split_once('\n')?;
    info.trim().chars().all(char::is_alphanumeric).then_some(inside)
}

#[cfg(test)]
mod tests;
