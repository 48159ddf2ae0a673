//! The answers of `/chat/completions` and `/completions`: server-sent events with one JSON object each, or one body.
//!
//! The last word is `[DONE]`, which not every server says. What makes an answer whole is `finish_reason`; the token counts
//! may follow in an event of their own.

use super::tool_calls::{Calls, FunctionPiece, Piece};
use crate::wire::{
    openai::provider::Origin,
    stream::{END_WAIT, Reader, Step, Trouble},
};
use crate::{
    Error, Event, Frame,
    answer::{Finish, Usage},
    http::{
        failure::{in_band, short},
        frame::ANSWER_BYTES,
    },
    sse,
};
use bytes::Bytes;
use protocol::FinishReason;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::{sync::atomic::Ordering, time::Duration};

/// Once the model has finished, how long to wait for the token counts and the end of the stream. The answer is whole
/// already; a server that keeps the connection open must not hold it back.
pub(crate) const TRAILER_WAIT: Duration = Duration::from_secs(5);

/// Borrowed where it is looked at once or never.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    error: Option<Value>,
    /// Empty in the event that carries the usage.
    choices: Option<Vec<Choice>>,
    usage: Option<Counts>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    delta: Option<Delta>,
    /// In place of `delta` where the answer comes whole.
    message: Option<Delta>,
    /// Of `/completions`.
    text: Option<String>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    /// Text, or parts of which some are thoughts.
    content: Option<Value>,
    /// What a model says in place of an answer it will not give: text to whoever reads it.
    refusal: Option<String>,
    tool_calls: Option<Vec<Piece>>,
    /// What tool calls were before they were called so.
    function_call: Option<FunctionPiece>,
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
}

#[derive(Deserialize, Clone, Copy)]
struct Counts {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize, Clone, Copy)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    /// OpenRouter tells what was written, too.
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Clone, Copy)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        let prompt = counts.prompt_tokens_details;
        let cached = prompt.and_then(|details| details.cached_tokens).or(counts.prompt_cache_hit_tokens);
        Self {
            input_tokens: counts.prompt_tokens.unwrap_or(0),
            cached_input_tokens: cached.unwrap_or(0),
            cache_write_tokens: prompt.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            cache_write_1h_tokens: 0,
            output_tokens: counts.completion_tokens.unwrap_or(0),
            reasoning_tokens: counts
                .completion_tokens_details
                .and_then(|details| details.reasoning_tokens)
                .unwrap_or(0),
        }
    }
}

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
    started: bool,
    calls: Calls,
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

impl ChatReader {
    pub(crate) fn new(origin: Origin, bytesway: Bytesway) -> Self {
        Self {
            origin,
            bytesway,
            started: false,
            calls: Calls::default(),
            finish_reason: None,
            seen: 0,
            finished: 0,
            usage: None,
            counted: false,
            bytes: 0,
        }
    }

    /// An answer in one body.
    pub(crate) fn body(mut self, body: &Bytes) -> Result<Frame, Error> {
        let mut events = Vec::new();
        let chunk: Chunk<'_> = parse(body).map_err(|message| self.origin.endpoint.malformed(&message))?;
        self.chunk(chunk, &mut events).map_err(|trouble| match trouble {
            Trouble::Failed(error) => self.origin.endpoint.scrubbed(error),
            Trouble::Unreadable(message) => self.origin.endpoint.malformed(&message),
        })?;
        if self.seen & 1 == 0 {
            let text = String::from_utf8_lossy(body);
            return Err(self.origin.endpoint.malformed(&format!("no `choices` in {}", short(&text))));
        }
        let Some(last) = self.finish() else {
            let message = "its body has no `finish_reason`".to_owned();
            return Err(Error::Cut { provider: self.origin.endpoint.provider.clone(), message });
        };
        events.extend(last.events);
        Ok(Frame { raw: self.bytesway.raw.then(|| body.clone()), events, ..Frame::default() })
    }

    /// Whether the chunk carries nothing but the usage.
    fn chunk(&mut self, chunk: Chunk<'_>, events: &mut Vec<Event>) -> Result<bool, Trouble> {
        if let Some(error) = chunk.error.as_ref().filter(|error| !matches!(error, Value::Null | Value::Bool(false))) {
            return Err(self.failed(error));
        }
        if !self.started {
            self.started = true;
            let text = |raw: Option<&RawValue>| raw.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
            let (id, model) = (text(chunk.id), text(chunk.model));
            events.push(Event::Started { id, model, usage: Usage::default() });
        }
        if let Some(counts) = chunk.usage {
            self.usage = Some(counts.into());
        }
        let choices = chunk.choices.unwrap_or_default();
        let only_usage = choices.is_empty() && chunk.usage.is_some();
        for choice in choices {
            self.choice(choice, events)?;
        }
        Ok(only_usage)
    }

    fn choice(&mut self, choice: Choice, events: &mut Vec<Event>) -> Result<(), Trouble> {
        let bit = 1_u128.checked_shl(choice.index).unwrap_or(0);
        self.seen |= bit;
        let reason = choice.finish_reason.filter(|reason| !reason.is_empty());
        if reason.is_some() {
            self.finished |= bit;
        }
        if choice.index != 0 {
            return Ok(());
        }
        let before = events.len();
        let mut bytes = 0;
        let delta = choice.delta.or(choice.message).unwrap_or_default();
        let thoughts = [delta.reasoning_content, delta.reasoning];
        let thought = thoughts.into_iter().find_map(|thought| match thought {
            Some(Value::String(text)) if !text.is_empty() => Some(text),
            _ => None,
        });
        events.extend(thought.map(Event::Thinking));
        match delta.content {
            Some(Value::String(text)) => say(events, text),
            Some(Value::Array(parts)) => parts.iter().for_each(|part| part_of_content(part, events)),
            _ => {}
        }
        for text in [delta.refusal, choice.text].into_iter().flatten() {
            say(events, text);
        }
        let legacy = delta.function_call.map(|function| Piece { index: None, id: None, function: Some(function) });
        for piece in delta.tool_calls.into_iter().flatten().chain(legacy) {
            bytes += self.calls.add(piece, events);
        }
        self.bytes += bytes + events[before..].iter().map(text_bytes).sum::<usize>();
        if self.bytes > ANSWER_BYTES {
            let provider = self.origin.endpoint.provider.clone();
            return Err(Trouble::Failed(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES }));
        }
        if let Some(reason) = reason {
            self.finish_reason = Some(match reason.as_str() {
                "length" | "max_tokens" | "model_length" => FinishReason::Length,
                "content_filter" => FinishReason::ContentFilter,
                "error" | "insufficient_system_resource" => {
                    return Err(self.failed(&Value::String(format!("it finished with the reason `{reason}`"))));
                }
                // `stop`, `tool_calls`, `function_call`, and the names servers give to a stop token.
                _ => FinishReason::Stop,
            });
        }
        Ok(())
    }

    fn failed(&self, error: &Value) -> Trouble {
        Trouble::Failed(in_band(&self.origin.endpoint.provider, &self.origin.model, error))
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
        let chunk: Chunk<'_> = parse(data).map_err(Trouble::Unreadable)?;
        if chunk.object.is_some_and(|object| object.get() == "\"error\"") {
            return Err(self.failed(&serde_json::from_slice(data).unwrap_or(Value::Null)));
        }
        let mut events = Vec::new();
        let was_whole = self.whole().is_some();
        let only_usage = self.chunk(chunk, &mut events)?;
        self.counted |= only_usage && was_whole;
        let raw = self.bytesway.raw && (!only_usage || self.bytesway.wants_usage);
        Ok(Step::Frame(Frame { raw: raw.then_some(event.raw), events, ..Frame::default() }))
    }

    fn whole(&self) -> Option<Duration> {
        let enough = self.finished.count_ones() >= self.bytesway.choices.min(128);
        (self.finish_reason.is_some() && enough).then_some(if self.counted { END_WAIT } else { TRAILER_WAIT })
    }

    fn finish(&mut self) -> Option<Frame> {
        let reason = self.finish_reason.filter(|_| self.seen == self.finished)?;
        let mut events = Vec::new();
        let reason = match reason {
            FinishReason::Stop if !self.calls.is_empty() => {
                self.calls.finish(&mut events);
                FinishReason::ToolCalls
            }
            reason => reason,
        };
        if self.usage.is_none() && !self.origin.silent_on_usage.swap(true, Ordering::Relaxed) {
            let provider = &self.origin.endpoint.provider;
            tracing::warn!(provider, "answers come without token counts: they are recorded as 0");
        }
        events.push(Event::Finished(Finish::new(reason, self.usage.unwrap_or_default())));
        Some(Frame { events, ..Frame::default() })
    }

    fn passes(&self) -> bool {
        self.bytesway.raw
    }

    fn marker(&self) -> &'static str {
        "`finish_reason`"
    }
}

/// JSON that is text throughout, also where it is not looked at: its bytes may be handed on.
fn parse<'a, T: Deserialize<'a>>(data: &'a [u8]) -> Result<T, String> {
    let text = std::str::from_utf8(data).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| format!("{error} in {}", short(text)))
}

fn say(events: &mut Vec<Event>, text: String) {
    if !text.is_empty() {
        events.push(Event::Text(text));
    }
}

/// Mistral's thinking models answer in parts: `text`, and `thinking` with parts of its own.
fn part_of_content(part: &Value, events: &mut Vec<Event>) {
    if let Some(text) = part["text"].as_str() {
        say(events, text.to_owned());
    }
    let thought: String =
        part["thinking"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect();
    if !thought.is_empty() {
        events.push(Event::Thinking(thought));
    }
}

pub(crate) fn text_bytes(event: &Event) -> usize {
    if let Event::Text(text) | Event::Thinking(text) = event { text.len() } else { 0 }
}

#[cfg(test)]
mod tests;
