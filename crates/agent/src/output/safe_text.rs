//! Bytes of a terminal program as plain text: no escape sequences, no control characters, no broken UTF-8. Works on
//! chunks, so a sequence or a character that is cut between two of them is still seen as one.

/// An escape sequence longer than this is none; what follows is text again. Real ones are far shorter, except titles
/// and links.
const LONGEST_SEQUENCE: usize = 4_096;

#[derive(Default)]
pub(crate) struct SafeText {
    state: State,
    /// The beginning of a character that is not complete yet; at most 3 bytes.
    incomplete: Vec<u8>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Text,
    /// After a carriage return: a line feed makes it a line end, anything else too, once.
    Return,
    /// After ESC.
    Escape,
    /// In `ESC [ … letter`.
    Control(usize),
    /// In an operating system command or another string: ends with BEL or `ESC \`.
    Quoted(usize),
    /// After ESC within such a string.
    QuotedEscape(usize),
}

impl SafeText {
    /// The text of these bytes; invalid UTF-8 becomes U+FFFD.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> String {
        let mut safe = String::with_capacity(bytes.len());
        let mut joined = std::mem::take(&mut self.incomplete);
        let mut rest = match joined.is_empty() {
            true => bytes,
            false => {
                joined.extend_from_slice(bytes);
                &joined
            }
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text(text, &mut safe);
                    return safe;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    self.text(std::str::from_utf8(valid).unwrap_or_default(), &mut safe);
                    let Some(length) = error.error_len() else {
                        self.incomplete = after.to_vec();
                        return safe;
                    };
                    self.character(char::REPLACEMENT_CHARACTER, &mut safe);
                    rest = &after[length..];
                }
            }
        }
    }

    /// Nothing more comes.
    pub(crate) fn end(&mut self) -> String {
        let broken = !std::mem::take(&mut self.incomplete).is_empty();
        let returned = std::mem::take(&mut self.state) == State::Return;
        [returned.then_some('\n'), broken.then_some(char::REPLACEMENT_CHARACTER)].into_iter().flatten().collect()
    }

    fn text(&mut self, text: &str, safe: &mut String) {
        for character in text.chars() {
            self.character(character, safe);
        }
    }

    fn character(&mut self, character: char, safe: &mut String) {
        self.state = match self.state {
            State::Text => Self::plain(character, safe),
            State::Return => {
                safe.push('\n');
                match character {
                    '\n' => State::Text,
                    // Progress bars return many times; one line end is enough.
                    '\r' => {
                        safe.pop();
                        State::Return
                    }
                    other => Self::plain(other, safe),
                }
            }
            State::Escape => match character {
                '[' => State::Control(0),
                ']' | 'P' | 'X' | '^' | '_' => State::Quoted(0),
                // Two-character sequences, with their intermediate bytes.
                ' '..='/' => State::Escape,
                '\x1b' => State::Escape,
                '\n' => Self::plain('\n', safe),
                _ => State::Text,
            },
            State::Control(length) => match character {
                '\x1b' => State::Escape,
                '\n' => Self::plain('\n', safe),
                '@'..='~' => State::Text,
                _ if length >= LONGEST_SEQUENCE => State::Text,
                _ => State::Control(length + 1),
            },
            State::Quoted(length) => match character {
                '\x07' => State::Text,
                '\x1b' => State::QuotedEscape(length),
                _ if length >= LONGEST_SEQUENCE => State::Text,
                _ => State::Quoted(length + 1),
            },
            State::QuotedEscape(length) => match character {
                '\\' | '\x07' => State::Text,
                _ => State::Quoted(length + 1),
            },
        };
    }

    fn plain(character: char, safe: &mut String) -> State {
        match character {
            '\x1b' => return State::Escape,
            '\u{9b}' => return State::Control(0),
            '\r' => return State::Return,
            '\n' | '\t' => safe.push(character),
            // What is left of the control characters, and those that turn the direction of writing: text that shows
            // as something else than it is.
            _ if character.is_control() => {}
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            _ => safe.push(character),
        }
        State::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn safe(bytes: &[u8]) -> String {
        let mut text = SafeText::default();
        text.push(bytes) + &text.end()
    }

    #[test]
    fn takes_out_what_a_terminal_would_obey() {
        assert_eq!(safe(b"\x1b[1;31merror\x1b[0m: no\n"), "error: no\n");
        assert_eq!(safe(b"\x1b]0;title\x07body"), "body");
        assert_eq!(safe(b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\"), "link");
        assert_eq!(safe(b"a\x08\x00b\x07\tc"), "ab\tc");
        assert_eq!(safe(b"\x1b(Bplain\x1b=x"), "plainx");
        assert_eq!(safe("a\u{202e}b\u{9b}2Jc".as_bytes()), "abc");
    }

    #[test]
    fn line_ends_become_line_feeds() {
        assert_eq!(safe(b"one\r\ntwo\r\n"), "one\ntwo\n");
        assert_eq!(safe(b"10%\r50%\r\r100%\n"), "10%\n50%\n100%\n");
        assert_eq!(safe(b"end\r"), "end\n");
    }

    #[test]
    fn invalid_utf_8_is_marked_not_lost() {
        assert_eq!(safe(b"a\xff\xfeb\xe2\x82"), "a\u{fffd}\u{fffd}b\u{fffd}");
    }

    proptest! {
        #[test]
        fn cutting_anywhere_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..200) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut text = SafeText::default();
            let parts = text.push(first) + &text.push(second) + &text.end();
            prop_assert_eq!(parts, safe(&bytes));
        }

        #[test]
        fn nothing_a_terminal_obeys_is_left(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(safe(&bytes).chars().all(|c| !c.is_control() || c == '\n' || c == '\t'));
        }
    }
}
