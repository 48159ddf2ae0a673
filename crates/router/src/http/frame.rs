//! How large what a provider sends may be, and what may stand before it.

use bytes::Bytes;

/// Everything a model says in one answer, thoughts and tool calls included.
pub(crate) const ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// One line of JSON or one server-sent event: a picture, or the repetition of all that was said, is one.
pub(crate) const FRAME_BYTES: usize = ANSWER_BYTES;

/// Some servers' libraries write it before a text. No JSON may begin with it.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Takes [`BYTE_ORDER_MARK`] from the beginning of what comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Unmarked {
    /// Bytes of a mark that came and were held back.
    held: usize,
    is_begun: bool,
}

impl Unmarked {
    pub(crate) fn next(&mut self, mut piece: Bytes) -> Bytes {
        if self.is_begun {
            return piece;
        }
        let same = piece.iter().zip(&BYTE_ORDER_MARK[self.held..]).take_while(|(came, mark)| came == mark).count();
        if self.held + same == BYTE_ORDER_MARK.len() {
            self.is_begun = true;
            return piece.split_off(same);
        }
        if same == piece.len() {
            self.held += same;
            return Bytes::new();
        }
        self.is_begun = true;
        // It only began like one.
        if self.held == 0 { piece } else { [&BYTE_ORDER_MARK[..self.held], &piece].concat().into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_goes_wherever_it_is_cut_and_nothing_else_does() {
        for (text, left) in [
            (&b"\xef\xbb\xbf{}"[..], &b"{}"[..]),
            (b"\xef\xbb\xbf\xef\xbb\xbf", b"\xef\xbb\xbf"),
            (b"\xef\xbb{}", b"\xef\xbb{}"),
            (b"\xefx", b"\xefx"),
            (b"{\xef\xbb\xbf}", b"{\xef\xbb\xbf}"),
        ] {
            for step in 1..=text.len() {
                let mut unmarked = Unmarked::default();
                let pieces = text.chunks(step).map(|piece| unmarked.next(Bytes::copy_from_slice(piece)));
                assert_eq!(pieces.collect::<Vec<_>>().concat(), left, "{text:?} in pieces of {step}");
            }
        }
    }
}
