//! The answer of `/responses`: server-sent events that name their type, or one body.
//!
//! ```text
//!   response.created, deltas … ──completed, incomplete──▶ Finished
//!                  └───────────────failed, error────────▶ what it means
//! ```
//! Exactly one of these four ends an answer. `response.created` says nothing about what follows: errors about quotas come
//! after it.

use crate::wire::{
    openai::provider::Origin,
    openai_chat::reader::text_bytes,
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
use serde_json::Value;
use std::{borrow::Cow, sync::atomic::Ordering, time::Duration};

/// As of the chat API: there are some thousand calls in an answer at most.
const CALL_BYTES: usize = 4096;

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Cow<'a, str>,
    delta: Option<Value>,
    output_index: Option<usize>,
    summary_index: Option<usize>,
    arguments: Option<Value>,
    item: Option<Value>,
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Response {
    id: Option<String>,
    model: Option<String>,
    #[serde(default)]
    status: Option<String>,
    error: Option<Value>,
    incomplete_details: Option<Value>,
    output: Option<Vec<Value>>,
    usage: Option<Counts>,
}

#[derive(Deserialize, Clone, Copy)]
struct Counts {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize, Clone, Copy)]
struct InputDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize, Clone, Copy)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl From<Counts> for Usage {
    fn from(counts: Counts) -> Self {
        Self {
            input_tokens: counts.input_tokens.unwrap_or(0),
            cached_input_tokens: counts.input_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
            cache_write_tokens: 0,
            cache_write_1h_tokens: 0,
            output_tokens: counts.output_tokens.unwrap_or(0),
            reasoning_tokens: counts.output_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

/// A function call whose arguments grow.
struct Call {
    output_index: Option<usize>,
    argued: bool,
    done: bool,
}

pub(crate) struct ResponsesReader {
    origin: Origin,
    raw: bool,
    started: bool,
    calls: Vec<Call>,
    /// Something of the answer was said before its end.
    spoke: bool,
    finish: Option<Finish>,
    bytes: usize,
}

impl ResponsesReader {
    pub(crate) fn new(origin: Origin, raw: bool) -> Self {
        Self { origin, raw, started: false, calls: Vec::new(), spoke: false, finish: None, bytes: 0 }
    }

    /// An answer in one body.
    pub(crate) fn body(mut self, body: &Bytes) -> Result<Frame, Error> {
        let malformed = |message: &str| self.origin.endpoint.malformed(message);
        let text = std::str::from_utf8(body).map_err(|error| malformed(&error.to_string()))?;
        let response: Response =
            serde_json::from_str(text).map_err(|error| malformed(&format!("{error} in {}", short(text))))?;
        if response.status.is_none() && response.error.is_none() {
            return Err(malformed(&format!("no `status` in {}", short(text))));
        }
        let mut events = Vec::new();
        self.start(&response, &mut events);
        self.end(&response, &mut events).map_err(|error| self.origin.endpoint.scrubbed(error))?;
        Ok(Frame { raw: self.raw.then(|| body.clone()), events, ..Frame::default() })
    }

    fn start(&mut self, response: &Response, events: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            let usage = Usage::default();
            events.push(Event::Started { id: response.id.clone(), model: response.model.clone(), usage });
        }
    }

    /// Of the last event or the one body.
    fn end(&mut self, response: &Response, events: &mut Vec<Event>) -> Result<(), Error> {
        if let Some(error) = response.error.as_ref().filter(|error| !error.is_null()) {
            return Err(self.failed(error));
        }
        let why = response.incomplete_details.as_ref().and_then(|details| details["reason"].as_str());
        let reason = match (response.status.as_deref(), why) {
            (Some("completed"), _) => FinishReason::Stop,
            (Some("incomplete"), Some("content_filter")) => FinishReason::ContentFilter,
            (Some("incomplete"), _) => FinishReason::Length,
            (Some("failed"), _) => return Err(self.failed(&Value::String("it says no more than `failed`".to_owned()))),
            (status, _) => {
                let message = format!("it ended with the status `{}`", status.unwrap_or_default());
                return Err(Error::Cut { provider: self.origin.endpoint.provider.clone(), message });
            }
        };
        // Servers that stream no deltas, and answers in one body.
        if !self.spoke {
            response.output.iter().flatten().for_each(|item| self.item(item, None, events));
        }
        let reason = match reason {
            FinishReason::Stop if !self.calls.is_empty() => FinishReason::ToolCalls,
            reason => reason,
        };
        if response.usage.is_none() && !self.origin.silent_on_usage.swap(true, Ordering::Relaxed) {
            let provider = &self.origin.endpoint.provider;
            tracing::warn!(provider, "answers come without token counts: they are recorded as 0");
        }
        let finish = Finish::new(reason, response.usage.map(Usage::from).unwrap_or_default());
        events.push(Event::Finished(finish.clone()));
        self.finish = Some(finish);
        Ok(())
    }

    /// A whole item of the output.
    fn item(&mut self, item: &Value, output_index: Option<usize>, events: &mut Vec<Event>) {
        let parts = |name: &str| item[name].as_array().into_iter().flatten();
        match item["type"].as_str() {
            Some("message") => {
                for part in parts("content") {
                    let text = part["text"].as_str().or_else(|| part["refusal"].as_str());
                    events.extend(text.filter(|text| !text.is_empty()).map(|text| Event::Text(text.to_owned())));
                }
            }
            Some("reasoning") => {
                let thoughts: Vec<&str> =
                    parts("summary").chain(parts("content")).filter_map(|part| part["text"].as_str()).collect();
                if !thoughts.is_empty() {
                    events.push(Event::Thinking(thoughts.join("\n\n")));
                }
            }
            Some("function_call") => {
                let at = self.call(item, output_index, events);
                self.arguments(at, item["arguments"].as_str().unwrap_or_default(), events);
            }
            _ => {}
        }
    }

    fn call(&mut self, item: &Value, output_index: Option<usize>, events: &mut Vec<Event>) -> usize {
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        let index = self.calls.len();
        self.calls.push(Call { output_index, argued: false, done: false });
        self.bytes += CALL_BYTES;
        events.push(Event::ToolCall { index, id: text("call_id"), name: text("name") });
        index
    }

    /// All arguments of a call, unless they came in pieces.
    fn arguments(&mut self, at: usize, arguments: &str, events: &mut Vec<Event>) {
        let call = &mut self.calls[at];
        if !call.argued && !call.done {
            let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
            self.bytes += arguments.len();
            events.push(Event::ToolArguments { index: at, fragment: arguments.to_owned() });
        }
        call.done = true;
    }

    fn call_at(&self, output_index: Option<usize>) -> Option<usize> {
        match output_index {
            Some(_) => self.calls.iter().rposition(|call| call.output_index == output_index),
            None => self.calls.len().checked_sub(1),
        }
    }

    fn event(&mut self, said: Said<'_>, events: &mut Vec<Event>) -> Result<(), Error> {
        let delta = said.delta.as_ref().and_then(Value::as_str).unwrap_or_default();
        let item = said.item.as_ref().unwrap_or(&Value::Null);
        let is_call = item["type"] == "function_call";
        match said.kind.as_ref() {
            "response.created" | "response.queued" | "response.in_progress" => {
                if let Some(response) = &said.response {
                    self.start(response, events);
                }
            }
            "response.output_text.delta" | "response.refusal.delta" if !delta.is_empty() => {
                events.push(Event::Text(delta.to_owned()));
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" if !delta.is_empty() => {
                events.push(Event::Thinking(delta.to_owned()));
            }
            "response.reasoning_summary_part.added" if said.summary_index.unwrap_or(0) > 0 => {
                events.push(Event::Thinking("\n\n".to_owned()));
            }
            "response.output_item.added" if is_call => {
                self.call(item, said.output_index, events);
            }
            "response.function_call_arguments.delta" if !delta.is_empty() => {
                if let Some(index) = self.call_at(said.output_index) {
                    self.calls[index].argued = true;
                    self.bytes += delta.len();
                    events.push(Event::ToolArguments { index, fragment: delta.to_owned() });
                }
            }
            "response.function_call_arguments.done" => {
                if let Some(at) = self.call_at(said.output_index) {
                    let arguments = said.arguments.as_ref().and_then(Value::as_str).unwrap_or_default();
                    self.arguments(at, arguments, events);
                }
            }
            "response.output_item.done" if is_call => match self.call_at(said.output_index) {
                Some(at) => self.arguments(at, item["arguments"].as_str().unwrap_or_default(), events),
                None => self.item(item, said.output_index, events),
            },
            _ => {}
        }
        self.spoke |= events.iter().any(Event::is_content);
        self.bytes += events.iter().map(text_bytes).sum::<usize>();
        if self.bytes > ANSWER_BYTES {
            let provider = self.origin.endpoint.provider.clone();
            return Err(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES });
        }
        Ok(())
    }

    fn failed(&self, error: &Value) -> Error {
        in_band(&self.origin.endpoint.provider, &self.origin.model, error)
    }
}

impl Reader for ResponsesReader {
    fn read(&mut self, event: sse::Event) -> Result<Step, Trouble> {
        let data = event.data.trim_ascii();
        // Not of this API, but servers made for the other one say it.
        if data == b"[DONE]" {
            return Ok(Step::End(None));
        }
        let text = std::str::from_utf8(data).map_err(|error| Trouble::Unreadable(error.to_string()))?;
        let mut said: Said<'_> = serde_json::from_str(text)
            .map_err(|error| Trouble::Unreadable(format!("{error} in the event {}", short(text))))?;
        if said.kind.is_empty() {
            let name = event.event.as_deref().unwrap_or_default();
            said.kind = String::from_utf8_lossy(name).into_owned().into();
        }
        let whole = || serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
        if said.kind == "error" || said.kind.is_empty() && whole().get("error").is_some_and(|error| !error.is_null()) {
            return Err(Trouble::Failed(self.failed(&whole())));
        }
        let mut events = Vec::new();
        if !matches!(said.kind.as_ref(), "response.completed" | "response.incomplete" | "response.failed") {
            self.event(said, &mut events).map_err(Trouble::Failed)?;
            return Ok(Step::Frame(Frame { raw: self.raw.then_some(event.raw), events, ..Frame::default() }));
        }
        let Some(mut response) = said.response else {
            return Err(Trouble::Unreadable(format!("no `response` in the event {}", short(text))));
        };
        // The event decides; the status in it is there twice.
        response.status = said.kind.strip_prefix("response.").map(str::to_owned);
        self.start(&response, &mut events);
        self.end(&response, &mut events).map_err(Trouble::Failed)?;
        Ok(Step::End(Some(Frame { raw: self.raw.then_some(event.raw), events, ..Frame::default() })))
    }

    fn whole(&self) -> Option<Duration> {
        self.finish.is_some().then_some(END_WAIT)
    }

    /// The last event brings its own end: without it nothing is whole.
    fn finish(&mut self) -> Option<Frame> {
        None
    }

    fn passes(&self) -> bool {
        self.raw
    }

    fn marker(&self) -> &'static str {
        "`response.completed`"
    }
}

#[cfg(test)]
mod tests;
