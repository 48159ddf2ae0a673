//! Server-sent events out of a byte stream, with a bound on how large one may be.

use crate::{ByteStream, Error, Result};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sse_stream::{Sse, SseByteStream};

/// Largest event taken, in bytes. A task may have 2 MiB, which escaping can make several times longer.
const LARGEST_EVENT: usize = 32 * 1024 * 1024;

/// Parsed events. Ends with the connection; an error is the last item.
pub(crate) fn events(bytes: ByteStream, url: String) -> impl Stream<Item = Result<Sse>> + Send + 'static {
    let mut length = BlockLength::default();
    let place = url.clone();
    let bounded = bytes.map(move |chunk| {
        let chunk: Bytes = chunk?;
        if length.after(&chunk) > LARGEST_EVENT {
            return Err(Error::Protocol {
                url: place.clone(),
                detail: format!("an event of more than {LARGEST_EVENT} bytes"),
            });
        }
        Ok(chunk)
    });
    SseByteStream::new(Box::pin(bounded)).map(move |event| {
        event.map_err(|error| match error {
            sse_stream::Error::Body(source) => match source.downcast::<Error>() {
                Ok(error) => *error,
                Err(source) => Error::Interrupted { url: url.clone(), detail: source.to_string() },
            },
            other => Error::Protocol { url: url.clone(), detail: other.to_string() },
        })
    })
}

/// How many bytes came since the last empty line: what the parser has to hold.
#[derive(Default)]
struct BlockLength {
    bytes: usize,
    line_is_empty: bool,
}

impl BlockLength {
    /// The longest the block was while `chunk` came in.
    fn after(&mut self, chunk: &[u8]) -> usize {
        let mut longest = self.bytes;
        for byte in chunk {
            self.bytes += 1;
            match byte {
                b'\n' if self.line_is_empty => self.bytes = 0,
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
            longest = longest.max(self.bytes);
        }
        longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_empty_line_ends_a_block() {
        let mut length = BlockLength::default();
        assert_eq!(length.after(b"data: 1\ndata: 2"), 15);
        assert_eq!(length.after(b"\n\n"), 16);
        assert_eq!(length.bytes, 0);
        assert_eq!(length.after(b"data: 3\r\n\r\nda"), 10);
        assert_eq!(length.bytes, 2);
    }
}
