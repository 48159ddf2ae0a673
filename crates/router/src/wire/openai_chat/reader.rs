//! The answers of `/chat/completions` and `/completions`: server-sent events with one JSON object each, or one body.
//!
//! The last word is `[DONE]`, which not every server says. What makes an answer whole is `finish_reason`; the token counts
//! may follow in an event of their own.
//!
//! Read strictly: that a frame is an object with a list of choices, their texts, tool calls and end. Everything else is read
//! by itself, so that an odd value beside a text costs no text.

mod counts;
mod indexes;
mod parts;
pub(crate) mod retold;

use super::tool_calls::{Calls, Piece, Place};
use crate::wire::{
    lenient::{Halves, Members, Object, says_nothing, text},
    openai::provider::Origin,
    renamed,
    stream::{END_WAIT, Reader, Step, Trouble},
};
use crate::{
    Error, Event, Frame,
    answer::{Finish, Mark, Usage},
    http::{
        failure::{in_band, short},
        frame::ANSWER_BYTES,
    },
    sse,
};
use bytes::Bytes;
use protocol::FinishReason;
use serde_json::{Value, value::RawValue};
use std::time::Duration;

/// Once the model has finished, how long to wait for the token counts and the end of the stream. The answer is whole
/// already; a server that keeps the connection open must not hold it back.
pub(crate) const TRAILER_WAIT: Duration = Duration::from_secs(5);

/// Parts of the reasons with which servers tell that they broke off: those of vLLM, SGLang, DeepSeek, and of Gemini, whose own
/// names come through.
const BROKE_OFF: &[&str] = &["error", "abort", "insufficient_system_resource", "cancelled", "malformed_function_call"];
/// That a filter held the rest back.
const FILTERED: &[&str] = &["content_filter", "safety", "prohibited_content", "blocklist", "spii", "recitation"];
/// That a limit was reached.
const TOO_LONG: &[&str] = &["length", "max_tokens", "time_limit"];

/// How the frames' own bytes are handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytesway {
    pub(crate) raw: bool,
    /// The caller asked for the event that carries the usage.
    pub(crate) wants_usage: bool,
    /// Answers asked for at once. Only the first one is understood; the others pass as bytes.
    pub(crate) choices: u32,
}

pub(crate) struct ChatReader {
    origin: Origin,
    bytesway: Bytesway,
    /// Of the model, in bytes that pass: as the caller asked for it.
    name: Option<String>,
    started: bool,
    /// The index of the answer that is understood.
    first: Option<u64>,
    text: Halves,
    thought: Halves,
    has_text: bool,
    refuses: bool,
    has_thought: bool,
    calls: Calls,
    /// Calls that are no function's.
    has_other_calls: bool,
    finish_reason: Option<FinishReason>,
    /// Bits of the choices that were seen, and that have finished; those beyond 128 are not looked at.
    seen: u128,
    finished: u128,
    usage: Option<Usage>,
    /// The event that only carries the usage has come after the end: nothing is left to wait for.
    counted: bool,
    /// Of text, thoughts and tool calls so far.
    bytes: usize,
}

/// What a chunk says besides its events.
#[derive(Default)]
struct Said<'a> {
    only_usage: bool,
    finished: bool,
    counted: bool,
    /// Calls that the model finished without arguments.
    unargued: Vec<Place>,
    /// Pieces of calls stand in it.
    has_calls: bool,
    /// Those that tell no index, with the one that their call has.
    unindexed: Vec<(&'a RawValue, u64)>,
}

impl ChatReader {
    pub(crate) fn new(origin: Origin, bytesway: Bytesway) -> Self {
        Self {
            origin,
            bytesway,
            name: None,
            started: false,
            first: (bytesway.choices > 1).then_some(0),
            text: Halves::default(),
            thought: Halves::default(),
            has_text: false,
            refuses: false,
            has_thought: false,
            calls: Calls::default(),
            has_other_calls: false,
            finish_reason: None,
            seen: 0,
            finished: 0,
            usage: None,
            counted: false,
            bytes: 0,
        }
    }

    /// What passes says this name.
    pub(crate) fn under(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// An answer in one body.
    pub(crate) fn body(mut self, body: &Bytes) -> Result<Frame, Error> {
        let mut events = Vec::new();
        let object = object(body).map_err(|message| self.origin.endpoint.malformed(&message))?;
        self.chunk(&object.fields(), &mut events).map_err(|trouble| match trouble {
            Trouble::Failed(error) => self.origin.endpoint.scrubbed(error),
            Trouble::Unreadable(message) => self.origin.endpoint.malformed(&message),
        })?;
        if self.seen == 0 {
            let text = String::from_utf8_lossy(body);
            return Err(self.origin.endpoint.malformed(&format!("no `choices` in {}", short(&text))));
        }
        let Some(last) = self.finish() else {
            let message = "its body has no `finish_reason`".to_owned();
            return Err(Error::Cut { provider: self.origin.endpoint.provider.clone(), message });
        };
        events.extend(last.events);
        let raw = || renamed::under(body.clone(), &object.fields(), self.name.as_deref());
        Ok(Frame::new(self.bytesway.raw.then(raw), events))
    }

    fn chunk<'a>(&mut self, chunk: &Members<'a>, events: &mut Vec<Event>) -> Result<Said<'a>, Trouble> {
        if let Some(error) = chunk.get("error").filter(|error| !says_nothing(error)) {
            return Err(self.failed(&value(error)));
        }
        if chunk.text("object").as_deref() == Some("error") {
            let message = chunk.get("message").map_or(Value::Null, value);
            return Err(self.failed(&serde_json::json!({"message": message, "code": chunk.get("code").map(value)})));
        }
        let choices = match chunk.get("choices") {
            Some(choices) if !choices.get().starts_with('[') && !says_nothing(choices) => {
                return Err(Trouble::Unreadable(format!("`choices` is no list: {}", short(choices.get()))));
            }
            _ => chunk.list("choices"),
        };
        if !self.started {
            self.started = true;
            let (id, model) = (chunk.id("id"), chunk.text("model"));
            events.push(Event::Started { id, model, usage: Usage::default() });
        }
        let counts = counts::of_chunk(chunk, &choices);
        self.usage = counts.or(self.usage);
        let mut said = Said { only_usage: choices.is_empty() && chunk.get("usage").is_some(), ..Said::default() };
        for choice in choices {
            self.choice(choice, &mut said, events)?;
        }
        said.counted = counts.is_some() && self.finished != 0;
        Ok(said)
    }

    fn choice<'a>(&mut self, value: &'a RawValue, said: &mut Said<'a>, events: &mut Vec<Event>) -> Result<(), Trouble> {
        let choice = Members::of(Some(value));
        if !choice.is_object() {
            return if says_nothing(value) { Ok(()) } else { self.unread("a choice", value, events) };
        }
        let index = choice.count("index").unwrap_or(0);
        let bit = u32::try_from(index).ok().and_then(|index| 1_u128.checked_shl(index)).unwrap_or(0);
        self.seen |= bit;
        let reason = choice.get("finish_reason").and_then(reason);
        if reason.is_some() {
            self.finished |= bit;
            said.finished = true;
        }
        if *self.first.get_or_insert(index) != index {
            return Ok(());
        }
        let before = events.len();
        let added = self.content(&choice, said, events)?;
        self.bytes += added + events[before..].iter().map(text_bytes).sum::<usize>();
        if self.bytes > ANSWER_BYTES {
            let provider = self.origin.endpoint.provider.clone();
            return Err(Trouble::Failed(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES }));
        }
        reason.map_or(Ok(()), |reason| self.end(&reason, said, events))
    }

    /// What one choice says of the answer. Gives how many bytes its calls add.
    fn content<'a>(
        &mut self,
        choice: &Members<'a>,
        said: &mut Said<'a>,
        events: &mut Vec<Event>,
    ) -> Result<usize, Trouble> {
        let told = |name| choice.get(name).filter(|value| !says_nothing(value));
        // A message in place of a delta is the whole answer: what came of it already comes once.
        let (told, is_whole) = match (told("delta"), told("message"), told("text")) {
            (Some(delta), ..) => (delta, false),
            (None, Some(message), _) => (message, true),
            (None, None, Some(text)) if text.get().starts_with('"') => {
                self.say(text, events);
                return Ok(0);
            }
            (None, None, Some(text)) => return self.unread("a text", text, events).map(|()| 0),
            (None, None, None) => return Ok(0),
        };
        let delta = Members::of(Some(told));
        if !delta.is_object() {
            return self.unread("a delta", told, events).map(|()| 0);
        }
        let (has_text, has_thought) = (is_whole && self.has_text, is_whole && self.has_thought);
        if !has_thought {
            self.think(&delta, events);
        }
        if !has_text {
            if let Some(content) = delta.get("content") {
                self.parts(content, events)?;
            }
            if let Some(refusal) = delta.get("refusal") {
                self.refuses |= !says_nothing(refusal);
                self.say(refusal, events);
            }
            self.transcript(&delta, events);
        }
        events.extend(parts::foreign(&delta));
        if is_whole && !self.calls.is_empty() {
            return Ok(0);
        }
        self.tool_calls(&delta, is_whole, said, events)
    }

    fn tool_calls<'a>(
        &mut self,
        delta: &Members<'a>,
        is_whole: bool,
        said: &mut Said<'a>,
        events: &mut Vec<Event>,
    ) -> Result<usize, Trouble> {
        let calls = match delta.get("tool_calls").filter(|calls| !says_nothing(calls)) {
            None => {
                let older = delta.get("function_call").map(Piece::older);
                said.has_calls |= older.is_some();
                return Ok(older.map_or(0, |piece| self.calls.add(&piece, events)));
            }
            Some(calls) if calls.get().starts_with('[') => delta.list("tool_calls"),
            Some(call) if call.get().starts_with('{') => vec![call],
            Some(calls) => return self.unread("`tool_calls`", calls, events).map(|()| 0),
        };
        said.has_calls = true;
        let mut bytes = 0;
        for call in calls {
            match Piece::of(call) {
                Ok(piece) if is_whole => bytes += self.calls.add(&piece.alone(), events),
                Ok(piece) => {
                    if piece.is_unindexed() {
                        said.unindexed.extend(self.calls.index_of(&piece).map(|index| (call, index)));
                    }
                    bytes += self.calls.add(&piece, events);
                }
                Err(what) => {
                    self.has_other_calls = true;
                    events.push(Event::Opaque(what));
                }
            }
        }
        Ok(bytes)
    }

    fn end(&mut self, reason: &str, said: &mut Said<'_>, events: &mut Vec<Event>) -> Result<(), Trouble> {
        let word = reason.to_ascii_lowercase();
        let is_among = |words: &[&str]| words.iter().any(|part| word.contains(part));
        let reason = if is_among(BROKE_OFF) {
            return Err(self.failed(&Value::String(format!("it finished with the reason `{reason}`"))));
        } else if is_among(FILTERED) {
            FinishReason::ContentFilter
        } else if is_among(TOO_LONG) {
            FinishReason::Length
        } else {
            // `stop`, `tool_calls`, `function_call`, and the names servers give to a stop token.
            FinishReason::Stop
        };
        if reason == FinishReason::Stop && self.calls.has_nameless() {
            let what = "a tool call without a name";
            if !self.bytesway.raw {
                return Err(Trouble::Unreadable(format!("{what} in its answer")));
            }
            events.push(Event::Opaque(what.to_owned()));
        }
        if reason == FinishReason::Stop && self.bytesway.raw {
            // Now, because clients run calls as soon as they are told that the model has finished.
            said.unargued = self.calls.finish(events);
        }
        self.finish_reason = Some(reason);
        Ok(())
    }

    fn failed(&self, error: &Value) -> Trouble {
        Trouble::Failed(in_band(&self.origin.endpoint.provider, &self.origin.model, error))
    }

    /// Content that cannot be read passes on where bytes pass; nobody else is told less than all.
    fn unread(&self, what: &str, value: &RawValue, events: &mut Vec<Event>) -> Result<(), Trouble> {
        if self.bytesway.raw {
            events.push(Event::Opaque(format!("{what} that could not be read")));
            return Ok(());
        }
        Err(Trouble::Unreadable(format!("{what} that cannot be read: {}", short(value.get()))))
    }
}

impl Reader for ChatReader {
    fn read(&mut self, event: sse::Event) -> Result<Step, Trouble> {
        let data = event.data.trim_ascii();
        if data == b"[DONE]" {
            return Ok(Step::End(None));
        }
        if event.event.as_deref() == Some(b"error") {
            let text = || Value::String(String::from_utf8_lossy(data).into_owned());
            return Err(self.failed(&serde_json::from_slice(data).unwrap_or_else(|_| text())));
        }
        let object = object(data).map_err(Trouble::Unreadable)?;
        let chunk = object.fields();
        let mut events = Vec::new();
        let was_whole = self.whole().is_some();
        let said = self.chunk(&chunk, &mut events)?;
        self.counted |= said.only_usage && was_whole;
        let passes = self.bytesway.raw && (!said.only_usage || self.bytesway.wants_usage);
        let name = self.name.as_deref();
        let raw = passes.then(|| {
            let raw = indexes::written(renamed::under(event.raw, &chunk, name), &said.unindexed);
            with_empty_arguments(&chunk, raw, &said, name)
        });
        let mark = Some(Mark::Chunk { finished: said.finished, counted: said.counted });
        Ok(Step::Frame(Frame { raw, events, mark }))
    }

    fn whole(&self) -> Option<Duration> {
        let enough = self.finished.count_ones() >= self.bytesway.choices.min(128);
        (self.finish_reason.is_some() && enough).then_some(if self.counted { END_WAIT } else { TRAILER_WAIT })
    }

    fn finish(&mut self) -> Option<Frame> {
        let reason = self.finish_reason.filter(|_| self.seen == self.finished)?;
        let mut events = Vec::new();
        if !self.bytesway.raw {
            for (halves, told) in
                [(&mut self.thought, Event::Thinking as fn(String) -> Event), (&mut self.text, Event::Text)]
            {
                let mut text = String::new();
                halves.end(&mut text);
                events.extend((!text.is_empty()).then(|| told(text)));
            }
        }
        let reason = match reason {
            FinishReason::Stop if !self.calls.is_empty() => {
                self.calls.finish(&mut events);
                FinishReason::ToolCalls
            }
            FinishReason::Stop if self.has_other_calls => FinishReason::ToolCalls,
            reason => reason,
        };
        self.origin.counted(self.usage.is_some());
        let finish = Finish::new(reason, self.usage.unwrap_or_default());
        events.push(Event::Finished(Finish { is_refusal: self.refuses, ..finish }));
        Some(Frame::new(None, events))
    }

    fn passes(&self) -> bool {
        self.bytesway.raw
    }

    fn marker(&self) -> &'static str {
        "`finish_reason`"
    }
}

fn object(data: &[u8]) -> Result<Object<'_>, String> {
    Object::of(data).map_err(|message| format!("{message} in {}", short(&String::from_utf8_lossy(data))))
}

/// For messages to people.
fn value(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| Value::from(raw.get()))
}

/// Why the model stopped: a word, or a number as servers write it that tell a word's. 0 is where they have none yet.
fn reason(value: &RawValue) -> Option<String> {
    if says_nothing(value) || value.get().starts_with(['{', '[']) {
        return None;
    }
    Some(text(value).unwrap_or_else(|| value.get().to_owned()))
}

/// The chunk's bytes, and one more where calls have no arguments: clients read none as broken JSON.
fn with_empty_arguments(chunk: &Members<'_>, raw: Bytes, said: &Said<'_>, asked: Option<&str>) -> Bytes {
    if said.unargued.is_empty() {
        return raw;
    }
    let mut own = String::new();
    for place in &said.unargued {
        let delta = match place {
            Place::Index(index) => {
                format!(r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":"{{}}"}}}}]}}"#)
            }
            Place::Older | Place::List => r#"{"function_call":{"arguments":"{}"}}"#.to_owned(),
        };
        own.push_str("data: {");
        for name in ["id", "object", "created", "model"] {
            if let ("model", Some(asked)) = (name, asked) {
                own.push_str(&format!("\"model\":{},", Value::from(asked)));
            } else if let Some(value) = chunk.get(name) {
                own.push_str(&format!("\"{name}\":{},", value.get().replace(['\r', '\n'], " ")));
            }
        }
        own.push_str(&format!(r#""choices":[{{"index":0,"delta":{delta},"finish_reason":null}}]}}"#));
        own.push_str("\n\n");
    }
    // Behind the beginning of the call, and before the word that it is over where that comes by itself.
    if said.has_calls { [&raw[..], own.as_bytes()].concat().into() } else { [own.as_bytes(), &raw[..]].concat().into() }
}

pub(crate) fn text_bytes(event: &Event) -> usize {
    if let Event::Text(text) | Event::Thinking(text) = event { text.len() } else { 0 }
}

#[cfg(test)]
mod tests;
