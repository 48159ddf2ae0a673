//! What tests of several decoders need.

use crate::Error;
use bytes::Bytes;
use futures_util::{Stream, stream};

/// `bytes` as a network might deliver them, in pieces that end at `cuts`.
pub(crate) fn split(bytes: &[u8], cuts: &[usize]) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([0, bytes.len()]).collect();
    cuts.sort_unstable();
    let pieces: Vec<_> = cuts.windows(2).map(|pair| Ok(Bytes::copy_from_slice(&bytes[pair[0]..pair[1]]))).collect();
    stream::iter(pieces)
}
