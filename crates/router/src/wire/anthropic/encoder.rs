//! A streamed answer: named server-sent events.
//!
//! ```text
//!   nothing yet ──message_start─▶ between blocks ◀──start / stop──▶ in block n
//!                                      └──message_delta──▶ answered ──message_stop──▶ ended
//! ```
//! The vendor's own events pass byte for byte from its `message_start` on, while their blocks are counted. From the first
//! event that comes without the vendor's bytes, or a second `message_start`, another provider has taken over: everything is
//! written here from then on, and an open block of the same kind is gone on with.

mod observed;
mod tool_calls;

use super::{Counts, error, stop_reason};
use crate::{
    Error, Event, Frame,
    answer::{Finish, Usage},
    dialect::{Encoder, Envelope},
};
use bytes::{BufMut, Bytes, BytesMut};
use observed::Observed;
use serde::Serialize;
use serde_json::{Value, json};
use tool_calls::{Progress, Waiting};

pub(crate) fn encoder(envelope: Envelope) -> Box<dyn Encoder> {
    Box::new(Messages {
        envelope,
        stage: Stage::Nothing,
        passing: false,
        open: None,
        next_index: 0,
        waiting: Waiting::default(),
    })
}

struct Messages {
    envelope: Envelope,
    stage: Stage,
    /// The vendor's bytes are passed on.
    passing: bool,
    open: Option<Open>,
    /// Of the next block.
    next_index: u64,
    /// Tool calls that began while another one was being written.
    waiting: Waiting,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Nothing,
    Started,
    /// `message_delta` said why the answer stopped: only the end can follow.
    Answered,
    Ended,
}

/// The block that is being written.
struct Open {
    index: u64,
    kind: Kind,
}

enum Kind {
    Text,
    Thinking {
        signed: bool,
    },
    ToolCall {
        call: usize,
        progress: Progress,
    },
    /// One of the vendor's that has no name here.
    Other,
}

/// Nearly every event of a stream: written without building a [`Value`] first.
#[derive(Serialize)]
struct BlockDelta<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    index: u64,
    delta: Delta<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum Delta<'a> {
    #[serde(rename = "text_delta")]
    Text { text: &'a str },
    #[serde(rename = "thinking_delta")]
    Thinking { thinking: &'a str },
    #[serde(rename = "signature_delta")]
    Signature { signature: &'a str },
    #[serde(rename = "input_json_delta")]
    InputJson { partial_json: &'a str },
}

impl Encoder for Messages {
    fn frame(&mut self, frame: Frame, out: &mut BytesMut) {
        if self.stage == Stage::Ended {
            return;
        }
        if let Some(raw) = &frame.raw
            && self.pass(raw, &frame.events, out)
        {
            return;
        }
        if !frame.events.is_empty() {
            self.passing = false;
        }
        for event in frame.events {
            self.event(event, out);
        }
    }

    /// Blocks stay open: closing a tool call would tell that its arguments are complete. The vendor's streams end with the
    /// error, too.
    fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        if self.stage != Stage::Ended {
            self.stage = Stage::Ended;
            write(out, "error", &error::error(error, &self.envelope.id).1);
        }
    }

    fn heartbeat(&mut self, out: &mut BytesMut) {
        if self.stage != Stage::Ended {
            out.put_slice(b"event: ping\ndata: {\"type\": \"ping\"}\n\n");
        }
    }
}

impl Messages {
    /// Whether these are the vendor's bytes at a point where they can be passed on; then they are.
    fn pass(&mut self, raw: &Bytes, events: &[Event], out: &mut BytesMut) -> bool {
        let Some(observed) = Observed::of(raw) else { return false };
        if self.stage == Stage::Nothing && observed == Observed::MessageStart {
            self.stage = Stage::Started;
            self.passing = true;
        } else {
            self.passing = self.passing && self.fits(&observed, events);
        }
        if self.passing {
            out.put_slice(raw);
        }
        self.passing
    }

    /// Whether the vendor's next event follows what the caller has, whose place then changes.
    fn fits(&mut self, observed: &Observed, events: &[Event]) -> bool {
        match observed {
            // Not the next index: some block was missed.
            Observed::BlockStart { index, block }
                if *index == self.next_index && self.open.is_none() && self.stage == Stage::Started =>
            {
                self.next_index += 1;
                self.open = Some(Open { index: *index, kind: Kind::of(block, events) });
            }
            Observed::BlockDelta => match &mut self.open {
                Some(open) => open.kind.observe(events),
                None => return false,
            },
            Observed::BlockStop => return self.open.take().is_some(),
            Observed::MessageDelta if self.open.is_none() && self.stage == Stage::Started => {
                self.stage = Stage::Answered;
            }
            Observed::MessageStop if self.stage == Stage::Answered => self.stage = Stage::Ended,
            Observed::Other => {}
            _ => return false,
        }
        true
    }

    fn event(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Started { usage, .. } => self.start(&usage, out),
            Event::Finished(finish) => self.finish(&finish, out),
            // Only clients of its own vendor can read it, and only in its own bytes.
            Event::Opaque(_) => {}
            _ if self.stage >= Stage::Answered => {}
            Event::Text(text) if text.is_empty() => {}
            Event::Text(text) => {
                if !matches!(self.kind(), Some(Kind::Text)) {
                    self.open(Kind::Text, &json!({ "type": "text", "text": "" }), out);
                }
                self.delta(Delta::Text { text: &text }, out);
            }
            Event::Thinking(text) if text.is_empty() => {}
            Event::Thinking(text) => {
                if !matches!(self.kind(), Some(Kind::Thinking { signed: false })) {
                    self.open_thinking(out);
                }
                self.delta(Delta::Thinking { thinking: &text }, out);
            }
            Event::ThinkingSignature(signature) => {
                if !matches!(self.kind(), Some(Kind::Thinking { .. })) {
                    self.open_thinking(out);
                }
                if let Some(Open { kind: Kind::Thinking { signed }, .. }) = &mut self.open {
                    *signed = true;
                }
                self.delta(Delta::Signature { signature: &signature }, out);
            }
            Event::RedactedThinking(data) => {
                self.open(Kind::Other, &json!({ "type": "redacted_thinking", "data": data }), out);
                self.close(out);
            }
            Event::ToolCall { index, id, name } => match self.kind() {
                Some(Kind::ToolCall { progress, .. }) if !progress.is_complete() => {
                    self.waiting.begin(index, id, name);
                }
                _ => self.open_tool_call(index, &id, &name, out),
            },
            Event::ToolArguments { index, fragment } => self.tool_arguments(index, &fragment, out),
        }
    }

    fn kind(&self) -> Option<&Kind> {
        self.open.as_ref().map(|open| &open.kind)
    }

    fn start(&mut self, usage: &Usage, out: &mut BytesMut) {
        if self.stage != Stage::Nothing {
            return;
        }
        self.stage = Stage::Started;
        let message = json!({
            "id": format!("msg_{}", self.envelope.id),
            "type": "message",
            "role": "assistant",
            "model": self.envelope.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": Counts::of(usage).or_estimated(self.envelope.estimated_input_tokens),
        });
        write(out, "message_start", &json!({ "type": "message_start", "message": message }));
    }

    fn finish(&mut self, finish: &Finish, out: &mut BytesMut) {
        self.start(&finish.usage, out);
        if self.stage == Stage::Started {
            self.close_all(out);
            let stop_sequence = finish.stop_sequence.as_deref();
            let reason = stop_reason(finish.reason, stop_sequence);
            let message_delta = json!({
                "type": "message_delta",
                "delta": { "stop_reason": reason, "stop_sequence": stop_sequence },
                "usage": Counts::of(&finish.usage),
            });
            write(out, "message_delta", &message_delta);
        }
        self.stage = Stage::Ended;
        write(out, "message_stop", &json!({ "type": "message_stop" }));
    }

    fn open(&mut self, kind: Kind, block: &Value, out: &mut BytesMut) {
        self.start(&Usage::default(), out);
        self.close_all(out);
        self.open_next(kind, block, out);
    }

    fn open_next(&mut self, kind: Kind, block: &Value, out: &mut BytesMut) {
        let index = self.next_index;
        self.next_index += 1;
        let start = json!({ "type": "content_block_start", "index": index, "content_block": block });
        write(out, "content_block_start", &start);
        self.open = Some(Open { index, kind });
    }

    fn open_thinking(&mut self, out: &mut BytesMut) {
        let block = json!({ "type": "thinking", "thinking": "", "signature": "" });
        self.open(Kind::Thinking { signed: false }, &block, out);
    }

    fn open_tool_call(&mut self, call: usize, id: &str, name: &str, out: &mut BytesMut) {
        self.open(Kind::ToolCall { call, progress: Progress::default() }, &tool_calls::block(id, name), out);
    }

    fn tool_arguments(&mut self, index: usize, fragment: &str, out: &mut BytesMut) {
        if let Some(Open { kind: Kind::ToolCall { call, progress }, .. }) = &mut self.open
            && *call == index
        {
            progress.add(fragment);
            let next = !self.waiting.is_empty() && progress.is_complete();
            self.delta(Delta::InputJson { partial_json: fragment }, out);
            if next {
                self.write_waiting(out);
            }
        } else {
            self.waiting.arguments(index, fragment);
        }
    }

    /// Goes on with the calls that waited for the one before them: the last one stays open, it may not be complete.
    fn write_waiting(&mut self, out: &mut BytesMut) {
        for call in self.waiting.take() {
            self.close(out);
            let block = tool_calls::block(&call.id, &call.name);
            let progress = Progress::of(&call.arguments);
            self.open_next(Kind::ToolCall { call: call.index, progress }, &block, out);
            if !call.arguments.is_empty() {
                self.delta(Delta::InputJson { partial_json: &call.arguments }, out);
            }
        }
    }

    fn close_all(&mut self, out: &mut BytesMut) {
        while !self.waiting.is_empty() {
            self.write_waiting(out);
        }
        self.close(out);
    }

    fn close(&mut self, out: &mut BytesMut) {
        if let Some(open) = self.open.take() {
            write(out, "content_block_stop", &json!({ "type": "content_block_stop", "index": open.index }));
        }
    }

    fn delta(&mut self, delta: Delta<'_>, out: &mut BytesMut) {
        if let Some(open) = &self.open {
            let event = BlockDelta { kind: "content_block_delta", index: open.index, delta };
            write(out, "content_block_delta", &event);
        }
    }
}

impl Kind {
    /// Of a block that the vendor began.
    fn of(block: &str, events: &[Event]) -> Self {
        match (block, events.first()) {
            (_, Some(Event::ToolCall { index, .. })) => Self::ToolCall { call: *index, progress: Progress::default() },
            ("text", _) => Self::Text,
            ("thinking", _) => Self::Thinking { signed: false },
            _ => Self::Other,
        }
    }

    fn observe(&mut self, events: &[Event]) {
        for event in events {
            match (&mut *self, event) {
                (Self::ToolCall { progress, .. }, Event::ToolArguments { fragment, .. }) => progress.add(fragment),
                (Self::Thinking { signed }, Event::ThinkingSignature(_)) => *signed = true,
                _ => {}
            }
        }
    }
}

fn write(out: &mut BytesMut, name: &str, data: &impl Serialize) {
    out.put_slice(b"event: ");
    out.put_slice(name.as_bytes());
    out.put_slice(b"\ndata: ");
    // Writing JSON to memory does not fail.
    let _ = serde_json::to_writer(out.writer(), data);
    out.put_slice(b"\n\n");
}

#[cfg(test)]
mod tests;
