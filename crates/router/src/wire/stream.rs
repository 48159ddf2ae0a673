//! What both streamed answers have in common: when they are whole, cut, or beyond reading.
//!
//! ```text
//!   events … ──terminal marker──▶ whole ──trailer, [DONE], end or a short wait──▶ Finished
//!      ├──── end, [DONE] ───────▶ Cut                 nothing fails it any more
//!      ├──── an error object ───▶ what it means
//!      └──── unreadable ────────▶ passes on as it is, where bytes pass and others could be read; else Malformed: it may
//!                                 have been content, and what never becomes readable is no answer
//! ```
//! Nothing is left out in silence. What comes after the answer is whole fails nothing any more.

use super::openai::provider::Origin;
use crate::{Error, Event, Frame, http::frame::FRAME_BYTES, providers::ChatStream, sse};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// After the last word of a stream: how long for the connection to be released by its end rather than closed. Servers send
/// both at once or soon after one another.
pub(crate) const END_WAIT: Duration = Duration::from_millis(20);

/// One API's reading of a stream's events.
pub(crate) trait Reader: Send + 'static {
    /// What an event with data says.
    fn read(&mut self, event: sse::Event) -> Result<Step, Trouble>;

    /// Once the answer is whole: how long what may still follow is waited for.
    fn whole(&self) -> Option<Duration>;

    /// The last frame; `None` when the answer is not whole.
    fn finish(&mut self) -> Option<Frame>;

    /// What marks the end of a whole answer, for messages.
    fn marker(&self) -> &'static str;

    /// Whether the provider's bytes go to a caller who understands them.
    fn passes(&self) -> bool;
}

#[derive(Debug)]
pub(crate) enum Step {
    Frame(Frame),
    /// The stream's last word was said; a frame may go with it.
    End(Option<Frame>),
}

#[derive(Debug)]
pub(crate) enum Trouble {
    Unreadable(String),
    Failed(Error),
}

pub(crate) fn decode<R: Reader>(
    origin: Origin,
    reader: R,
    body: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> ChatStream {
    let events = sse::Events::new(&origin.endpoint.provider, body);
    let (lines, unread) = (VecDeque::new(), Some(Unread::default()));
    let decoder = Decoder { origin, events, lines, reader, unread, deadline: None, ended: false };
    Box::pin(stream::unfold(decoder, |mut decoder| async move { Some((decoder.next().await?, decoder)) }))
}

struct Decoder<S, R> {
    origin: Origin,
    events: sse::Events<S>,
    /// Of an event that was several in one.
    lines: VecDeque<sse::Event>,
    reader: R,
    /// Until something could be read.
    unread: Option<Unread>,
    /// Set once the answer is whole.
    deadline: Option<Instant>,
    ended: bool,
}

/// Frames that waited for one that can be read: an error page is one long unreadable answer, and leads on.
#[derive(Default)]
struct Unread {
    raw: BytesMut,
    why: String,
}

impl<S: Stream<Item = Result<Bytes, Error>>, R: Reader> Decoder<S, R> {
    async fn next(&mut self) -> Option<Result<Frame, Error>> {
        if self.ended {
            return None;
        }
        let next = self.frame().await;
        // Whatever the frame is: it is the last one after its end was seen or an error.
        self.ended |= next.is_err();
        Some(next)
    }

    async fn frame(&mut self) -> Result<Frame, Error> {
        loop {
            if let Some(wait) = self.reader.whole() {
                let latest = Instant::now() + wait;
                self.deadline = Some(self.deadline.map_or(latest, |deadline| deadline.min(latest)));
            }
            let event = match self.deadline {
                _ if !self.lines.is_empty() => self.lines.pop_front().map(Ok),
                // A server that never falls silent would never let the timer speak.
                Some(deadline) if Instant::now() >= deadline => None,
                Some(deadline) => timeout_at(deadline, self.events.next()).await.unwrap_or(None),
                None => self.events.next().await,
            };
            let whole = self.deadline.is_some();
            let event = match event {
                Some(Ok(event)) => event,
                Some(Err(error)) if !whole => return Err(error),
                // The answer was whole before the connection broke.
                Some(Err(_)) | None => return self.end("the connection closed"),
            };
            if event.data.is_empty() {
                if whole {
                    continue;
                }
                return Ok(Frame::default());
            }
            match self.reader.read(event.clone()) {
                Ok(Step::Frame(frame)) => return Ok(self.after_unread(frame)),
                Ok(Step::End(frame)) => {
                    let _ = timeout(END_WAIT, self.events.drain()).await;
                    return match frame {
                        Some(frame) => {
                            let frame = self.after_unread(frame);
                            Ok(self.last(frame))
                        }
                        None => self.end("`[DONE]` came"),
                    };
                }
                // Servers that part their events by one line feed.
                Err(Trouble::Unreadable(_)) if event.data.contains(&b'\n') => self.lines = lines_of(&event),
                Err(_) if whole => {}
                // Half of a frame is no frame.
                Err(Trouble::Unreadable(_)) if event.is_cut => return self.end("the connection closed"),
                Err(Trouble::Failed(error)) => return Err(self.origin.endpoint.scrubbed(error)),
                Err(Trouble::Unreadable(why)) if self.reader.passes() => match &mut self.unread {
                    None => return Ok(Frame::new(Some(event.raw), vec![unreadable()])),
                    Some(unread) => {
                        unread.raw.extend_from_slice(&event.raw);
                        unread.why = why;
                        if unread.raw.len() > FRAME_BYTES {
                            return Err(self.origin.endpoint.malformed(&unread.why));
                        }
                    }
                },
                Err(Trouble::Unreadable(message)) => return Err(self.origin.endpoint.malformed(&message)),
            }
        }
    }

    fn after_unread(&mut self, frame: Frame) -> Frame {
        let before = self.unread.take().unwrap_or_default().raw;
        if before.is_empty() {
            return frame;
        }
        let Frame { raw, mut events, mark } = frame;
        let at = events.iter().take_while(|event| matches!(event, Event::Started { .. })).count();
        events.insert(at, unreadable());
        Frame { raw: Some([&before[..], &raw.unwrap_or_default()].concat().into()), events, mark }
    }

    fn end(&mut self, what: &str) -> Result<Frame, Error> {
        if let Some(unread) = self.unread.take().filter(|unread| !unread.raw.is_empty()) {
            return Err(self.origin.endpoint.malformed(&unread.why));
        }
        if let Some(frame) = self.reader.finish() {
            return Ok(self.last(frame));
        }
        let message = format!("{what} before {}", self.reader.marker());
        Err(Error::Cut { provider: self.origin.endpoint.provider.clone(), message })
    }

    fn last(&mut self, frame: Frame) -> Frame {
        self.ended = true;
        frame
    }
}

fn unreadable() -> Event {
    Event::Opaque("a frame that could not be read".to_owned())
}

/// Each data line as an event of its own, in bytes that clients read as one.
pub(crate) fn lines_of(event: &sse::Event) -> VecDeque<sse::Event> {
    let lines = event.data.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let name = event.event.as_deref().map(|name| [b"event: ", name, b"\n"].concat()).unwrap_or_default();
    let lines = lines.map(|line| sse::Event {
        raw: [&name, &b"data: "[..], line, b"\n\n"].concat().into(),
        event: event.event.clone(),
        data: event.data.slice_ref(line),
        is_cut: event.is_cut && line.as_ptr_range().end == event.data.as_ptr_range().end,
    });
    lines.collect()
}
