//! The answer of `/v1/messages`.
//!
//! ```text
//!   message_start ─▶ (content_block_start ─▶ deltas ─▶ content_block_stop)* ─▶ message_delta ─▶ message_stop: Finished
//!         └──────── the end of the bytes before why it stopped is told: Cut ────────┘ after it: Finished
//! ```
//! Pings and events newer than this code may come anywhere. Text, arguments and the end are read strictly, every other field
//! by itself (see [`lenient`](crate::wire::lenient)); what has no words here is opaque. An answer in one body is read as the
//! stream it would have been (see [`retold`]).

use super::{
    Mark,
    mark::BlockKind,
    provider::failures,
    retold,
    shapes::{self, Counts},
};
use crate::{
    Error, Event, Frame, answer,
    answer::Finish,
    http::{failure::short, frame::ANSWER_BYTES},
    sse,
    wire::{
        lenient::{Halves, Members, Object},
        openai::provider::Origin,
        renamed::renamed,
        stream::{Reader, Step, Trouble},
    },
};
use bytes::Bytes;
use serde_json::{Value, value::RawValue};
use std::time::Duration;

/// Blocks that have begun and not ended. The vendor has one at a time; of a server that ends none, the oldest is forgotten.
const OPEN_BLOCKS: usize = 128;

/// How the answer is to be given on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// With the bytes as they came, as the answer of the model that the caller asked for by this name.
    pub(crate) passes_as: Option<String>,
    /// White space that was taken from the end of the answer to go on with, since the vendor refuses it there. The model
    /// often begins with it.
    pub(crate) held_back: String,
}

pub(crate) struct MessagesReader {
    origin: Origin,
    manner: Manner,
    /// In the order in which they began.
    blocks: Vec<Block>,
    /// Tool calls so far.
    calls: usize,
    counts: Counts,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    /// Of content so far.
    bytes: usize,
    /// A frame was read.
    begun: bool,
}

/// A block that is being told.
#[derive(Default)]
struct Block {
    index: Option<u64>,
    /// Of a tool call.
    call: Option<usize>,
    /// Arguments that stood in the call's beginning: they count when no pieces follow.
    input: Option<String>,
    /// It is none of those that have words here.
    is_opaque: bool,
    text: Halves,
    /// What the text is, if it is no answer.
    is_thought: bool,
}

impl MessagesReader {
    pub(crate) fn new(origin: Origin, manner: Manner) -> Self {
        Self {
            origin,
            manner,
            blocks: Vec::new(),
            calls: 0,
            counts: Counts::default(),
            stop_reason: None,
            stop_sequence: None,
            bytes: 0,
            begun: false,
        }
    }

    /// An answer in one body, in one frame.
    pub(crate) fn body(self, body: Bytes) -> Result<Frame, Error> {
        let name = self.manner.passes_as.clone();
        let events = self.retold(&body)?.into_iter().flat_map(|frame| frame.events).collect();
        let raw = name.map(|name| {
            let told = Object::of(&body).ok().and_then(|object| {
                let told = object.fields().get("model")?;
                Some(renamed(body.clone(), told, &name))
            });
            told.unwrap_or(body)
        });
        Ok(Frame { raw, events, ..Frame::default() })
    }

    /// An answer in one body, in the frames of a stream.
    pub(crate) fn retold(mut self, body: &[u8]) -> Result<Vec<Frame>, Error> {
        let quoted = || short(&String::from_utf8_lossy(body));
        let object = Object::of(body)
            .map_err(|why| self.origin.endpoint.malformed(&format!("{why} in its answer: {}", quoted())))?;
        let fields = object.fields();
        if let Some(error) = fields.get("error").filter(|_| fields.get("content").is_none()) {
            return Err(self.scrubbed(self.failed(error)));
        }
        if fields.text("stop_reason").is_none() {
            let message = "its answer has no `stop_reason`".to_owned();
            return Err(Error::Cut { provider: self.origin.endpoint.provider.clone(), message });
        }
        let mut frames = Vec::new();
        for event in retold::events(&fields) {
            match self.read(event) {
                Ok(Step::Frame(frame) | Step::End(Some(frame))) => frames.push(frame),
                Ok(Step::End(None)) => {}
                Err(trouble) => return Err(self.scrubbed(trouble)),
            }
        }
        Ok(frames)
    }

    fn scrubbed(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Failed(error) => self.origin.endpoint.scrubbed(error),
            Trouble::Unreadable(message) => self.origin.endpoint.malformed(&message),
        }
    }

    fn failed(&self, error: &RawValue) -> Trouble {
        let error: Value = serde_json::from_str(error.get()).unwrap_or_else(|_| error.get().into());
        Trouble::Failed(failures::in_band(&self.origin.endpoint.provider, &self.origin.model, &error))
    }

    /// What cannot be read passes on, where bytes pass and something was read before: what begins so is no answer. An event
    /// of several lines may be several events.
    fn unreadable(&mut self, event: sse::Event, why: &str) -> Result<Step, Trouble> {
        let message = format!("{why} in {}", short(&String::from_utf8_lossy(&event.data)));
        if event.is_cut || event.data.contains(&b'\n') || !self.passes() || !self.begun {
            return Err(Trouble::Unreadable(message));
        }
        let events = vec![Event::Opaque("a frame that could not be read".to_owned())];
        self.framed(event, events, Mark::Unreadable).map(Step::Frame)
    }

    fn framed(&mut self, event: sse::Event, mut events: Vec<Event>, mark: Mark) -> Result<Frame, Trouble> {
        self.bytes += events.iter().map(|told| size(told, &event.data)).sum::<usize>();
        if self.bytes > ANSWER_BYTES {
            let provider = self.origin.endpoint.provider.clone();
            return Err(Trouble::Failed(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES }));
        }
        self.begun = true;
        self.hold_back(&mut events);
        let raw = self.passes().then_some(event.raw);
        Ok(Frame { raw, events, mark: Some(answer::Mark::Anthropic(mark)) })
    }

    /// Takes white space from the beginning of an answer that the caller has already. No bytes pass of such an answer.
    fn hold_back(&mut self, events: &mut [Event]) {
        for event in events {
            let Event::Text(text) = event else { continue };
            let common: usize = text
                .chars()
                .zip(self.manner.held_back.chars())
                .take_while(|(new, held)| new == held)
                .map(|(new, _)| new.len_utf8())
                .sum();
            text.drain(..common);
            if text.is_empty() {
                self.manner.held_back.drain(..common);
            } else {
                self.manner.held_back.clear();
            }
        }
    }

    fn block_start(&mut self, fields: &Members<'_>, events: &mut Vec<Event>) -> Mark {
        let index = fields.count("index");
        let again = self.blocks.iter().position(|block| index.is_some() && block.index == index);
        if let Some(at) = again.or_else(|| (self.blocks.len() >= OPEN_BLOCKS).then_some(0)) {
            self.end_block(at, events);
        }
        let mut block = Block { index, ..Block::default() };
        let told = fields.object("content_block");
        let kind = match told.text("type").as_deref() {
            Some("text") => {
                block.say(told.get("text"), events);
                BlockKind::Text
            }
            Some("thinking") => {
                block.is_thought = true;
                block.say(told.get("thinking"), events);
                seal(told.get("signature"), events);
                BlockKind::Thinking
            }
            Some("redacted_thinking") => {
                events.push(
                    told.text("data").map_or_else(|| opaque("a block `redacted_thinking`"), Event::RedactedThinking),
                );
                BlockKind::Other
            }
            Some("tool_use") => {
                let index = self.calls;
                self.calls += 1;
                let id = told.id("id").unwrap_or_else(|| format!("toolu_{:016x}", rand::random::<u64>()));
                events.push(Event::ToolCall { index, id, name: told.text("name").unwrap_or_default() });
                block.call = Some(index);
                block.input = told.get("input").map(written).filter(|input| !input.is_empty());
                BlockKind::ToolCall(index)
            }
            Some(other) => {
                block.is_opaque = true;
                events.push(opaque(&format!("a block `{}`", short(other))));
                BlockKind::Other
            }
            None => {
                events.push(opaque("a block that could not be read"));
                BlockKind::Other
            }
        };
        self.blocks.push(block);
        Mark::BlockStart { index, kind }
    }

    fn block_delta(&mut self, fields: &Members<'_>, events: &mut Vec<Event>) {
        let index = fields.count("index");
        let delta = fields.object("delta");
        let at = self.blocks.iter().rposition(|block| index.is_some() && block.index == index);
        if self.blocks.is_empty() {
            self.blocks.push(Block::default());
        }
        let at = at.unwrap_or(self.blocks.len() - 1);
        let block = &mut self.blocks[at];
        let named = delta.text("type");
        // A server that leaves the kind out tells it by the field.
        let by_field = [
            ("text", "text_delta"),
            ("thinking", "thinking_delta"),
            ("signature", "signature_delta"),
            ("partial_json", "input_json_delta"),
        ];
        let kind = named
            .as_deref()
            .or_else(|| by_field.into_iter().find(|(field, _)| delta.get(field).is_some()).map(|(_, kind)| kind));
        match kind {
            Some("text_delta") => {
                block.is_thought = false;
                block.say(delta.get("text"), events);
            }
            Some("thinking_delta") => {
                block.is_thought = true;
                block.say(delta.get("thinking"), events);
            }
            Some("signature_delta") => seal(delta.get("signature"), events),
            // Tools that run at the vendor have arguments, too; those are not the caller's to know.
            Some("input_json_delta") => match (block.call, delta.get("partial_json")) {
                (Some(index), Some(piece)) => {
                    let fragment =
                        if piece.get().starts_with('"') { block.text.read(piece) } else { piece.get().to_owned() };
                    if !fragment.is_empty() {
                        block.input = None;
                        events.push(Event::ToolArguments { index, fragment });
                    }
                }
                (Some(_), None) => {}
                (None, _) => events.push(opaque("arguments of a tool of the vendor's")),
            },
            Some(other) => events.push(opaque(&format!("a delta `{}`", short(other)))),
            None => events.push(opaque("a delta that could not be read")),
        }
    }

    fn end_block(&mut self, at: usize, events: &mut Vec<Event>) {
        let mut block = self.blocks.remove(at);
        let mut rest = String::new();
        block.text.end(&mut rest);
        match block.call {
            Some(index) => {
                let fragment = block.input.unwrap_or_default() + &rest;
                if !fragment.is_empty() {
                    events.push(Event::ToolArguments { index, fragment });
                }
            }
            None if !rest.is_empty() => events.push(block.told(rest)),
            None => {}
        }
    }

    fn end_blocks(&mut self, events: &mut Vec<Event>) {
        while !self.blocks.is_empty() {
            self.end_block(0, events);
        }
    }
}

impl MessagesReader {
    fn end(&mut self, events: &mut Vec<Event>) {
        self.end_blocks(events);
        let reason = shapes::finish_reason(self.stop_reason.as_deref(), self.calls > 0);
        let mut finish = Finish::new(reason, self.counts.usage());
        finish.stop_sequence = self.stop_sequence.take();
        events.push(Event::Finished(finish));
    }
}

impl Reader for MessagesReader {
    fn read(&mut self, mut event: sse::Event) -> Result<Step, Trouble> {
        let data = event.data.clone();
        let named = event.event.as_deref().map(|name| String::from_utf8_lossy(name).into_owned());
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Step::End(None));
        }
        let object = match Object::of(&data) {
            Ok(object) => object,
            Err(_) if named.as_deref() == Some("error") => {
                let text = Value::from(String::from_utf8_lossy(&data));
                let error = failures::in_band(&self.origin.endpoint.provider, &self.origin.model, &text);
                return Err(Trouble::Failed(error));
            }
            Err(why) => return self.unreadable(event, &why),
        };
        let fields = object.fields();
        let kind = fields.text("type").or(named.clone());
        let error = fields.get("error");
        if kind.as_deref() == Some("error") || named.as_deref() == Some("error") || (kind.is_none() && error.is_some())
        {
            let whole = || serde_json::value::to_raw_value(&String::from_utf8_lossy(&data)).unwrap_or_default();
            return Err(error.map_or_else(|| self.failed(&whole()), |error| self.failed(error)));
        }
        let Some(kind) = kind else { return self.unreadable(event, "no `type`") };
        let mut events = Vec::new();
        let mark = match kind.as_str() {
            "message_start" => {
                let message = fields.object("message");
                self.counts.update(Counts::of(&message.object("usage")));
                let usage = self.counts.usage();
                events.push(Event::Started { id: message.id("id"), model: message.text("model"), usage });
                if let (Some(name), Some(told)) = (&self.manner.passes_as, message.get("model")) {
                    event.raw = renamed(event.raw, told, name);
                }
                Mark::MessageStart
            }
            "content_block_start" => self.block_start(&fields, &mut events),
            "content_block_delta" => {
                self.block_delta(&fields, &mut events);
                Mark::BlockDelta
            }
            "content_block_stop" => {
                let index = fields.count("index");
                let at = self.blocks.iter().rposition(|block| index.is_some() && block.index == index);
                if let Some(at) = at.or_else(|| self.blocks.len().checked_sub(1)) {
                    self.end_block(at, &mut events);
                }
                Mark::BlockStop
            }
            "message_delta" => {
                self.counts.update(Counts::of(&fields.object("usage")));
                let delta = fields.object("delta");
                self.stop_reason = delta.text("stop_reason").or(self.stop_reason.take());
                self.stop_sequence = delta.text("stop_sequence").or(self.stop_sequence.take());
                Mark::MessageDelta
            }
            "message_stop" => {
                self.end(&mut events);
                return Ok(Step::End(Some(self.framed(event, events, Mark::MessageStop)?)));
            }
            "ping" => Mark::Other,
            other => {
                events.push(opaque(&format!("an event `{}`", short(other))));
                Mark::Other
            }
        };
        Ok(Step::Frame(self.framed(event, events, mark)?))
    }

    /// Its last word ends it.
    fn whole(&self) -> Option<Duration> {
        None
    }

    /// Servers that say why the model stopped, and hang up in place of the last word.
    fn finish(&mut self) -> Option<Frame> {
        self.stop_reason.as_ref()?;
        let mut events = Vec::new();
        self.end(&mut events);
        self.hold_back(&mut events);
        Some(Frame::new(None, events))
    }

    fn marker(&self) -> &'static str {
        "`stop_reason`"
    }

    fn passes(&self) -> bool {
        self.manner.passes_as.is_some()
    }
}

impl Block {
    /// Text of the block. What stands where a text belongs and is none passes on unread.
    fn say(&mut self, value: Option<&RawValue>, events: &mut Vec<Event>) {
        match value {
            None => {}
            Some(_) if self.is_opaque => events.push(opaque("a part of a block of the vendor's")),
            Some(value) if value.get().starts_with('"') => {
                let text = self.text.read(value);
                if !text.is_empty() {
                    events.push(self.told(text));
                }
            }
            Some(_) => events.push(opaque("a text that could not be read")),
        }
    }

    fn told(&self, text: String) -> Event {
        if self.is_thought { Event::Thinking(text) } else { Event::Text(text) }
    }
}

fn seal(value: Option<&RawValue>, events: &mut Vec<Event>) {
    let seal = value.map(crate::wire::lenient::text);
    match seal {
        Some(Some(seal)) if !seal.is_empty() => events.push(Event::ThinkingSignature(seal)),
        Some(None) => events.push(opaque("a signature that could not be read")),
        _ => {}
    }
}

/// Arguments as the model wrote them: an object, or the text of one.
fn written(value: &RawValue) -> String {
    crate::wire::lenient::text(value).unwrap_or_else(|| value.get().to_owned())
}

fn opaque(what: &str) -> Event {
    Event::Opaque(what.to_owned())
}

/// What an event counts for; one of which nothing is understood counts whole.
fn size(event: &Event, data: &[u8]) -> usize {
    // What has no words here is as large as it came.
    if matches!(event, Event::Opaque(_)) { data.len() } else { event.text_bytes() }
}

#[cfg(test)]
mod tests;
