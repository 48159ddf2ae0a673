//! What the reader tells the encoder of a frame's bytes, so that it can go on after any of them.

use bytes::Bytes;

/// One event of the provider's that passes as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub(crate) sequence: Option<u64>,
    pub(crate) output_index: Option<usize>,
    pub(crate) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// The response was announced, under this id.
    Begun(Option<String>),
    /// An item begins. What a call is called stands in the frame's events.
    Item {
        kind: Kind,
        id: String,
    },
    /// A part of the item begins.
    Part,
    /// More of the item's text or arguments, which the frame's last event has.
    Delta,
    PartDone,
    /// An item is over; its JSON.
    ItemDone(Bytes),
    End,
    /// The whole answer in one body, which is no event of a stream.
    Body,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Reasoning,
    Call,
    /// What only the provider's own events speak of.
    Foreign,
}

impl Kind {
    pub(crate) fn of(kind: &str) -> Self {
        match kind {
            "message" => Self::Message,
            "reasoning" => Self::Reasoning,
            "function_call" => Self::Call,
            _ => Self::Foreign,
        }
    }
}
