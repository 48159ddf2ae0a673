//! Server-sent events, cut out of a stream of bytes with their exact bytes kept.
//!
//! Written after the WHATWG HTML standard, "Server-sent events". What is ours: a comment is handed on at once as an event
//! without data, because it shows life; a last event without its blank line counts, because servers forget it; and a byte order
//! mark may stand before any event, where a server writes one with each of its pieces.
//!
//! Where an event ends depends on the bytes alone, never on how the network cut them.

use crate::{
    Error,
    http::frame::{BYTE_ORDER_MARK, FRAME_BYTES},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use std::{ops::Range, pin::Pin};

/// After the last word of a stream there is a line end or two.
const DRAINED_CHUNKS: usize = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// From the event's first byte to the end of its blank line.
    pub(crate) raw: Bytes,
    pub(crate) event: Option<Bytes>,
    /// The data lines, joined by line feeds. Empty for comments and for events that only name themselves.
    pub(crate) data: Bytes,
    /// The bytes ended before its blank line. It counts if it can be read.
    pub(crate) is_cut: bool,
}

/// Bytes in, events out. Holds at most one unfinished event and what came with it.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    /// What came last, as long as no unfinished event stands before it: events are slices of it.
    chunk: Bytes,
    /// An event that more than one chunk is needed for, and all that follows it. Empty while `chunk` is not.
    gathered: BytesMut,
    /// Into whichever of the two is not empty: the line that is read, and how far no line end was found.
    line: usize,
    searched: usize,
    fields: Fields,
    /// The last event ended with a carriage return: a line feed right after it belongs to it.
    after_carriage_return: bool,
}

#[derive(Debug, Default)]
struct Fields {
    any: bool,
    event: Option<Range<usize>>,
    data: Option<Range<usize>>,
    more_data: Vec<Range<usize>>,
    /// A byte order mark to leave out.
    skip: usize,
    /// The line end before this line was a carriage return alone.
    carriage_returns: bool,
}

/// One event is larger than [`FRAME_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

impl Splitter {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if self.gathered.is_empty() && self.chunk.is_empty() {
            self.chunk = bytes;
            return;
        }
        if !self.chunk.is_empty() {
            self.gathered.extend_from_slice(&std::mem::take(&mut self.chunk));
        }
        self.gathered.extend_from_slice(&bytes);
    }

    /// The next whole event of what was pushed.
    pub(crate) fn next(&mut self) -> Option<Result<Event, TooLarge>> {
        loop {
            if self.after_carriage_return && !self.there().is_empty() {
                self.after_carriage_return = false;
                if self.there()[0] == b'\n' {
                    self.take(1);
                }
            }
            let Some((content, end, carriage_return)) = self.line_end() else {
                return (self.there().len() > FRAME_BYTES).then_some(Err(TooLarge));
            };
            let line = self.line..content;
            if self.line == 0 && self.there()[line.clone()].starts_with(BYTE_ORDER_MARK) {
                self.fields.skip = BYTE_ORDER_MARK.len();
            }
            let line = line.start + if line.start == 0 { self.fields.skip } else { 0 }..line.end;
            let blank = line.is_empty();
            let comment = !self.fields.any && self.there()[line.clone()].first() == Some(&b':');
            self.after_carriage_return = carriage_return && (blank || comment);
            if blank && !self.fields.any {
                self.take(end);
            } else if blank || comment {
                return Some(self.event(end));
            } else {
                self.field(line);
                self.fields.carriage_returns = carriage_return;
                self.line = end;
                self.searched = end;
            }
        }
    }

    /// No more comes: what is left, as if its blank line had come.
    pub(crate) fn finish(&mut self) -> Option<Result<Event, TooLarge>> {
        if self.there().is_empty() {
            return None;
        }
        let end = match (self.there().ends_with(b"\n"), self.fields.any) {
            (true, true) => &b"\n"[..],
            _ => b"\n\n",
        };
        self.push(Bytes::from_static(end));
        self.next().map(|event| event.map(|event| Event { is_cut: true, ..event }))
    }

    fn there(&self) -> &[u8] {
        if self.gathered.is_empty() { &self.chunk } else { &self.gathered }
    }

    /// Where the line's content ends, where the next one begins, and whether a carriage return alone stands between.
    fn line_end(&mut self) -> Option<(usize, usize, bool)> {
        let there = self.there();
        let Some(at) = there[self.searched..].iter().position(|&byte| byte == b'\n' || byte == b'\r') else {
            self.searched = there.len();
            return None;
        };
        let at = self.searched + at;
        self.searched = at;
        let there = self.there();
        if there[at] == b'\n' {
            return Some((at, at + 1, false));
        }
        if at == self.line && self.fields.carriage_returns {
            // A stream of bare carriage returns is not held up by one event for the line feed that never comes.
            return Some((at, at + 1, true));
        }
        match there.get(at + 1)? {
            b'\n' => Some((at, at + 2, false)),
            _ => Some((at, at + 1, true)),
        }
    }

    fn field(&mut self, line: Range<usize>) {
        self.fields.any = true;
        let text = &self.there()[line.clone()];
        let colon = text.iter().position(|&byte| byte == b':').unwrap_or(text.len());
        let space = usize::from(text.get(colon + 1) == Some(&b' '));
        let value = (line.start + colon + 1 + space).min(line.end)..line.end;
        match &text[..colon] {
            b"data" if self.fields.data.is_none() => self.fields.data = Some(value),
            b"data" => self.fields.more_data.push(value),
            b"event" => self.fields.event = Some(value),
            _ => {}
        }
    }

    fn event(&mut self, end: usize) -> Result<Event, TooLarge> {
        let fields = std::mem::take(&mut self.fields);
        let raw = self.take(end);
        if raw.len() > FRAME_BYTES {
            return Err(TooLarge);
        }
        let mut data = fields.data.map_or_else(Bytes::new, |range| raw.slice(range));
        if !fields.more_data.is_empty() {
            let mut joined = BytesMut::from(&data[..]);
            for line in fields.more_data {
                joined.extend_from_slice(b"\n");
                joined.extend_from_slice(&raw[line]);
            }
            data = joined.freeze();
        }
        let event = fields.event.map(|range| raw.slice(range));
        Ok(Event { event, data, raw: raw.slice(fields.skip..), is_cut: false })
    }

    fn take(&mut self, end: usize) -> Bytes {
        self.line = 0;
        self.searched = 0;
        self.fields.skip = 0;
        if self.gathered.is_empty() { self.chunk.split_to(end) } else { self.gathered.split_to(end).freeze() }
    }
}

/// The events of a body.
pub(crate) struct Events<S> {
    provider: String,
    body: Pin<Box<S>>,
    splitter: Splitter,
    ended: bool,
}

impl<S: Stream<Item = Result<Bytes, Error>>> Events<S> {
    pub(crate) fn new(provider: &str, body: S) -> Self {
        Self { provider: provider.to_owned(), body: Box::pin(body), splitter: Splitter::default(), ended: false }
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Event, Error>> {
        loop {
            if let Some(event) = self.splitter.next() {
                return Some(self.checked(event));
            }
            if self.ended {
                return None;
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.splitter.push(bytes),
                Some(Err(error)) => {
                    self.ended = true;
                    self.splitter = Splitter::default();
                    return Some(Err(error));
                }
                None => {
                    self.ended = true;
                    let last = self.splitter.finish()?;
                    return Some(self.checked(last));
                }
            }
        }
    }

    /// Reads to the end of the body, so that its connection can serve again; not of one that goes on and on.
    pub(crate) async fn drain(&mut self) {
        for _ in 0..DRAINED_CHUNKS {
            if self.ended {
                return;
            }
            self.ended = !matches!(self.body.next().await, Some(Ok(_)));
        }
    }

    fn checked(&mut self, event: Result<Event, TooLarge>) -> Result<Event, Error> {
        event.map_err(|TooLarge| {
            self.ended = true;
            self.splitter = Splitter::default();
            Error::TooLarge { provider: self.provider.clone(), what: "one event", limit_bytes: FRAME_BYTES }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(text: &[u8], cuts: &[usize]) -> Vec<Result<Event, TooLarge>> {
        let mut splitter = Splitter::default();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut events = Vec::new();
        for pair in cuts.windows(2) {
            splitter.push(Bytes::copy_from_slice(&text[pair[0]..pair[1]]));
            events.extend(std::iter::from_fn(|| splitter.next()).take(text.len() + 1));
        }
        events.extend(splitter.finish());
        events
    }

    fn seen(text: &[u8]) -> Vec<(String, String, String)> {
        let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let events = split(text, &[]).into_iter().map(Result::unwrap);
        events.map(|e| (text_of(&e.raw), text_of(e.event.as_deref().unwrap_or_default()), text_of(&e.data))).collect()
    }

    fn three(raw: &str, event: &str, data: &str) -> (String, String, String) {
        (raw.to_owned(), event.to_owned(), data.to_owned())
    }

    #[test]
    fn events_keep_their_bytes() {
        let got = seen(b": hi\n\nevent: a\nid: 7\ndata: one\n\ndata:two\r\ndata\r\ndata:  three\r\n\r\n\n\ndata: last");
        assert_eq!(
            got,
            [
                three(": hi\n", "", ""),
                three("event: a\nid: 7\ndata: one\n\n", "a", "one"),
                three("data:two\r\ndata\r\ndata:  three\r\n\r\n", "", "two\n\n three"),
                three("data: last\n\n", "", "last"),
            ]
        );
        assert_eq!(seen(b"data: x\n"), [three("data: x\n\n", "", "x")]);
        assert_eq!(seen(b"\xef\xbb\xbfdata: x\n\n"), [three("data: x\n\n", "", "x")]);
        assert_eq!(seen(b"\xef\xbb\xbf: x\ndata: x\n\n").len(), 2);
        let twice = b"\xef\xbb\xbfdata: x\n\n\xef\xbb\xbfdata: y\n\n";
        assert_eq!(seen(twice), [three("data: x\n\n", "", "x"), three("data: y\n\n", "", "y")]);
    }

    #[test]
    fn bare_carriage_returns_hold_nothing_up() {
        let mut splitter = Splitter::default();
        splitter.push(Bytes::from_static(b"data: one\r\r"));
        assert_eq!(splitter.next().unwrap().unwrap().data, "one");
        splitter.push(Bytes::from_static(b"data: two\r\r"));
        assert_eq!(splitter.next().unwrap().unwrap().raw, "data: two\r\r");
        // The line feed belongs to the event before it.
        splitter.push(Bytes::from_static(b"\ndata: three\r\n\r\n"));
        assert_eq!(splitter.next().unwrap().unwrap().raw, "data: three\r\n\r\n");
        assert_eq!(splitter.finish(), None);
    }

    #[test]
    fn an_event_without_end_is_refused_and_many_events_are_not() {
        let mut splitter = Splitter::default();
        let refused = (0..FRAME_BYTES / 1024 + 2).any(|_| {
            splitter.push(Bytes::from(vec![b'x'; 1024]));
            splitter.next() == Some(Err(TooLarge))
        });
        assert!(refused && splitter.there().len() <= FRAME_BYTES + 1024);
        let many = b"data: one\n\n".repeat(FRAME_BYTES / 8);
        assert_eq!(split(&many, &[]).len(), FRAME_BYTES / 8);
        assert!(split(&many, &[]).iter().all(Result::is_ok));
    }

    #[test]
    fn what_comes_in_one_piece_is_not_copied() {
        let chunk = Bytes::from_static(b"data: one\n\ndata: two\n\n");
        let mut splitter = Splitter::default();
        splitter.push(chunk.clone());
        assert_eq!(splitter.next().unwrap().unwrap().raw.as_ptr(), chunk.as_ptr());
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        const PIECES: &[&[u8]] = &[
            b"\n",
            b"\r",
            b"\r\n",
            b"data: x",
            b"data:",
            b"event: e",
            b": c",
            BYTE_ORDER_MARK,
            "ü".as_bytes(),
            b"data: {\"a\":1}\n\n",
        ];
        let piece = proptest::sample::select(PIECES);
        proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(text in pieces(), cuts in proptest::collection::vec(any::<usize>(), 0..40)) {
            prop_assert_eq!(split(&text, &cuts), split(&text, &[]));
        }

        #[test]
        fn splitting_never_panics(text in proptest::collection::vec(any::<u8>(), 0..400), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
            prop_assert_eq!(split(&text, &cuts), split(&text, &[]));
        }
    }
}
