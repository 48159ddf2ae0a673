//! What one of the vendor's frames does to the stream it passes through: told by the reader, which has read it, to the
//! encoder, which need not.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    MessageStart,
    BlockStart {
        /// `None` where the server says none that could be read.
        index: Option<u64>,
        kind: BlockKind,
    },
    BlockDelta,
    BlockStop,
    MessageDelta,
    MessageStop,
    /// A ping, or something newer than this code.
    Other,
    /// Nobody can tell what it is.
    Unreadable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockKind {
    Text,
    Thinking,
    /// Which of the answer's calls it is.
    ToolCall(usize),
    /// One of the vendor's that has no name here.
    Other,
}
