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
    conversation::{Format, Tool},
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
    /// For records, in which nothing of the answer stands.
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

/// Everything that is wrong with `whole` as an answer to `conversation`; empty for a good one. Form is judged only where both
/// sides were understood: an answer with parts that were not is taken as it is.
pub fn judge(conversation: &Conversation, whole: &Whole) -> Vec<Flaw> {
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
    // A refusal is an answer, and never of the form that was asked for.
    let refuses = whole.finish.as_ref().is_some_and(|finish| finish.is_refusal);
    if whole.opaque || refuses || !matches!(reason, Some(FinishReason::Stop | FinishReason::ToolCalls)) {
        return flaws;
    }
    let knows_all_tools = !conversation.lost.iter().any(|place| is_about_tools(place));
    let mut called = false;
    for block in &whole.blocks {
        if let Block::ToolCall { name, arguments, .. } = block {
            called = true;
            match conversation.tools.iter().find(|tool| tool.name == *name) {
                Some(tool) => judge_call(tool, arguments, &mut flaws),
                None if knows_all_tools => flaws.push(Flaw::ToolUnknown { name: schema::short(name) }),
                None => {}
            }
        }
    }
    if !called {
        let text = whole.text();
        if !text.trim().is_empty() {
            judge_text(&conversation.format, &text, &mut flaws);
        } else {
            // Also when it claims to have called a tool.
            flaws.push(Flaw::Empty);
        }
    }
    flaws
}

/// Whether a field of the request that was not understood may declare tools: those of a server's own, and of other shapes.
fn is_about_tools(place: &str) -> bool {
    const TOOLS: [&str; 6] =
        ["/tools", "/functions", "/function_call", "/mcp_servers", "/web_search_options", "/plugins"];
    TOOLS.iter().any(|tools| place.strip_prefix(tools).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn judge_call(tool: &Tool, arguments: &str, flaws: &mut Vec<Flaw>) {
    let wrong = |Breach { pointer, message }| Flaw::ToolArguments { name: tool.name.clone(), pointer, message };
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

fn judge_text(format: &Format, text: &str, flaws: &mut Vec<Flaw>) {
    let schema = match format {
        Format::Text | Format::Grammar(_) => return,
        Format::Json => None,
        Format::Schema { schema, .. } => Some(schema),
    };
    match (serde_json::from_str::<Value>(text), schema) {
        (Ok(value), Some(schema)) => flaws.extend(
            schema::breaches(schema, &value)
                .into_iter()
                .map(|Breach { pointer, message }| Flaw::SchemaBroken { pointer, message }),
        ),
        (Ok(Value::Object(_)), None) => {}
        (Ok(_), None) => flaws.push(Flaw::NotJson { message: "it is JSON, but no object".to_owned() }),
        // Its caller's parser would stumble over the fence.
        (Err(_), Some(_)) if is_fenced(text) => flaws
            .push(Flaw::SchemaBroken { pointer: String::new(), message: "the JSON stands in a code fence".to_owned() }),
        (Err(error), _) => flaws.push(Flaw::NotJson { message: error.to_string() }),
    }
}

/// Whether a text is one fenced block and nothing else.
fn is_fenced(text: &str) -> bool {
    let inside = text.trim().strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    let info = inside.and_then(|inside| inside.split_once('\n')).map(|(info, _)| info.trim());
    info.is_some_and(|info| info.chars().all(char::is_alphanumeric))
}

#[cfg(test)]
mod tests;
