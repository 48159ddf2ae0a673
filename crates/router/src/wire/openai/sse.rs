//! Server-sent events: reading those that pass, writing our own.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// A comment, which every reader of server-sent events skips.
pub(crate) const HEARTBEAT: &[u8] = b": still working\n\n";
pub(crate) const DONE: &[u8] = b"data: [DONE]\n\n";

/// Appends `value` as JSON text. What goes in here has only text for keys, so it never fails.
pub(crate) fn json(out: &mut BytesMut, value: &impl Serialize) {
    let written = serde_json::to_writer(out.writer(), value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// Appends one event without a name.
pub(crate) fn data(out: &mut BytesMut, value: &impl Serialize) {
    out.extend_from_slice(b"data: ");
    json(out, value);
    out.extend_from_slice(b"\n\n");
}

/// Appends an event's own bytes, and the blank line where it is missing because the stream ended there.
pub(crate) fn pass(out: &mut BytesMut, raw: &[u8]) {
    out.extend_from_slice(raw);
    if !(raw.ends_with(b"\n\n") || raw.ends_with(b"\n\r\n") || raw.ends_with(b"\r\r")) {
        out.extend_from_slice(if raw.ends_with(b"\n") { b"\n" } else { b"\n\n" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_the_end_of_the_stream_cut_off_still_ends() {
        for (raw, passed) in [
            (&b"data: a\n\n"[..], &b"data: a\n\n"[..]),
            (b"data: a\r\n\r\n", b"data: a\r\n\r\n"),
            (b"data: a\n", b"data: a\n\n"),
            (b"data: a", b"data: a\n\n"),
        ] {
            let mut out = BytesMut::new();
            pass(&mut out, raw);
            assert_eq!(&out[..], passed);
        }
    }
}
