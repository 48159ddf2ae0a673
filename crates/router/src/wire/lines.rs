//! Cutting a body into lines of bounded size, each with its end.

use crate::{Error, http::frame::FRAME_BYTES};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use crate::providers::ByteStream;

pub(crate) struct Lines {
    body: ByteStream,
    buffer: BytesMut,
    /// Before this there is no line end in `buffer`.
    searched: usize,
    ended: bool,
}

impl Lines {
    pub(crate) fn new(body: ByteStream) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, ended: false }
    }

    /// The next line with its end; what stands after the last line end comes last, without one. An inner error is the
    /// body's own.
    pub(crate) async fn next(&mut self, provider: &str) -> Option<Result<Bytes, Error>> {
        loop {
            if let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at + 1).freeze();
                self.searched = 0;
                return Some(if line.len() > FRAME_BYTES { Err(too_large(provider)) } else { Ok(line) });
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > FRAME_BYTES {
                return Some(Err(too_large(provider)));
            }
            if self.ended {
                self.searched = 0;
                let rest = self.buffer.split().freeze();
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

fn too_large(provider: &str) -> Error {
    Error::TooLarge { provider: provider.to_owned(), what: "one line", limit_bytes: FRAME_BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    #[tokio::test]
    async fn lines_are_whole_whatever_the_pieces() {
        let pieces = ["on", "e\n\ntw", "o\nthree"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        let mut lines = Lines::new(Box::pin(stream::iter(pieces)));
        let mut seen = Vec::new();
        while let Some(line) = lines.next("ollama").await {
            seen.push(String::from_utf8(line.unwrap().to_vec()).unwrap());
        }
        assert_eq!(seen, ["one\n", "\n", "two\n", "three"]);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_buffered_for_ever() {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut lines = Lines::new(Box::pin(stream::repeat_with(move || Ok(piece.clone()))));
        assert!(matches!(lines.next("ollama").await, Some(Err(Error::TooLarge { limit_bytes: FRAME_BYTES, .. }))));
    }
}
