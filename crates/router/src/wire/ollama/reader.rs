//! The answers of `/api/chat` and `/api/generate`: one JSON object per line, the last one with `done: true`.
//!
//! ```text
//!   line ──▶ error? ──▶ the stream ends with it
//!        ├─▶ thinking, text, tool calls ──▶ a frame      done: true ──▶ a last frame with the counts
//!        ├─▶ content of another kind ─────▶ opaque
//!        └─▶ unreadable ──▶ opaque, where bytes pass and others could be read; else the answer is malformed
//!   the body ends before that ──▶ cut
//! ```
//! Text, calls and the end are read strictly; an odd value anywhere else costs nothing but itself. Nothing is left out, and
//! nothing is told twice: servers repeat the whole text in their last line, and a call under its own id and index.

use super::original::without_logprobs;
use crate::{
    Error, Event, Frame,
    answer::{Finish, Usage},
    endpoint::Endpoint,
    http::{
        failure::{in_band, short},
        frame::ANSWER_BYTES,
    },
    providers::{ByteStream, ChatStream},
    wire::{
        lenient::{self, Halves, Members, Object},
        lines::Lines,
        openai_chat::tool_calls::new_call_id,
        renamed,
    },
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use protocol::FinishReason;
use serde_json::{Value, value::RawValue};
use std::sync::Arc;

/// Members of a message that are read, or that say nothing of the answer.
const OF_A_MESSAGE: &[&str] =
    &["role", "content", "thinking", "tool_calls", "tool_name", "tool_call_id", "name", "id", "index"];
/// Of a whole line, where servers put whatever they count, these alone are content.
const OF_A_LINE: &[&str] = &["image", "images", "audio", "video", "file", "files"];

/// Which bytes of the answer its reader may get as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// None: the reader speaks another dialect, or must not see them.
    Withheld,
    AsTheyAre,
    WithoutLogprobs,
}

/// What passes says `name` for the model.
pub(crate) fn decode(endpoint: Arc<Endpoint>, model: &str, body: ByteStream, raw: Raw, name: &str) -> ChatStream {
    let decoder = Decoder {
        endpoint,
        model: model.to_owned(),
        name: name.to_owned(),
        lines: Lines::new(body),
        raw,
        started: false,
        unread: BytesMut::new(),
        text: Halves::default(),
        thinking: Halves::default(),
        told: String::new(),
        calls: Vec::new(),
        bytes: 0,
        ended: false,
    };
    Box::pin(stream::unfold(decoder, |mut decoder| async move { Some((decoder.next().await?, decoder)) }))
}

struct Decoder {
    endpoint: Arc<Endpoint>,
    model: String,
    /// As the caller asked for the model.
    name: String,
    lines: Lines,
    raw: Raw,
    started: bool,
    /// Lines before the first one that could be read. Whether this is an answer at all shows with that one.
    unread: BytesMut,
    text: Halves,
    thinking: Halves,
    /// All text so far.
    told: String,
    calls: Vec<Call>,
    /// Of the answer so far.
    bytes: usize,
    ended: bool,
}

/// What one line says, or why that cannot be told.
type Said = Result<Vec<Event>, Trouble>;

enum Trouble {
    Unreadable(String),
    Failed(Error),
}

impl Decoder {
    async fn next(&mut self) -> Option<Result<Frame, Error>> {
        while !self.ended {
            let line = match self.lines.next(&self.endpoint.provider).await {
                Some(Ok(line)) => line,
                Some(Err(error)) => return self.fail(error),
                None => {
                    let error = self.early_end();
                    return self.fail(error);
                }
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let frame = match self.said(&line) {
                Ok(events) => Ok(Some(self.frame(&line, events))),
                Err(Trouble::Unreadable(why)) => self.unreadable(&line, &why),
                Err(Trouble::Failed(error)) => Err(error),
            };
            match frame {
                _ if self.bytes > ANSWER_BYTES => {
                    let provider = self.endpoint.provider.clone();
                    return self.fail(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES });
                }
                Ok(Some(frame)) => return Some(Ok(frame)),
                Ok(None) => {}
                Err(error) => return self.fail(error),
            }
        }
        None
    }

    fn fail(&mut self, error: Error) -> Option<Result<Frame, Error>> {
        self.ended = true;
        Some(Err(self.endpoint.scrubbed(error)))
    }

    fn early_end(&self) -> Error {
        if !self.unread.is_empty() {
            let text = String::from_utf8_lossy(&self.unread).into_owned();
            return self.malformed(&format!("no line of the answer could be read: {}", short(&text)));
        }
        self.cut("the connection closed before `done`")
    }

    fn cut(&self, message: &str) -> Error {
        Error::Cut { provider: self.endpoint.provider.clone(), message: message.to_owned() }
    }

    fn malformed(&self, message: &str) -> Error {
        Error::Malformed { provider: self.endpoint.provider.clone(), message: message.to_owned() }
    }

    fn said(&mut self, bytes: &Bytes) -> Said {
        let object = Object::of(bytes).map_err(Trouble::Unreadable)?;
        let line = object.fields();
        if let Some(error) = line.get("error").and_then(failure) {
            return Err(Trouble::Failed(in_band(&self.endpoint.provider, &self.model, &error)));
        }
        let message = line.object("message");
        let is_done = line.flag("done").unwrap_or(false);
        // Of `/api/chat`, else of `/api/generate`.
        let either = |name: &str, other: &str| message.get(name).or_else(|| line.get(other));
        let mut odd = Vec::new();
        if line.get("message").is_some_and(|message| !message.get().starts_with('{')) {
            odd.push("`message` is no object".to_owned());
        }
        let mut text = either("content", "response");
        if let Some(other) = text.take_if(|text| !text.get().starts_with('"')) {
            odd.push(format!("the text is {}", short(other.get())));
        }
        let calls = match either("tool_calls", "tool_calls").map(calls_of) {
            Some(Ok(calls)) => calls,
            Some(Err(what)) => {
                odd.push(what);
                Vec::new()
            }
            None => Vec::new(),
        };
        if !odd.is_empty() && self.raw == Raw::Withheld {
            return Err(Trouble::Unreadable(odd.join("; ")));
        }

        let mut events = Vec::with_capacity(2);
        if !self.started {
            self.started = true;
            events.push(Event::Started { id: None, model: line.text("model"), usage: Usage::default() });
        }
        self.think(either("thinking", "thinking"), is_done, &mut events);
        let mut said = text.map(|text| self.text.read(text)).unwrap_or_default();
        if is_done || !calls.is_empty() {
            self.text.end(&mut said);
        }
        if is_done && said == self.told {
            said.clear();
        }
        if !said.is_empty() {
            self.bytes += said.len();
            self.told.push_str(&said);
            events.push(Event::Text(said));
        }
        for call in calls {
            self.tool_call(call, &mut events);
        }
        self.others(&line, &message, &mut events);
        if !odd.is_empty() {
            self.bytes += bytes.len();
            events.push(Event::Opaque(odd.join("; ")));
        }
        if is_done {
            self.ended = true;
            events.push(Event::Finished(self.finish(&line)));
        }
        Ok(events)
    }

    fn think(&mut self, thinking: Option<&RawValue>, is_done: bool, events: &mut Vec<Event>) {
        let mut thought = String::new();
        match thinking.map(RawValue::get) {
            None | Some("true" | "false") => {}
            Some(text) if text.starts_with('"') => {
                thought = thinking.map(|thinking| self.thinking.read(thinking)).unwrap_or_default();
            }
            Some(_) => events.push(Event::Opaque("a thought that is no text".to_owned())),
        }
        if is_done {
            self.thinking.end(&mut thought);
        }
        if !thought.is_empty() {
            self.bytes += thought.len();
            events.push(Event::Thinking(thought));
        }
    }

    /// Content that has no words here.
    fn others(&mut self, line: &Members<'_>, message: &Members<'_>, events: &mut Vec<Event>) {
        let mut opaque = |name: &str, value: &RawValue| {
            if holds_content(value) {
                self.bytes += value.get().len();
                events.push(Event::Opaque(name.to_owned()));
            }
        };
        for (name, value) in message.iter().filter(|(name, _)| !OF_A_MESSAGE.contains(name)) {
            opaque(name, value);
        }
        for (name, value) in line.iter().filter(|(name, _)| OF_A_LINE.contains(name)) {
            opaque(name, value);
        }
    }

    fn finish(&self, line: &Members<'_>) -> Finish {
        let reason = match (line.text("done_reason").as_deref(), self.calls.len()) {
            (Some("length"), _) => FinishReason::Length,
            (Some("content_filter"), _) => FinishReason::ContentFilter,
            // A model that was only loaded or let go has nothing to add, which is a stop too.
            (_, 0) => FinishReason::Stop,
            _ => FinishReason::ToolCalls,
        };
        let usage = Usage {
            // Absent when the whole prompt was in the cache, in older versions.
            input_tokens: line.count("prompt_eval_count").unwrap_or(0),
            output_tokens: line.count("eval_count").unwrap_or(0),
            ..Usage::default()
        };
        // Includes waiting for other models to leave.
        let load_ms = line.count("load_duration").map(|nanoseconds| nanoseconds / 1_000_000);
        Finish { load_ms, ..Finish::new(reason, usage) }
    }

    fn frame(&mut self, line: &Bytes, mut events: Vec<Event>) -> Frame {
        let says_something = self.ended || events.iter().any(Event::is_content);
        let before = self.unread.split();
        if !before.is_empty() {
            let at = events.iter().take_while(|event| matches!(event, Event::Started { .. })).count();
            events.insert(at, unread_lines());
        }
        let named = || {
            let object = Object::of(line);
            object.map_or_else(
                |_| line.clone(),
                |object| renamed::under(line.clone(), &object.fields(), Some(&self.name)),
            )
        };
        let raw = match self.raw {
            Raw::AsTheyAre => Some(with_end(&named())),
            // What was only asked for as a sign of life is nothing to the reader.
            Raw::WithoutLogprobs if says_something => Some(without_logprobs(&with_end(&named()))),
            Raw::WithoutLogprobs | Raw::Withheld => None,
        };
        let raw = match raw {
            _ if before.is_empty() => raw,
            Some(line) => Some([&before[..], &line[..]].concat().into()),
            None => Some(before.freeze()),
        };
        Frame::new(raw, events)
    }

    /// `None` for what waits for a line that can be read.
    fn unreadable(&mut self, line: &Bytes, why: &str) -> Result<Option<Frame>, Error> {
        let what = format!("{why} in the line {}", short(&String::from_utf8_lossy(line)));
        if !line.ends_with(b"\n") {
            // The last line: what came of it is not all of it.
            return Err(self.cut(&what));
        }
        if self.raw == Raw::Withheld {
            return Err(self.malformed(&what));
        }
        self.bytes += line.len();
        if !self.started {
            self.unread.extend_from_slice(line);
            return Ok(None);
        }
        Ok(Some(Frame::new(Some(line.clone()), vec![unread_lines()])))
    }

    /// Calls come whole. Arguments are an object, but for models whose templates give a string of JSON.
    fn tool_call(&mut self, call: Call, events: &mut Vec<Event>) {
        if call.id.is_some() && self.calls.contains(&call) {
            return;
        }
        self.bytes += call.name.len() + call.arguments.len();
        let (index, id) = (self.calls.len(), call.id.clone().unwrap_or_else(new_call_id));
        events.push(Event::ToolCall { index, id, name: call.name.clone() });
        events.push(Event::ToolArguments { index, fragment: call.arguments.clone() });
        self.calls.push(call);
    }
}

#[derive(PartialEq)]
struct Call {
    /// As the server counts its calls.
    index: Option<u64>,
    id: Option<String>,
    name: String,
    arguments: String,
}

/// # Errors
/// What is odd about them.
fn calls_of(value: &RawValue) -> Result<Vec<Call>, String> {
    let calls: Vec<&RawValue> = match serde_json::from_str(value.get()) {
        Ok(calls) => calls,
        // One by itself.
        Err(_) if value.get().starts_with('{') => vec![value],
        Err(_) if !holds_content(value) => Vec::new(),
        Err(_) => return Err("`tool_calls` is no array".to_owned()),
    };
    calls.into_iter().filter(|call| call.get() != "null").map(call_of).collect()
}

fn call_of(value: &RawValue) -> Result<Call, String> {
    let call = Members::of(Some(value));
    let function = call.object("function");
    let name = function.text("name").filter(|name| !name.is_empty());
    let name = name.ok_or("a tool call without a name")?;
    let arguments = match function.get("arguments") {
        None => "{}".to_owned(),
        Some(arguments) => lenient::text(arguments).unwrap_or_else(|| arguments.get().to_owned()),
    };
    Ok(Call { index: function.count("index"), id: call.id("id"), name, arguments })
}

/// `None` for what only takes the place of an error.
fn failure(value: &RawValue) -> Option<Value> {
    let value: Value = serde_json::from_str(value.get()).ok()?;
    let is_none = match &value {
        Value::Bool(failed) => !failed,
        Value::String(message) => message.is_empty(),
        _ => false,
    };
    (!is_none).then_some(value)
}

/// Neither a number nor a yes or no, and not empty.
fn holds_content(value: &RawValue) -> bool {
    match serde_json::from_str(value.get()) {
        Ok(Value::String(text)) => !text.is_empty(),
        Ok(Value::Array(items)) => !items.is_empty(),
        Ok(Value::Object(members)) => !members.is_empty(),
        Ok(_) => false,
        // Such as half of an emoji in it.
        Err(_) => true,
    }
}

fn unread_lines() -> Event {
    Event::Opaque("a line that could not be read".to_owned())
}

/// The last line may come without its end.
fn with_end(line: &Bytes) -> Bytes {
    if line.ends_with(b"\n") {
        return line.clone();
    }
    let mut ended = BytesMut::with_capacity(line.len() + 1);
    ended.extend_from_slice(line);
    ended.put_u8(b'\n');
    ended.freeze()
}

#[cfg(test)]
mod tests;
