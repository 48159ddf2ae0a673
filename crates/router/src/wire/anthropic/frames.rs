//! Cutting a stream of server-sent events into its events, each with the very bytes it came in.
//!
//! Line ends are `\n`, `\r\n` or `\r`, as the standard has it. A `\r` that is the last byte so far may be half of a line
//! end, so an event that ends with it waits for the next byte: where the network cuts makes no difference.

use crate::{Error, http::frame::FRAME_BYTES, providers::ByteStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

pub(crate) struct Events {
    provider: String,
    body: ByteStream,
    buffer: BytesMut,
    /// Up to here `buffer` holds whole lines of one event.
    line_start: usize,
    /// Up to here there is no line end after `line_start`.
    searched: usize,
    ended: bool,
}

impl Events {
    pub(crate) fn new(provider: &str, body: ByteStream) -> Self {
        let provider = provider.to_owned();
        Self { provider, body, buffer: BytesMut::new(), line_start: 0, searched: 0, ended: false }
    }

    /// The next event with its empty line.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        loop {
            if let Some(end) = self.event_end() {
                self.line_start = 0;
                self.searched = 0;
                let event = self.buffer.split_to(end).freeze();
                return Some(if event.len() > FRAME_BYTES { Err(self.too_large()) } else { Ok(event) });
            }
            if self.buffer.len() > FRAME_BYTES {
                return Some(Err(self.too_large()));
            }
            if self.ended {
                return None;
            }
            match self.body.next().await {
                // Most often a whole event, or several.
                Some(Ok(bytes)) if self.buffer.is_empty() => self.buffer = BytesMut::from(bytes),
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Some(Err(error)),
                None => self.ended = true,
            }
        }
    }

    /// What came after the last event before the stream ended, with the empty line that it lacks.
    pub(crate) fn rest(&mut self) -> Option<Bytes> {
        let mut rest = self.buffer.split();
        if rest.is_empty() {
            return None;
        }
        rest.extend_from_slice(if rest.ends_with(b"\n") || rest.ends_with(b"\r") { b"\n" } else { b"\n\n" });
        Some(rest.freeze())
    }

    fn event_end(&mut self) -> Option<usize> {
        loop {
            let from = self.searched;
            let Some(at) = self.buffer[from..].iter().position(|&byte| byte == b'\n' || byte == b'\r') else {
                self.searched = self.buffer.len();
                return None;
            };
            let at = from + at;
            let end = match (self.buffer[at], self.buffer.get(at + 1)) {
                (b'\r', Some(b'\n')) => at + 2,
                (b'\r', None) if !self.ended => {
                    self.searched = at;
                    return None;
                }
                _ => at + 1,
            };
            let empty = at == self.line_start;
            self.line_start = end;
            self.searched = end;
            if empty {
                return Some(end);
            }
        }
    }

    fn too_large(&self) -> Error {
        Error::TooLarge { provider: self.provider.clone(), what: "one event", limit_bytes: FRAME_BYTES }
    }
}

/// What an event says: its name, and its data with the lines joined.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) name: Option<String>,
    pub(crate) data: Option<String>,
}

impl Said {
    /// `None` for bytes that are not UTF-8.
    pub(crate) fn of(event: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(event).ok()?;
        let mut said = Self::default();
        for line in text.trim_start_matches('\u{feff}').split(['\n', '\r']) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match (field, &mut said.data) {
                ("event", _) => said.name = Some(value.to_owned()),
                ("data", None) => said.data = Some(value.to_owned()),
                ("data", Some(data)) => {
                    data.push('\n');
                    data.push_str(value);
                }
                // Comments, which show life, and fields of no meaning here.
                _ => {}
            }
        }
        Some(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use proptest::prelude::*;

    fn events(text: &[u8], cuts: &[usize]) -> Vec<Bytes> {
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|cut| Ok(Bytes::copy_from_slice(&text[cut[0]..cut[1]]))).collect();
        let mut events = Events::new("server", Box::pin(stream::iter(pieces)));
        let mut all = Vec::new();
        futures_util::FutureExt::now_or_never(async {
            while let Some(event) = events.next().await {
                all.push(event.unwrap());
            }
        })
        .unwrap();
        all
    }

    #[test]
    fn every_line_end_of_the_standard_is_one() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "event: a\ndata: 1\n\n: hello\n\ndata: 2\ndata: 3\n\n".replace('\n', end);
            let got = events(text.as_bytes(), &[]);
            let said: Vec<_> = got.iter().map(|event| Said::of(event).unwrap()).collect();
            assert_eq!(said[0], Said { name: Some("a".into()), data: Some("1".into()) });
            assert_eq!(said[1], Said::default());
            assert_eq!(said[2].data.as_deref(), Some("2\n3"));
            assert_eq!(got.concat(), text.as_bytes());
        }
    }

    #[tokio::test]
    async fn an_event_without_an_end_is_not_buffered_for_ever() {
        let endless = stream::repeat_with(|| Ok(Bytes::from(vec![b'x'; 64 * 1024])));
        let mut events = Events::new("server", Box::pin(endless));
        assert!(matches!(events.next().await, Some(Err(Error::TooLarge { limit_bytes: FRAME_BYTES, .. }))));
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_and_no_cut_matters(text in "[ab:\n\r]{0,60}", cuts in prop::collection::vec(0..60usize, 0..20)) {
            let whole = events(text.as_bytes(), &[]);
            prop_assert!(text.as_bytes().starts_with(&whole.concat()));
            prop_assert_eq!(events(text.as_bytes(), &cuts), whole);
        }
    }
}
