//! A streamed answer: named server-sent events.
//!
//! ```text
//!   nothing yet ──message_start─▶ between blocks ◀──start / stop──▶ in block n
//!                                      └──message_delta──▶ answered ──message_stop──▶ ended
//! ```
//! The vendor's own events pass byte for byte, whatever they are, while their blocks are counted by the marks the reader
//! made. From the first event that comes without the vendor's bytes, or a second `message_start`, another provider has taken
//! over: everything is written here from then on, and an open block of the same kind is gone on with.
//!
//! A block ends where the next one begins, and a tool call that ends is run: what comes inside of a call waits until its
//! arguments are whole.

mod tool_calls;

use super::{Counts, Mark, error, mark::BlockKind, stop_reason};
use crate::{
    Error, Event, Frame,
    answer::{self, Finish, Usage},
    dialect::{Encoder, Envelope},
};
use bytes::{BufMut, BytesMut};
use serde::Serialize;
use serde_json::{Value, json};
use tool_calls::{Call, Piece, Progress, Waiting};

pub(crate) fn encoder(envelope: Envelope) -> Box<dyn Encoder> {
    Box::new(Messages {
        envelope,
        stage: Stage::Nothing,
        way: Way::Undecided,
        open: None,
        next_index: 0,
        waiting: Waiting::default(),
    })
}

struct Messages {
    envelope: Envelope,
    stage: Stage,
    way: Way,
    open: Option<Open>,
    /// Of the next block.
    next_index: u64,
    /// What came while the arguments of a call were still coming.
    waiting: Waiting,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing of an answer was told yet.
    Undecided,
    /// The vendor's bytes pass.
    Passing,
    /// All is written here.
    OwnWords,
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
        if let (Some(raw), Some(answer::Mark::Anthropic(mark))) = (&frame.raw, frame.mark)
            && self.passes(mark, &frame.events)
        {
            self.observe(mark, &frame.events);
            out.put_slice(raw);
            return;
        }
        if !frame.events.is_empty() {
            self.way = Way::OwnWords;
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
    /// Whether the vendor's bytes can go out now.
    fn passes(&mut self, mark: Mark, events: &[Event]) -> bool {
        match (self.way, mark) {
            (Way::Undecided, Mark::MessageStart | Mark::Unreadable) => self.way = Way::Passing,
            (Way::Undecided, Mark::Other) if events.is_empty() => return true,
            (Way::Undecided, Mark::Other) => self.way = Way::Passing,
            // A stream without a head has to be given one.
            (Way::Undecided, _) => return false,
            // A second answer.
            (Way::Passing, Mark::MessageStart) if self.stage != Stage::Nothing => return false,
            (Way::Passing, _) => {}
            (Way::OwnWords, _) => return false,
        }
        true
    }

    /// What the caller has once these bytes went out.
    fn observe(&mut self, mark: Mark, events: &[Event]) {
        match mark {
            Mark::MessageStart => self.stage = Stage::Started,
            Mark::BlockStart { index, kind } => {
                let index = index.unwrap_or(self.next_index);
                self.next_index = self.next_index.max(index.saturating_add(1));
                let kind = match kind {
                    BlockKind::Text => Kind::Text,
                    BlockKind::Thinking => Kind::Thinking { signed: false },
                    BlockKind::ToolCall(call) => Kind::ToolCall { call, progress: Progress::default() },
                    BlockKind::Other => Kind::Other,
                };
                self.open = Some(Open { index, kind });
                self.observe_delta(events);
            }
            Mark::BlockDelta => self.observe_delta(events),
            Mark::BlockStop => self.open = None,
            Mark::MessageDelta => self.stage = Stage::Answered,
            Mark::MessageStop => self.stage = Stage::Ended,
            Mark::Unreadable => self.stage = self.stage.max(Stage::Started),
            Mark::Other => {}
        }
    }

    fn observe_delta(&mut self, events: &[Event]) {
        let Some(Open { kind, .. }) = &mut self.open else { return };
        for event in events {
            match (&mut *kind, event) {
                (Kind::ToolCall { progress, .. }, Event::ToolArguments { fragment, .. }) => progress.add(fragment),
                (Kind::Thinking { signed }, Event::ThinkingSignature(_)) => *signed = true,
                _ => {}
            }
        }
    }

    fn event(&mut self, event: Event, out: &mut BytesMut) {
        match event {
            Event::Started { usage, .. } => self.start(&usage, out),
            Event::Finished(finish) => self.finish(&finish, out),
            // Only clients of its own vendor can read it, and only in its own bytes.
            Event::Opaque(_) => {}
            _ if self.stage >= Stage::Answered => {}
            Event::Text(text) if text.is_empty() => {}
            Event::Thinking(text) if text.is_empty() => {}
            Event::Text(text) => self.piece(Piece::Text(text), out),
            Event::Thinking(text) => self.piece(Piece::Thinking(text), out),
            Event::ThinkingSignature(signature) => self.piece(Piece::ThinkingSignature(signature), out),
            Event::RedactedThinking(data) => self.piece(Piece::RedactedThinking(data), out),
            Event::ToolCall { index, id, name } => self.piece(Piece::Call(Call::new(index, id, name)), out),
            Event::ToolArguments { index, fragment } => self.tool_arguments(index, &fragment, out),
        }
    }

    fn piece(&mut self, piece: Piece, out: &mut BytesMut) {
        match self.kind() {
            Some(Kind::ToolCall { progress, .. }) if !progress.is_complete() => self.waiting.add(piece),
            _ => self.write_piece(piece, out),
        }
    }

    fn write_piece(&mut self, piece: Piece, out: &mut BytesMut) {
        match piece {
            Piece::Text(text) => {
                if !matches!(self.kind(), Some(Kind::Text)) {
                    self.open(Kind::Text, &json!({ "type": "text", "text": "" }), out);
                }
                self.delta(Delta::Text { text: &text }, out);
            }
            Piece::Thinking(text) => {
                if !matches!(self.kind(), Some(Kind::Thinking { signed: false })) {
                    self.open_thinking(out);
                }
                self.delta(Delta::Thinking { thinking: &text }, out);
            }
            Piece::ThinkingSignature(signature) => {
                if !matches!(self.kind(), Some(Kind::Thinking { .. })) {
                    self.open_thinking(out);
                }
                if let Some(Open { kind: Kind::Thinking { signed }, .. }) = &mut self.open {
                    *signed = true;
                }
                self.delta(Delta::Signature { signature: &signature }, out);
            }
            Piece::RedactedThinking(data) => {
                self.open(Kind::Other, &json!({ "type": "redacted_thinking", "data": data }), out);
                self.close(out);
            }
            Piece::Call(Call { index, id, name, arguments }) => {
                let progress = Progress::of(&arguments);
                self.open(Kind::ToolCall { call: index, progress }, &tool_calls::block(&id, &name), out);
                if !arguments.is_empty() {
                    self.delta(Delta::InputJson { partial_json: &arguments }, out);
                }
            }
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
        self.close(out);
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

    /// Goes on with what waited for the call before it. A call among it may not be complete, and stays open.
    fn write_waiting(&mut self, out: &mut BytesMut) {
        for piece in self.waiting.take() {
            self.write_piece(piece, out);
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
