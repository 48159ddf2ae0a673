//! The answers of `/api/chat` and `/api/generate`: one JSON object per line, the last one with `done: true`.
//!
//! ```text
//!   line ──▶ error? ──▶ the stream ends with it          unreadable? ──▶ left out and counted, up to a limit
//!        └─▶ thinking, text, tool calls ──▶ a frame      done: true ──▶ a last frame with the counts
//!   the body ends before that ──▶ cut
//! ```

use super::original::without_logprobs;
use crate::wire::lines::Lines;
use crate::{
    Error, Event, Frame,
    answer::{Finish, Usage},
    endpoint::Endpoint,
    http::{
        failure::{in_band, short},
        frame::ANSWER_BYTES,
    },
    providers::{ByteStream, ChatStream},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use protocol::FinishReason;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::sync::Arc;

/// Unreadable lines that are left out while others make sense. More are no accident but another dialect.
const SKIPPED_LINES: u32 = 16;

#[derive(Deserialize)]
struct Line {
    error: Option<Value>,
    model: Option<String>,
    /// Of `/api/chat`.
    message: Option<Message>,
    /// Of `/api/generate`.
    response: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    /// In nanoseconds. Includes waiting for other models to leave.
    load_duration: Option<u64>,
    /// Absent when the whole prompt was in the cache, in older versions.
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize, Default)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    arguments: Option<Box<RawValue>>,
}

/// Which bytes of the answer its reader may get as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Raw {
    /// None: the reader speaks another dialect, or must not see them.
    Withheld,
    AsTheyAre,
    WithoutLogprobs,
}

pub(crate) fn decode(endpoint: Arc<Endpoint>, model: &str, body: ByteStream, raw: Raw) -> ChatStream {
    let decoder = Decoder {
        endpoint,
        model: model.to_owned(),
        lines: Lines::new(body),
        raw,
        started: false,
        tool_calls: 0,
        bytes: 0,
        skipped: 0,
        ended: false,
    };
    Box::pin(stream::unfold(decoder, |mut decoder| async move { Some((decoder.next().await?, decoder)) }))
}

struct Decoder {
    endpoint: Arc<Endpoint>,
    model: String,
    lines: Lines,
    raw: Raw,
    started: bool,
    tool_calls: usize,
    /// Of text, thoughts and tool calls so far.
    bytes: usize,
    skipped: u32,
    ended: bool,
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
            match self.line(&line) {
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
        if !self.started && self.skipped > 0 {
            return self.malformed("no line of the answer could be read");
        }
        Error::Cut {
            provider: self.endpoint.provider.clone(),
            message: "the connection closed before `done`".to_owned(),
        }
    }

    fn malformed(&self, message: &str) -> Error {
        Error::Malformed { provider: self.endpoint.provider.clone(), message: message.to_owned() }
    }

    /// `None` for a line that is left out.
    fn line(&mut self, bytes: &Bytes) -> Result<Option<Frame>, Error> {
        let line: Line = match serde_json::from_slice(bytes) {
            Ok(line) => line,
            Err(error) => return self.unreadable(bytes, &error).map(|()| None),
        };
        if let Some(error) = line.error {
            return Err(in_band(&self.endpoint.provider, &self.model, &error));
        }
        let mut events = Vec::with_capacity(2);
        if !self.started {
            self.started = true;
            events.push(Event::Started { id: None, model: line.model, usage: Usage::default() });
        }
        let message = line.message.unwrap_or_default();
        let thinking = message.thinking.or(line.thinking).unwrap_or_default();
        let text = message.content.or(line.response).unwrap_or_default();
        self.bytes += thinking.len() + text.len();
        let before = events.len();
        if !thinking.is_empty() {
            events.push(Event::Thinking(thinking));
        }
        if !text.is_empty() {
            events.push(Event::Text(text));
        }
        for call in message.tool_calls.or(line.tool_calls).unwrap_or_default() {
            self.tool_call(call, &mut events);
        }
        if self.bytes > ANSWER_BYTES {
            let provider = self.endpoint.provider.clone();
            return Err(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES });
        }
        let says_something = line.done || events.len() > before;
        if line.done {
            self.ended = true;
            let reason = match (line.done_reason.as_deref(), self.tool_calls) {
                (Some("length"), _) => FinishReason::Length,
                // A model that was only loaded or let go has nothing to add, which is a stop too.
                (_, 0) => FinishReason::Stop,
                _ => FinishReason::ToolCalls,
            };
            let usage = Usage {
                input_tokens: line.prompt_eval_count.unwrap_or(0),
                output_tokens: line.eval_count.unwrap_or(0),
                ..Usage::default()
            };
            events.push(Event::Finished(Finish {
                load_ms: line.load_duration.map(|nanoseconds| nanoseconds / 1_000_000),
                ..Finish::new(reason, usage)
            }));
        }
        let raw = match self.raw {
            Raw::AsTheyAre => Some(with_end(bytes)),
            // What was only asked for as a sign of life is nothing to the reader.
            Raw::WithoutLogprobs if says_something => Some(without_logprobs(&with_end(bytes))),
            Raw::WithoutLogprobs | Raw::Withheld => None,
        };
        Ok(Some(Frame { raw, events, ..Frame::default() }))
    }

    fn unreadable(&mut self, bytes: &Bytes, error: &serde_json::Error) -> Result<(), Error> {
        let what = format!("{error} in the line {}", short(&String::from_utf8_lossy(bytes)));
        if !bytes.ends_with(b"\n") {
            // The last line: what came of it is not all of it.
            return Err(Error::Cut { provider: self.endpoint.provider.clone(), message: what });
        }
        self.skipped += 1;
        if self.skipped > SKIPPED_LINES {
            return Err(self.malformed(&format!("more than {SKIPPED_LINES} lines could not be read: {what}")));
        }
        Ok(())
    }

    /// Calls come whole. Arguments are an object, but for models whose templates give a string of JSON.
    fn tool_call(&mut self, call: Call, events: &mut Vec<Event>) {
        let written = call.function.arguments.as_deref().map_or("null", RawValue::get);
        let fragment = match serde_json::from_str::<String>(written) {
            Ok(text) => text,
            Err(_) if written == "null" => "{}".to_owned(),
            Err(_) => written.to_owned(),
        };
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(new_call_id);
        let index = self.tool_calls;
        self.tool_calls += 1;
        self.bytes += fragment.len();
        events.push(Event::ToolCall { index, id, name: call.function.name });
        events.push(Event::ToolArguments { index, fragment });
    }
}

/// Ids must be unique within a job, because decisions of people are bound to them; 64 random bits are.
fn new_call_id() -> String {
    format!("call_{:016x}", rand::random::<u64>())
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
