//! A provider's own chunks on their way to a caller of the same dialect: Chat Completions and Completions alike.
//!
//! ```text
//!   passing ──something without bytes of its own──▶ own words ──▶ ended
//! ```
//! Chunks pass as they are until the first thing that has no bytes. From there on the encoder writes everything, under the
//! same id, because another provider's chunks would carry another one.

use super::{error, sse};
use crate::{Error, Event, Frame, answer::Mark};
use bytes::BytesMut;

pub(crate) struct Passage {
    state: State,
    /// Of the answer, as the caller has it from the first chunk.
    pub(crate) id: String,
    /// A chunk went out, so the caller knows whose answer this is.
    pub(crate) begun: bool,
    /// The chunk with the finish reason went out.
    pub(crate) finished: bool,
    /// Token counts of the whole answer went out.
    pub(crate) counted: bool,
}

#[derive(PartialEq)]
enum State {
    Passing,
    OwnWords,
    Ended,
}

impl Passage {
    pub(crate) fn new(id: String) -> Self {
        Self { state: State::Passing, id, begun: false, finished: false, counted: false }
    }

    /// From now on the encoder writes.
    pub(crate) fn speak(&mut self) {
        self.state = State::OwnWords;
    }

    pub(crate) fn end(&mut self) {
        self.state = State::Ended;
    }

    pub(crate) fn ended(&self) -> bool {
        self.state == State::Ended
    }

    /// The error, in band, unless the answer is over.
    pub(crate) fn fail(&mut self, error: &Error, out: &mut BytesMut) {
        if !self.ended() {
            self.end();
            sse::data(out, &error::body(error));
            out.extend_from_slice(sse::DONE);
        }
    }

    pub(crate) fn heartbeat(&self, out: &mut BytesMut) {
        if !self.ended() {
            out.extend_from_slice(sse::HEARTBEAT);
        }
    }

    /// Whether the frame went out as it is: then of its events only the end is left to be told.
    pub(crate) fn pass(&mut self, frame: &Frame, out: &mut BytesMut) -> bool {
        // A whole body is no event of a stream.
        let Some(raw) = frame.raw.as_deref().filter(|raw| self.state == State::Passing && !raw.starts_with(b"{"))
        else {
            return false;
        };
        if !raw.is_empty() {
            sse::pass(out, raw);
        }
        self.begun = true;
        for event in &frame.events {
            if let Event::Started { id: Some(id), .. } = event {
                self.id.clone_from(id);
            }
        }
        if let Some(Mark::Chunk { finished, counted }) = frame.mark {
            self.finished |= finished;
            self.counted |= counted;
        }
        true
    }
}
