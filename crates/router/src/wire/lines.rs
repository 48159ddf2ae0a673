//! Cutting a body into lines of bounded size, each with its end.
//!
//! An object that is laid out for people is one line, too: it begins with a brace that has its line to itself.

use crate::{
    Error,
    http::frame::{BYTE_ORDER_MARK, FRAME_BYTES},
    providers::ByteStream,
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;

pub(crate) struct Lines {
    body: ByteStream,
    buffer: BytesMut,
    /// Before this nothing ends a line in `buffer`.
    searched: usize,
    /// Where what `braces` has not seen begins.
    unseen: usize,
    /// Of an object that takes several lines.
    braces: Option<Braces>,
    ended: bool,
}

/// Where one JSON value ends that comes in pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Braces {
    depth: usize,
    in_text: bool,
    is_escaped: bool,
    /// A brace or bracket was opened.
    has_begun: bool,
}

impl Braces {
    /// Whether what was opened is closed after `piece`.
    pub(crate) fn close_with(&mut self, piece: &[u8]) -> bool {
        for byte in piece {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_text => self.is_escaped = true,
                b'"' => self.in_text = !self.in_text,
                _ if self.in_text => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    self.has_begun = true;
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        self.has_begun && self.depth == 0
    }
}

impl Lines {
    pub(crate) fn new(body: ByteStream) -> Self {
        Self { body, buffer: BytesMut::new(), searched: 0, unseen: 0, braces: None, ended: false }
    }

    /// The next line with its end; what stands after the last line end comes last, without one. An inner error is the
    /// body's own.
    pub(crate) async fn next(&mut self, provider: &str) -> Option<Result<Bytes, Error>> {
        loop {
            while let Some(at) = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n') {
                let end = self.searched + at + 1;
                self.searched = end;
                if self.is_over(end) {
                    let line = self.take(end);
                    return Some(if line.len() > FRAME_BYTES { Err(too_large(provider)) } else { Ok(line) });
                }
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > FRAME_BYTES {
                return Some(Err(too_large(provider)));
            }
            if self.ended {
                let rest = self.take(self.buffer.len());
                return (!rest.is_empty()).then_some(Ok(rest));
            }
            match self.body.next().await {
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(error)) => return Some(Err(error)),
                None => self.ended = true,
            }
        }
    }

    /// Whether what was read up to a line end is all of it.
    fn is_over(&mut self, end: usize) -> bool {
        if self.braces.is_none() && self.buffer[..end].trim_ascii() == b"{" {
            self.braces = Some(Braces::default());
        }
        let Some(braces) = &mut self.braces else { return true };
        let start = std::mem::replace(&mut self.unseen, end);
        braces.close_with(&self.buffer[start..end])
    }

    /// As one line: JSON has line ends between its values only, where any space will do.
    fn take(&mut self, end: usize) -> Bytes {
        (self.searched, self.unseen) = (0, 0);
        let mut line = self.buffer.split_to(end);
        if line.starts_with(BYTE_ORDER_MARK) {
            line.advance(BYTE_ORDER_MARK.len());
        }
        if self.braces.take().is_some() {
            let inner = line.len() - usize::from(line.ends_with(b"\n"));
            for byte in &mut line[..inner] {
                if matches!(byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
        line.freeze()
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
    async fn an_object_laid_out_for_people_is_one_line() {
        let body = "{\"a\":1}\n{\r\n  \"b\": \"}\\\"{\",\n  \"c\": [\n{}]\n}\n{\"d\":\n{\n  \"e\": 1\n}";
        let whole = ["{\"a\":1}\n", "{    \"b\": \"}\\\"{\",   \"c\": [ {}] }\n", "{\"d\":\n", "{   \"e\": 1 }"];
        for step in [1, 2, 7, body.len()] {
            let pieces: Vec<_> = body.as_bytes().chunks(step).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let mut lines = Lines::new(Box::pin(stream::iter(pieces)));
            let mut seen = Vec::new();
            while let Some(line) = lines.next("ollama").await {
                seen.push(String::from_utf8(line.unwrap().to_vec()).unwrap());
            }
            assert_eq!(seen, whole, "in pieces of {step}");
        }
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_not_buffered_for_ever() {
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let mut lines = Lines::new(Box::pin(stream::repeat_with(move || Ok(piece.clone()))));
        assert!(matches!(lines.next("ollama").await, Some(Err(Error::TooLarge { limit_bytes: FRAME_BYTES, .. }))));
    }
}
