//! What tests of several decoders need.

use crate::{Error, dialect::Envelope};
use bytes::Bytes;
use futures_util::{Stream, stream};

/// Around an answer `1` to who asked for `fast`.
pub(crate) fn envelope() -> Envelope {
    Envelope {
        id: "1".into(),
        model: "fast".into(),
        created_s: 0,
        wants_usage: true,
        estimated_input_tokens: 42,
        asked: None,
    }
}

/// `bytes` as a network might deliver them, in pieces that end at `cuts`.
pub(crate) fn split(bytes: &[u8], cuts: &[usize]) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    let pieces: Vec<_> = cuts.windows(2).map(|pair| Ok(Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]))).collect();
    stream::iter(pieces)
}
