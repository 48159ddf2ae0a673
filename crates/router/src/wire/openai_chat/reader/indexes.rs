//! The index of a tool call in a stream's bytes, written where the server tells none: clients put calls together by it, and
//! fail or lose the arguments without. Besides the model's name and the object of a call without arguments it is all that is
//! written into a provider's own chunks.

use crate::wire::lenient::Members;
use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde_json::value::RawValue;

/// `raw` with these indexes in these pieces of calls, which were read from it in this order.
pub(super) fn written(raw: Bytes, pieces: &[(&RawValue, u64)]) -> Bytes {
    if pieces.is_empty() {
        return raw;
    }
    let mut written = BytesMut::with_capacity(raw.len() + 16 * pieces.len());
    let mut from = 0;
    for (piece, index) in pieces {
        let json = piece.get().as_bytes();
        // An event of several lines, or with words that are no JSON, was read from a copy, and passes as it is.
        let Some(at) = memmem::find(&raw[from..], json).map(|found| from + found) else { continue };
        written.extend_from_slice(&raw[from..at]);
        written.extend_from_slice(&Members::of(Some(piece)).with(&[("index", &index.to_string())]));
        from = at + json.len();
    }
    written.extend_from_slice(&raw[from..]);
    written.freeze()
}
