//! The answer of `/responses`: server-sent events that name their type, or one body.
//!
//! ```text
//!   response.created, deltas … ──completed, incomplete──▶ Finished
//!                  └───────────────failed, error────────▶ what it means
//! ```
//! Exactly one of these four ends an answer. `response.created` says nothing about what follows: errors about quotas come
//! after it. Items and events this router has no words for are content that passes on ([`Event::Opaque`], once an item).

mod items;
mod telling;

use super::seen::{Kind, Seen, What};
use crate::wire::{
    lenient::{Members, Object},
    openai::provider::Origin,
    openai_chat::reader::text_bytes,
    renamed,
    stream::{END_WAIT, Reader, Step, Trouble, lines_of},
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
use items::{Channel, Items, Place};
use protocol::FinishReason;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};
use telling::{ITEM_BYTES, all_arguments};

pub(crate) struct ResponsesReader {
    origin: Origin,
    raw: bool,
    /// The caller speaks this dialect too and gets events only: what OpenAI sealed is of use to it.
    keeps_seals: bool,
    /// Of the model, in bytes that pass: as the caller asked for it.
    name: Option<String>,
    started: bool,
    items: Items,
    calls: usize,
    refuses: bool,
    /// Events without an item that were told to be opaque, by their kind.
    others: BTreeSet<String>,
    finish: Option<Finish>,
    /// The answer as the last event repeats it, where that is all of it.
    response: Option<Bytes>,
    bytes: usize,
}

impl ResponsesReader {
    pub(crate) fn new(origin: Origin, raw: bool) -> Self {
        Self {
            origin,
            raw,
            keeps_seals: false,
            name: None,
            started: false,
            items: Items::default(),
            calls: 0,
            refuses: false,
            others: BTreeSet::new(),
            finish: None,
            response: None,
            bytes: 0,
        }
    }

    /// For a caller of the same dialect whose bytes do not pass.
    pub(crate) fn keeping_seals(self, keeps_seals: bool) -> Self {
        Self { keeps_seals, ..self }
    }

    /// What passes says this name.
    pub(crate) fn under(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// A whole answer in one body. Servers that stream whatever was asked for send events all the same.
    pub(crate) fn body(mut self, body: &Bytes) -> Result<Frame, Error> {
        if !body.trim_ascii_start().starts_with(b"{") && !body.trim_ascii_start().starts_with(b"[") {
            return self.events_in(body);
        }
        let malformed = |message: &str| self.origin.endpoint.malformed(message);
        let text = || short(&String::from_utf8_lossy(body));
        let object = Object::of(body).map_err(|error| malformed(&format!("{error} in {}", text())))?;
        let fields = object.fields();
        if fields.get("status").is_none() && fields.get("error").is_none() {
            return Err(malformed(&format!("no `status` in {}", text())));
        }
        let mut events = Vec::new();
        self.start(&fields, &mut events);
        let status = fields.text("status");
        self.end(status.as_deref(), &fields, &mut events).map_err(|error| self.origin.endpoint.scrubbed(error))?;
        let raw = renamed::under(body.clone(), &fields, self.name.as_deref());
        Ok(self.frame(raw, events, Seen { sequence: None, output_index: None, what: What::Body }))
    }

    /// The events of a body that was to be one JSON object. What the last one repeats is that object.
    fn events_in(mut self, body: &Bytes) -> Result<Frame, Error> {
        let mut splitter = sse::Splitter::default();
        splitter.push(body.clone());
        let (mut events, mut lines) = (Vec::new(), VecDeque::new());
        while let Some(event) = lines.pop_front().map(Ok).or_else(|| splitter.next()).or_else(|| splitter.finish()) {
            let event = event.map_err(|_| Error::TooLarge {
                provider: self.origin.endpoint.provider.clone(),
                what: "one event",
                limit_bytes: crate::http::frame::FRAME_BYTES,
            })?;
            if event.data.is_empty() {
                continue;
            }
            match self.read(event.clone()) {
                Ok(Step::Frame(frame)) => events.extend(frame.events),
                Ok(Step::End(Some(frame))) => {
                    events.extend(frame.events);
                    let raw = self.response.take().filter(|_| self.raw);
                    return Ok(Frame::new(raw, events));
                }
                Ok(Step::End(None)) => break,
                Err(Trouble::Failed(error)) => return Err(self.origin.endpoint.scrubbed(error)),
                Err(Trouble::Unreadable(_)) if event.data.contains(&b'\n') => lines = lines_of(&event),
                Err(Trouble::Unreadable(_)) => events.push(unreadable()),
            }
        }
        if !self.started && self.finish.is_none() && events.is_empty() {
            let text = short(&String::from_utf8_lossy(body));
            return Err(self.origin.endpoint.malformed(&format!("neither JSON nor events: {text}")));
        }
        let message = format!("the body ended before {}", self.marker());
        Err(Error::Cut { provider: self.origin.endpoint.provider.clone(), message })
    }

    fn frame(&self, raw: Bytes, events: Vec<Event>, seen: Seen) -> Frame {
        let mark = self.raw.then(|| Mark::Responses(Box::new(seen)));
        Frame { raw: self.raw.then_some(raw), events, mark }
    }

    fn start(&mut self, response: &Members<'_>, events: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            let (id, model) = (response.id("id"), response.id("model"));
            events.push(Event::Started { id, model, usage: Usage::default() });
        }
    }

    /// Of the last event or the one body.
    fn end(&mut self, status: Option<&str>, response: &Members<'_>, events: &mut Vec<Event>) -> Result<(), Error> {
        if let Some(error) = response.get("error") {
            return Err(self.failed(error));
        }
        let why = response.object("incomplete_details").text("reason");
        let reason = match (status, why.as_deref()) {
            (Some("completed"), _) => FinishReason::Stop,
            (Some("incomplete"), Some("content_filter")) => FinishReason::ContentFilter,
            (Some("incomplete"), _) => FinishReason::Length,
            (Some("failed"), _) => return Err(self.failed_with(&json!("it says no more than `failed`"))),
            (status, _) => {
                let message = format!("it ended with the status `{}`", status.unwrap_or_default());
                return Err(Error::Cut { provider: self.origin.endpoint.provider.clone(), message });
            }
        };
        for (at, item) in response.list("output").into_iter().enumerate() {
            let members = Members::of(Some(item));
            let place = place_of(Some(at as u64), &members);
            self.whole_item(place, &members, events);
        }
        self.counted(events)?;
        let reason = match reason {
            FinishReason::Stop if self.calls > 0 => FinishReason::ToolCalls,
            reason => reason,
        };
        let usage = response.object("usage");
        self.origin.counted(usage.is_object());
        let finish = Finish { is_refusal: self.refuses, ..Finish::new(reason, counts(&usage)) };
        events.push(Event::Finished(finish.clone()));
        self.finish = Some(finish);
        Ok(())
    }

    /// The item that something is about; a new one where none is known.
    fn about(&mut self, kind: Kind, place: Place) -> usize {
        match self.items.grown(kind, &place) {
            Some(at) => at,
            None => self.begin(kind, place),
        }
    }

    fn event(
        &mut self,
        kind: &str,
        fields: &Members<'_>,
        data: &Bytes,
        events: &mut Vec<Event>,
    ) -> Result<What, Trouble> {
        let place = || Place { output_index: fields.count("output_index"), id: fields.id("item_id"), call_id: None };
        let index = || fields.count("content_index").or(fields.count("summary_index")).unwrap_or(0);
        Ok(match kind {
            "response.created" | "response.queued" | "response.in_progress" => {
                let response = fields.object("response");
                self.start(&response, events);
                What::Begun(response.id("id"))
            }
            "response.output_text.delta" | "response.refusal.delta" => {
                self.refuses |= kind == "response.refusal.delta";
                let at = self.about(Kind::Message, place());
                if let Some(delta) = strict_text(fields, "delta")? {
                    let text = self.items.get(at).more(Channel::Content, index(), delta);
                    events.extend(Some(text).filter(|text| !text.is_empty()).map(Event::Text));
                }
                What::Delta
            }
            "response.output_text.done" | "response.refusal.done" => {
                let at = self.about(Kind::Message, place());
                let text = fields.text("text").or_else(|| fields.text("refusal"));
                self.rest(at, Channel::Content, index(), &text.unwrap_or_default(), events);
                What::PartDone
            }
            "response.content_part.added" | "response.content_part.done" => {
                let part = fields.object("part");
                let is_thought = part.text("type").is_some_and(|kind| kind == "reasoning_text");
                if !is_thought {
                    let at = self.about(Kind::Message, place());
                    self.whole_part(at, index(), &part, events);
                }
                if kind.ends_with("added") { What::Part } else { What::PartDone }
            }
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                let channel = if kind.contains("summary") { Channel::Summary } else { Channel::Content };
                let at = self.about(Kind::Reasoning, place());
                if let Some(delta) = strict_text(fields, "delta")? {
                    self.thought(at, channel, index(), |item| item.more(channel, index(), delta), events);
                }
                What::Delta
            }
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                let channel = if kind.contains("summary") { Channel::Summary } else { Channel::Content };
                let at = self.about(Kind::Reasoning, place());
                let text = fields.text("text").unwrap_or_default();
                self.thought(at, channel, index(), |item| item.rest(channel, index(), &text), events);
                What::PartDone
            }
            "response.reasoning_summary_part.added" => What::Part,
            "response.reasoning_summary_part.done" => What::PartDone,
            "response.output_item.added" => self.added(fields, events),
            "response.output_item.done" => {
                let item = fields.object("item");
                self.whole_item(place_of(fields.count("output_index"), &item), &item, events);
                What::ItemDone(fields.get("item").map_or_else(Bytes::new, |item| slice_of(data, item.get())))
            }
            "response.function_call_arguments.delta" => {
                if let (Some(at), Some(delta)) = (self.items.grown(Kind::Call, &place()), strict_text(fields, "delta")?)
                {
                    let item = self.items.get(at);
                    let fragment = item.more(Channel::Arguments, 0, delta);
                    let index = item.call;
                    events.extend((!fragment.is_empty()).then_some(Event::ToolArguments { index, fragment }));
                }
                What::Delta
            }
            "response.function_call_arguments.done" => {
                if let Some(at) = self.items.grown(Kind::Call, &place()) {
                    self.whole_arguments(at, &all_arguments(fields), events);
                }
                What::PartDone
            }
            // They come once more with their item, whole.
            "response.custom_tool_call_input.delta" | "response.custom_tool_call_input.done" if !self.raw => {
                What::Other
            }
            "keepalive" | "ping" | "codex.rate_limits" | "rate_limits.updated" => What::Other,
            _ => {
                match self.items.any(&place()) {
                    Some(at) => self.opaque(at, kind, events),
                    None if self.others.len() < ITEM_BYTES && self.others.insert(kind.to_owned()) => {
                        events.push(Event::Opaque(
                            if kind.is_empty() { "an event without a type" } else { kind }.to_owned(),
                        ));
                    }
                    None => {}
                }
                What::Other
            }
        })
    }

    fn counted(&mut self, events: &[Event]) -> Result<(), Error> {
        let arguments = |event: &Event| match event {
            Event::ToolArguments { fragment, .. } => fragment.len(),
            event => text_bytes(event),
        };
        self.bytes += events.iter().map(arguments).sum::<usize>();
        if self.bytes > ANSWER_BYTES {
            let provider = self.origin.endpoint.provider.clone();
            return Err(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES });
        }
        Ok(())
    }

    fn failed(&self, error: &RawValue) -> Error {
        self.failed_with(&serde_json::from_str(error.get()).unwrap_or_else(|_| json!(error.get())))
    }

    fn failed_with(&self, error: &Value) -> Error {
        in_band(&self.origin.endpoint.provider, &self.origin.model, error)
    }
}

fn unreadable() -> Event {
    Event::Opaque("a frame that could not be read".to_owned())
}

fn place_of(output_index: Option<u64>, item: &Members<'_>) -> Place {
    Place { output_index, id: item.id("id"), call_id: item.id("call_id") }
}

/// Text that is there and is none could be content in another shape.
fn strict_text<'a>(fields: &Members<'a>, name: &str) -> Result<Option<&'a RawValue>, Trouble> {
    match fields.get(name) {
        Some(value) if !value.get().starts_with('"') => {
            Err(Trouble::Unreadable(format!("`{name}` is no text: {}", short(value.get()))))
        }
        value => Ok(value),
    }
}

fn counts(usage: &Members<'_>) -> Usage {
    let input = usage.object("input_tokens_details");
    Usage {
        input_tokens: usage.count("input_tokens").unwrap_or(0),
        cached_input_tokens: input.count("cached_tokens").unwrap_or(0),
        cache_write_tokens: input.count("cache_write_tokens").unwrap_or(0),
        cache_write_1h_tokens: 0,
        output_tokens: usage.count("output_tokens").unwrap_or(0),
        reasoning_tokens: usage.object("output_tokens_details").count("reasoning_tokens").unwrap_or(0),
    }
}

/// Shares the bytes where `part` is a part of them; what was mended on the way is not.
fn slice_of(data: &Bytes, part: &str) -> Bytes {
    if data.as_ptr_range().contains(&part.as_ptr()) {
        data.slice_ref(part.as_bytes())
    } else {
        Bytes::copy_from_slice(part.as_bytes())
    }
}

impl Reader for ResponsesReader {
    fn read(&mut self, event: sse::Event) -> Result<Step, Trouble> {
        // Not of this API, but servers made for the other one say it.
        if event.data.trim_ascii() == b"[DONE]" {
            return Ok(Step::End(None));
        }
        let text = || short(&String::from_utf8_lossy(&event.data));
        let object =
            Object::of(&event.data).map_err(|error| Trouble::Unreadable(format!("{error} in the event {}", text())))?;
        let fields = object.fields();
        let name = || String::from_utf8_lossy(event.event.as_deref().unwrap_or_default()).into_owned();
        let kind = fields.text("type").filter(|kind| !kind.is_empty()).unwrap_or_else(name);
        if kind == "error" || kind.is_empty() && fields.get("error").is_some() {
            let whole = serde_json::from_slice(&event.data).unwrap_or_else(|_| json!(text()));
            return Err(Trouble::Failed(self.failed_with(&whole)));
        }
        let sequence = fields.count("sequence_number");
        let output_index = fields.count("output_index").and_then(|index| usize::try_from(index).ok());
        let mut events = Vec::new();
        let Some(status @ ("completed" | "incomplete" | "failed")) = kind.strip_prefix("response.") else {
            let what = self.event(&kind, &fields, &event.data, &mut events)?;
            self.counted(&events).map_err(Trouble::Failed)?;
            let seen = Seen { sequence, output_index, what };
            let raw = renamed::under(event.raw, &fields.object("response"), self.name.as_deref());
            return Ok(Step::Frame(self.frame(raw, events, seen)));
        };
        let response = fields.object("response");
        if !response.is_object() {
            return Err(Trouble::Unreadable(format!("no `response` in the event {}", text())));
        }
        self.start(&response, &mut events);
        // The event decides; the status in it is there twice.
        self.end(Some(status), &response, &mut events).map_err(Trouble::Failed)?;
        // Some servers repeat nothing, or less than all.
        if response.list("output").len() >= self.items.len() {
            let whole = fields.get("response").map(|whole| slice_of(&event.data, whole.get()));
            self.response = whole.map(|whole| renamed::under(whole, &response, self.name.as_deref()));
        }
        let seen = Seen { sequence, output_index, what: What::End };
        let raw = renamed::under(event.raw, &response, self.name.as_deref());
        Ok(Step::End(Some(self.frame(raw, events, seen))))
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
