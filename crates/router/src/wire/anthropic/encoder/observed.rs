//! What one of the vendor's events does to the stream it passes through. Deltas, which are nearly all of them, are known by
//! their name alone.

use serde::Deserialize;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    MessageStart,
    BlockStart {
        index: u64,
        block: String,
    },
    BlockDelta,
    BlockStop,
    MessageDelta,
    MessageStop,
    /// A ping, or something newer than this code.
    Other,
    /// A block begins, and nobody can tell which.
    Unreadable,
}

impl Observed {
    /// `None` for what is no event of this dialect: those always have their name in the first line.
    pub(crate) fn of(raw: &[u8]) -> Option<Self> {
        let rest = raw.strip_prefix(b"event:")?;
        let end = rest.iter().position(|&byte| byte == b'\n' || byte == b'\r')?;
        Some(match rest[..end].trim_ascii() {
            b"content_block_delta" => Self::BlockDelta,
            b"content_block_start" => block_start(&rest[end..]).unwrap_or(Self::Unreadable),
            b"content_block_stop" => Self::BlockStop,
            b"message_start" => Self::MessageStart,
            b"message_delta" => Self::MessageDelta,
            b"message_stop" => Self::MessageStop,
            _ => Self::Other,
        })
    }
}

fn block_start(lines: &[u8]) -> Option<Observed> {
    #[derive(Deserialize)]
    struct Start {
        index: u64,
        content_block: Block,
    }
    #[derive(Deserialize)]
    struct Block {
        #[serde(rename = "type")]
        kind: String,
    }
    let data: Vec<u8> = lines
        .split(|&byte| byte == b'\n' || byte == b'\r')
        .filter_map(|line| line.strip_prefix(b"data:"))
        .collect::<Vec<_>>()
        .join(&b'\n');
    let start: Start = serde_json::from_slice(&data).ok()?;
    Some(Observed::BlockStart { index: start.index, block: start.content_block.kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_known_by_their_first_line() {
        let start = b"event: content_block_start\r\ndata: {\"content_block\":{\"type\":\"text\"},\r\ndata: \"index\":3}\r\n\r\n";
        assert_eq!(Observed::of(start), Some(Observed::BlockStart { index: 3, block: "text".into() }));
        assert_eq!(Observed::of(b"event:message_stop\ndata: {}\n\n"), Some(Observed::MessageStop));
        assert_eq!(Observed::of(b"event: content_block_start\ndata: {\n\n"), Some(Observed::Unreadable));
        assert_eq!(Observed::of(b"data: {\"choices\":[]}\n\n"), None);
        assert_eq!(Observed::of(b"{\"done\":true}\n"), None);
    }
}
