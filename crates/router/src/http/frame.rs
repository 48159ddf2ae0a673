//! Cutting a stream of bytes into frames of bounded size: lines of JSON, and events of SSE.

use crate::Error;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::pin::Pin;

/// One line of JSON or one server-sent event. A token's frame has some hundred bytes; a whole tool call that writes a
/// file can have hundreds of thousands.
pub(crate) const FRAME_BYTES: usize = 1024 * 1024;
/// Everything a model says in one answer, thoughts and tool calls included.
pub(crate) const ANSWER_BYTES: usize = 16 * 1024 * 1024;

fn too_large(provider: &str) -> Error {
    Error::TooLarge { provider: provider.to_owned(), what: "one line or event", limit_bytes: FRAME_BYTES }
}

/// Lines without their ends. What stands after the last line end is a line too.
pub(crate) struct Lines<S> {
    provider: String,
    body: Pin<Box<S>>,
    buffer: Vec<u8>,
    /// Before this there is no line end in `buffer`.
    searched: usize,
    ended: bool,
}

impl<S: Stream<Item = Result<Bytes, Error>>> Lines<S> {
    pub(crate) fn new(provider: &str, body: S) -> Self {
        let provider = provider.to_owned();
        Self { provider, body: Box::pin(body), buffer: Vec::new(), searched: 0, ended: false }
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                line.pop();
                self.searched = 0;
                return Some(if line.len() > FRAME_BYTES { Err(too_large(&self.provider)) } else { Ok(line) });
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > FRAME_BYTES {
                return Some(Err(too_large(&self.provider)));
            }
            if self.ended {
                self.searched = 0;
                let rest = std::mem::take(&mut self.buffer);
                return (!rest.is_empty()).then_some(Ok(rest));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Some(Err(error)),
                None => self.ended = true,
            }
        }
    }
}

/// Passes bytes on and fails once an event grows over [`FRAME_BYTES`], which the SSE parser itself would let happen. What
/// came before that point is passed on, wherever the network cut the stream.
pub(crate) fn bounded_events<S: Stream<Item = Result<Bytes, Error>> + Send + 'static>(
    provider: &str,
    body: S,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + Unpin + use<S> {
    let state = (provider.to_owned(), Box::pin(body), EventSize::default(), false);
    Box::pin(stream::unfold(state, |(provider, mut body, mut size, over)| async move {
        if over {
            return Some((Err(too_large(&provider)), (provider, body, size, true)));
        }
        let bytes = match body.next().await? {
            Ok(bytes) => bytes,
            Err(error) => return Some((Err(error), (provider, body, size, false))),
        };
        match bytes.iter().position(|&byte| size.add(byte) > FRAME_BYTES) {
            Some(at) => Some((Ok(bytes.slice(..at)), (provider, body, size, true))),
            None => Some((Ok(bytes), (provider, body, size, false))),
        }
    }))
}

/// Bytes since the last empty line, for line ends of any of the three kinds.
#[derive(Default)]
struct EventSize {
    event: usize,
    line: usize,
    after_carriage_return: bool,
}

impl EventSize {
    fn add(&mut self, byte: u8) -> usize {
        let second_half = byte == b'\n' && self.after_carriage_return;
        self.after_carriage_return = byte == b'\r';
        if second_half {
            return self.event;
        }
        if byte == b'\n' || byte == b'\r' {
            if self.line == 0 {
                self.event = 0;
            }
            self.line = 0;
        } else {
            self.line += 1;
            self.event += 1;
        }
        self.event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[&[u8]]) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        stream::iter(pieces.iter().map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>())
    }

    #[tokio::test]
    async fn lines_are_whole_whatever_the_pieces() {
        let mut lines = Lines::new("server", body(&[b"on", b"e\n\ntw", b"o\nthree"]));
        let mut seen = Vec::new();
        while let Some(line) = lines.next().await {
            seen.push(String::from_utf8(line.unwrap()).unwrap());
        }
        assert_eq!(seen, ["one", "", "two", "three"]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_buffered_for_ever() {
        let piece = vec![b'x'; 64 * 1024];
        let endless = stream::repeat_with(move || Ok(Bytes::from(piece.clone())));
        let mut lines = Lines::new("server", endless);
        assert!(matches!(lines.next().await, Some(Err(Error::TooLarge { limit_bytes: FRAME_BYTES, .. }))));
    }

    #[tokio::test]
    async fn so_is_an_event_without_an_end_but_not_many_events() {
        let many = stream::iter((0..40).map(|_| Ok(Bytes::from([&[b'x'; 65_000][..], b"\r\n\r\n"].concat()))));
        assert!(bounded_events("server", many).all(|bytes| async move { bytes.is_ok() }).await);
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"data: one line more\n")));
        let passed: usize = bounded_events("server", endless)
            .take_while(|bytes| std::future::ready(bytes.is_ok()))
            .fold(0, |sum, bytes| async move { sum + bytes.map_or(0, |bytes| bytes.len()) })
            .await;
        assert!((FRAME_BYTES..FRAME_BYTES + FRAME_BYTES / 8).contains(&passed), "{passed}");
    }
}
