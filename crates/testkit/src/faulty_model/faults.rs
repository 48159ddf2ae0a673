//! From a sound answer to what is really sent: pieces, and the way it ends.

use super::{
    Wire,
    answer::{Answer, Kind, Piece},
    reply::{Break, Ending},
};
use bytes::Bytes;
use serde_json::Value;

/// What goes over the wire after the head.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) pieces: Vec<Piece>,
    pub(super) end: End,
    /// Announced in the head; streams announce nothing.
    pub(super) length: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Of the body, as HTTP marks it.
    Clean,
    /// The connection is closed before the announced length.
    Short,
    /// TCP RST.
    Reset,
    /// None: the connection stays open.
    Stall,
}

impl Plan {
    /// A whole body and no fault.
    pub(super) fn body(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { length: Some(bytes.len()), pieces: vec![Piece::new(Kind::Token, bytes)], end: End::Clean }
    }

    pub(super) fn silence() -> Self {
        Self { pieces: Vec::new(), end: End::Stall, length: None }
    }

    pub(super) fn streamed(wire: Wire, answer: &Answer<'_>) -> Self {
        let reply = answer.reply;
        if reply.only_garbage {
            return Self { pieces: vec![wire.garbage()], end: End::Clean, length: None };
        }
        let mut pieces = wire.stream(answer);
        let end = match &reply.ending {
            Ending::Whole => End::Clean,
            Ending::WithoutDone => {
                pieces.retain(|piece| piece.kind != Kind::Done);
                End::Clean
            }
            Ending::Cut(tokens) => {
                keep(&mut pieces, *tokens);
                End::Clean
            }
            Ending::Reset(tokens) => {
                keep(&mut pieces, *tokens);
                End::Reset
            }
            Ending::Stall(tokens) => {
                keep(&mut pieces, *tokens);
                End::Stall
            }
            Ending::Error(tokens, message) => {
                keep(&mut pieces, *tokens);
                let failure = wire.failure(answer, pieces.len(), message);
                pieces.extend(failure);
                End::Clean
            }
            Ending::Broken(share, how) => {
                let bytes = pieces.iter().map(|piece| piece.bytes.len()).sum();
                keep_bytes(&mut pieces, share_of(bytes, *share));
                (*how).into()
            }
        };
        if let Some(tokens) = reply.garbage {
            let place = after(&pieces, tokens);
            pieces.insert(place, wire.garbage());
        }
        Self { pieces, end, length: None }
    }

    /// One body of JSON. ([`Ending::Error`] is no matter of the body there.)
    pub(super) fn whole(wire: Wire, answer: &Answer<'_>, body: &Value) -> Self {
        let reply = answer.reply;
        if reply.metadata_only {
            return Self::silence();
        }
        if reply.only_garbage {
            return Self::body(wire.garbage().bytes);
        }
        let bytes = Bytes::from(body.to_string());
        let half = bytes.slice(..bytes.len() / 2);
        if let Ending::Broken(share, how) = &reply.ending {
            let begun = bytes.slice(..share_of(bytes.len(), *share));
            let length = if *how == Break::End { begun.len() } else { bytes.len() };
            return Self { pieces: vec![Piece::new(Kind::Token, begun)], end: (*how).into(), length: Some(length) };
        }
        let end = match &reply.ending {
            Ending::Cut(_) => End::Short,
            Ending::Reset(_) => End::Reset,
            Ending::Stall(_) => End::Stall,
            _ if reply.garbage.is_some() => return Self::body(half),
            _ => return Self::body(bytes),
        };
        Self { pieces: vec![Piece::new(Kind::Token, half)], end, length: Some(bytes.len()) }
    }
}

impl From<Break> for End {
    fn from(how: Break) -> Self {
        match how {
            Break::End => Self::Clean,
            Break::Close => Self::Short,
            Break::Reset => Self::Reset,
        }
    }
}

/// Less than all of `bytes`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length is one")]
fn share_of(bytes: usize, share: f64) -> usize {
    ((bytes as f64 * share.max(0.0)) as usize).min(bytes.saturating_sub(1))
}

fn keep_bytes(pieces: &mut Vec<Piece>, mut left: usize) {
    for piece in pieces.iter_mut() {
        piece.bytes.truncate(left);
        left -= piece.bytes.len();
    }
    pieces.retain(|piece| !piece.bytes.is_empty());
}

/// Drops what comes after `tokens`, and whatever says that the answer ends.
fn keep(pieces: &mut Vec<Piece>, tokens: usize) {
    pieces.truncate(after(pieces, tokens));
    pieces.retain(|piece| matches!(piece.kind, Kind::Metadata | Kind::Token));
}

/// The place right after so many tokens: before the first one for 0, before the finish when there are fewer.
fn after(pieces: &[Piece], tokens: usize) -> usize {
    let stop = |kind: Kind| matches!(kind, Kind::Finish | Kind::Done);
    let mut left = tokens;
    for (index, piece) in pieces.iter().enumerate() {
        match piece.kind {
            Kind::Token if left == 0 => return index,
            Kind::Token if left == 1 => return index + 1,
            Kind::Token => left -= 1,
            kind if stop(kind) => return index,
            _ => {}
        }
    }
    pieces.len()
}
