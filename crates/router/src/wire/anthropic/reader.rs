//! The answer of `/v1/messages`.
//!
//! ```text
//!   message_start ─▶ (content_block_start ─▶ deltas ─▶ content_block_stop)* ─▶ message_delta ─▶ message_stop: Finished
//!         └───────────────────── the end of the bytes anywhere before message_stop: Cut ───────────────────┘
//! ```
//! Pings and events newer than this code may come anywhere.

use super::{
    frames::{Events, Said},
    provider::failures,
    shapes,
};
use crate::{
    Error, Event, Frame,
    answer::Finish,
    http::{failure::short, frame::ANSWER_BYTES},
    providers::{ByteStream, ChatStream},
};
use bytes::Bytes;
use futures_util::stream;

/// A stream with more events than this that cannot be read is not sound.
const SKIPPED_EVENTS: u32 = 16;

/// How the answer is to be given on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manner {
    /// With the bytes as they came.
    pub(crate) raw: bool,
    /// White space that was taken from the end of the answer to go on with, since the vendor refuses it there. The model
    /// often begins with it.
    pub(crate) held_back: String,
}

pub(crate) fn decode(provider: &str, model: &str, body: ByteStream, manner: Manner) -> ChatStream {
    let decoder = Decoder {
        events: Events::new(provider, body),
        provider: provider.to_owned(),
        model: model.to_owned(),
        manner,
        block: None,
        calls: 0,
        counts: shapes::Counts::default(),
        stop_reason: None,
        stop_sequence: None,
        bytes: 0,
        skipped: 0,
        ended: false,
    };
    Box::pin(stream::unfold(decoder, |mut decoder| async move { Some((decoder.next().await?, decoder)) }))
}

/// The events of an answer that came in one body.
pub(crate) fn whole(provider: &str, model: &str, body: &[u8]) -> Result<Vec<Event>, Error> {
    let malformed = |message: String| Error::Malformed { provider: provider.to_owned(), message };
    let said: serde_json::Map<String, serde_json::Value> =
        serde_json::from_slice(body).map_err(|error| malformed(format!("{error} in its answer")))?;
    if let Some(error) = said.get("error").filter(|error| !error.is_null()) {
        return Err(failures::in_band(provider, model, error));
    }
    let message: shapes::Message =
        serde_json::from_slice(body).map_err(|error| malformed(format!("{error} in its answer")))?;
    let Some(reason) = message.stop_reason else {
        let message = "its answer has no `stop_reason`".to_owned();
        return Err(Error::Cut { provider: provider.to_owned(), message });
    };
    let usage = message.usage.unwrap_or_default().usage();
    let mut events = vec![Event::Started { id: message.id, model: message.model, usage }];
    let mut calls = 0;
    for block in message.content {
        let (began, input) = begin(block, &mut calls);
        events.extend(began);
        events.extend(input.map(|(index, fragment)| Event::ToolArguments { index, fragment }));
    }
    let mut finish = Finish::new(shapes::finish_reason(Some(&reason), calls > 0), usage);
    finish.stop_sequence = message.stop_sequence;
    events.push(Event::Finished(finish));
    Ok(events)
}

struct Decoder {
    events: Events,
    provider: String,
    model: String,
    manner: Manner,
    block: Option<Block>,
    /// Tool calls so far.
    calls: usize,
    counts: shapes::Counts,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    /// Of text, thoughts and tool calls so far.
    bytes: usize,
    skipped: u32,
    ended: bool,
}

/// The block that is being told.
#[derive(Default)]
struct Block {
    /// Of a tool call.
    call: Option<usize>,
    /// Arguments that stood in the call's beginning: they count when no pieces follow.
    input: Option<(usize, String)>,
}

impl Decoder {
    async fn next(&mut self) -> Option<Result<Frame, Error>> {
        while !self.ended {
            let frame = match self.events.next().await {
                Some(Ok(bytes)) => self.frame(bytes),
                Some(Err(error)) => Err(error),
                None => self.last(),
            };
            match frame {
                Ok(None) => {}
                Ok(Some(frame)) => return Some(Ok(frame)),
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }

    /// An answer whose end lacks only its last line end is whole.
    fn last(&mut self) -> Result<Option<Frame>, Error> {
        let cut = || Error::Cut {
            provider: self.provider.clone(),
            message: "the connection closed before `message_stop`".to_owned(),
        };
        let rest = self.events.rest().ok_or_else(cut)?;
        let said = Said::of(&rest).and_then(|said| said.data);
        let ends = said.and_then(|data| serde_json::from_str::<shapes::Named>(&data).ok());
        if ends.is_some_and(|named| named.kind == "message_stop") { self.frame(rest) } else { Err(cut()) }
    }

    /// `None` for an event that is left out.
    fn frame(&mut self, bytes: Bytes) -> Result<Option<Frame>, Error> {
        let Some(said) = Said::of(&bytes) else { return self.skip(None, "bytes that are no text") };
        let name = said.name.as_deref();
        // A comment shows life.
        let Some(data) = said.data.as_deref() else { return Ok(Some(Frame::default())) };
        let event = match serde_json::from_str::<shapes::Event>(data) {
            Ok(event) => event,
            Err(error) => match serde_json::from_str::<shapes::Named>(data) {
                Ok(named) if !known(&named.kind) => return Ok(Some(self.passed(bytes, Vec::new()))),
                _ => return self.skip(name, &format!("{error} in {}", short(data))),
            },
        };
        if event.kind.is_empty() && event.error.is_none() {
            return self.skip(name, &format!("no `type` in {}", short(data)));
        }
        if name == Some("error") || event.kind == "error" || event.kind.is_empty() {
            let error = event.error.unwrap_or_else(|| data.into());
            return Err(failures::in_band(&self.provider, &self.model, &error));
        }
        self.ended = event.kind == "message_stop";
        let events = self.event(event)?;
        Ok(Some(self.passed(bytes, events)))
    }

    fn passed(&mut self, bytes: Bytes, mut events: Vec<Event>) -> Frame {
        let changed = self.hold_back(&mut events);
        Frame::new((self.manner.raw && !changed).then_some(bytes), events)
    }

    /// Takes white space from the beginning of an answer that the caller has already. Whether something was taken.
    fn hold_back(&mut self, events: &mut [Event]) -> bool {
        let mut changed = false;
        for event in events {
            let Event::Text(text) = event else { continue };
            let common: usize = text
                .chars()
                .zip(self.manner.held_back.chars())
                .take_while(|(new, held)| new == held)
                .map(|(new, _)| new.len_utf8())
                .sum();
            if common > 0 {
                text.drain(..common);
                changed = true;
            }
            if text.is_empty() {
                self.manner.held_back.drain(..common);
            } else {
                self.manner.held_back.clear();
            }
        }
        changed
    }

    fn event(&mut self, event: shapes::Event) -> Result<Vec<Event>, Error> {
        match event.kind.as_str() {
            "message_start" => {
                let Some(message) = event.message else { return Ok(Vec::new()) };
                self.counts.update(message.usage.unwrap_or_default());
                let usage = self.counts.usage();
                Ok(vec![Event::Started { id: message.id, model: message.model, usage }])
            }
            "content_block_start" => {
                let mut events: Vec<_> = self.end_block().into_iter().collect();
                let before = self.calls;
                if let Some(block) = event.content_block {
                    let (began, input) = begin(block, &mut self.calls);
                    self.block = Some(Block { call: (self.calls > before).then_some(before), input });
                    events.extend(began);
                }
                self.count(&events)?;
                Ok(events)
            }
            "content_block_delta" => {
                let events: Vec<_> = event.delta.and_then(|delta| self.delta(delta)).into_iter().collect();
                self.count(&events)?;
                Ok(events)
            }
            "content_block_stop" => {
                let events: Vec<_> = self.end_block().into_iter().collect();
                self.count(&events)?;
                Ok(events)
            }
            "message_delta" => {
                self.counts.update(event.usage.unwrap_or_default());
                if let Some(delta) = event.delta {
                    self.stop_reason = delta.stop_reason.or(self.stop_reason.take());
                    self.stop_sequence = delta.stop_sequence.or(self.stop_sequence.take());
                }
                Ok(Vec::new())
            }
            "message_stop" => {
                let mut events: Vec<_> = self.end_block().into_iter().collect();
                let reason = shapes::finish_reason(self.stop_reason.as_deref(), self.calls > 0);
                let mut finish = Finish::new(reason, self.counts.usage());
                finish.stop_sequence = self.stop_sequence.take();
                events.push(Event::Finished(finish));
                Ok(events)
            }
            _ => Ok(Vec::new()),
        }
    }

    fn delta(&mut self, delta: shapes::Delta) -> Option<Event> {
        match delta.kind.as_deref()? {
            "text_delta" => delta.text.map(Event::Text),
            "thinking_delta" => delta.thinking.map(Event::Thinking),
            "signature_delta" => delta.signature.map(Event::ThinkingSignature),
            "input_json_delta" => {
                // Tools that run at the vendor have arguments, too; those are not the caller's to know.
                let block = self.block.as_mut()?;
                let (index, fragment) = (block.call?, delta.partial_json?);
                if !fragment.is_empty() {
                    block.input = None;
                }
                Some(Event::ToolArguments { index, fragment })
            }
            _ => None,
        }
    }

    fn end_block(&mut self) -> Option<Event> {
        let (index, fragment) = self.block.take()?.input?;
        Some(Event::ToolArguments { index, fragment })
    }

    fn count(&mut self, events: &[Event]) -> Result<(), Error> {
        self.bytes += events.iter().map(size).sum::<usize>();
        if self.bytes > ANSWER_BYTES {
            let provider = self.provider.clone();
            return Err(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES });
        }
        Ok(())
    }

    fn skip(&mut self, name: Option<&str>, why: &str) -> Result<Option<Frame>, Error> {
        self.skipped += 1;
        if self.skipped > SKIPPED_EVENTS {
            let message = format!("more than {SKIPPED_EVENTS} events could not be read, at last: {why}");
            return Err(Error::Malformed { provider: self.provider.clone(), message });
        }
        // Without a beginning or an end of a block, the rest of the bytes does not fit together any more.
        if name != Some("content_block_delta") {
            self.manner.raw = false;
        }
        Ok(None)
    }
}

fn known(kind: &str) -> bool {
    matches!(
        kind,
        "message_start"
            | "content_block_start"
            | "content_block_delta"
            | "content_block_stop"
            | "message_delta"
            | "message_stop"
            | "error"
    )
}

fn size(event: &Event) -> usize {
    match event {
        Event::Text(text)
        | Event::Thinking(text)
        | Event::ThinkingSignature(text)
        | Event::RedactedThinking(text)
        | Event::Opaque(text) => text.len(),
        Event::ToolCall { id, name, .. } => id.len() + name.len(),
        Event::ToolArguments { fragment, .. } => fragment.len(),
        Event::Started { .. } | Event::Finished(_) => 0,
    }
}

/// What a block's beginning says, and apart from it the arguments of a tool call. A block of an answer in one body is all
/// beginning.
fn begin(block: shapes::Block, calls: &mut usize) -> (Vec<Event>, Option<(usize, String)>) {
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let events = match block.kind.as_str() {
        "text" => some(block.text).map(Event::Text).into_iter().collect(),
        "thinking" => {
            let thought = some(block.thinking).map(Event::Thinking);
            thought.into_iter().chain(some(block.signature).map(Event::ThinkingSignature)).collect()
        }
        "redacted_thinking" => block
            .data
            .as_ref()
            .and_then(serde_json::Value::as_str)
            .map(|data| Event::RedactedThinking(data.to_owned()))
            .into_iter()
            .collect(),
        "tool_use" => {
            let index = *calls;
            *calls += 1;
            let call =
                Event::ToolCall { index, id: block.id.unwrap_or_default(), name: block.name.unwrap_or_default() };
            let input = block.input.map(|input| input.get().to_owned());
            let input = input.filter(|input| input.starts_with('{'));
            return (vec![call], input.map(|input| (index, input)));
        }
        _ => Vec::new(),
    };
    (events, None)
}

#[cfg(test)]
mod tests;
