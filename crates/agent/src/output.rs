//! What a command prints, in the three forms it is needed in: safe text for the log as it comes, head and tail for the
//! model, and the bytes as they were for an artifact. Memory stays bounded however much is printed.

mod safe_text;

pub(crate) use safe_text::SafeText;

use protocol::OutputStream;
use std::collections::VecDeque;

/// Longest output a model is shown, in characters: about 2,500 tokens. Past it come head and tail, where the command's
/// own words and its errors are.
pub(crate) const SHOWN_CHARACTERS: usize = 10_000;
/// Least that is shown, whatever the model: an error message with its place has to fit.
const LEAST_SHOWN_CHARACTERS: usize = 1_000;
/// Text of one call in the log, in bytes: enough to follow it live; a log that carried all of a runaway print would
/// drown everything else in it.
pub(crate) const LOGGED_BYTES: usize = 256 * 1024;
/// Bytes of one call that are kept for its artifact.
pub(crate) const KEPT_BYTES: usize = 16 * 1024 * 1024;
/// Bytes at the end from which the tail is made, once the text no longer holds everything: the shown tail in four-byte
/// characters, and room for colour codes between them.
const TAIL_BYTES: usize = 64 * 1024;

/// How much of an output a model with this context is shown: an eighth of its context, at four characters a token.
pub(crate) fn shown_characters(context_tokens: Option<u64>) -> usize {
    let eighth = context_tokens.map_or(SHOWN_CHARACTERS, |tokens| usize::try_from(tokens / 2).unwrap_or(usize::MAX));
    eighth.clamp(LEAST_SHOWN_CHARACTERS, SHOWN_CHARACTERS)
}

/// Foreign text as plain text, on its own.
pub(crate) fn plain(text: &str) -> String {
    let mut safe = SafeText::default();
    safe.push(text.as_bytes()) + &safe.end()
}

/// Collects the output of one call.
#[derive(Default)]
pub(crate) struct Capture {
    stdout: SafeText,
    stderr: SafeText,
    /// Both streams in the order they came, up to [`LOGGED_BYTES`].
    text: String,
    /// `text` no longer holds everything.
    overflowed: bool,
    kept: Vec<u8>,
    tail: VecDeque<u8>,
    total_bytes: u64,
}

/// The output when all of it is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Collected {
    /// What the model is shown.
    pub(crate) shown: String,
    /// How many bytes it is not shown.
    pub(crate) omitted_bytes: u64,
    /// The bytes as printed, at most [`KEPT_BYTES`], when something was left out.
    pub(crate) kept: Option<Vec<u8>>,
}

impl Capture {
    /// Takes what was printed; returns the safe text of it to log, empty once the log has its share.
    pub(crate) fn push(&mut self, stream: OutputStream, bytes: &[u8]) -> String {
        self.total_bytes += bytes.len() as u64;
        let room = KEPT_BYTES.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let newest = &bytes[bytes.len().saturating_sub(TAIL_BYTES)..];
        let surplus = (self.tail.len() + newest.len()).saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        self.tail.extend(newest);
        if self.overflowed {
            return String::new();
        }
        let safe = match stream {
            OutputStream::Stdout => self.stdout.push(bytes),
            OutputStream::Stderr => self.stderr.push(bytes),
        };
        self.log(safe)
    }

    /// The streams ended: what was held back because a character was incomplete.
    pub(crate) fn end(&mut self) -> String {
        if self.overflowed {
            return String::new();
        }
        let rest = self.stdout.end() + &self.stderr.end();
        self.log(rest)
    }

    fn log(&mut self, mut safe: String) -> String {
        let room = LOGGED_BYTES - self.text.len();
        if safe.len() > room {
            safe.truncate(safe.floor_char_boundary(room));
            self.overflowed = true;
        }
        self.text.push_str(&safe);
        safe
    }

    /// Closes the books; shows at most `characters`, not counting the line that says what was left out.
    pub(crate) fn collect(self, characters: usize) -> Collected {
        if !self.overflowed && self.text.chars().count() <= characters {
            return Collected { shown: self.text, omitted_bytes: 0, kept: None };
        }
        let head_characters = characters / 2;
        let head: String = self.text.chars().take(head_characters).collect();
        let ending = match self.overflowed {
            false => self.text,
            true => {
                let mut safe = SafeText::default();
                let tail: Vec<u8> = self.tail.into();
                safe.push(&tail) + &safe.end()
            }
        };
        let tail_characters = ending.chars().count().min(characters - head_characters);
        let skipped = ending.chars().count() - tail_characters;
        let tail: String = ending.chars().skip(skipped).collect();
        let omitted_bytes = self.total_bytes.saturating_sub((head.len() + tail.len()) as u64);
        let kept_note = match self.total_bytes > self.kept.len() as u64 {
            true => format!(", the first {} of them kept", self.kept.len()),
            false => String::new(),
        };
        let shown =
            format!("{head}\n[... {omitted_bytes} of {} bytes left out here{kept_note} ...]\n{tail}", self.total_bytes);
        Collected { shown, omitted_bytes, kept: Some(self.kept) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use OutputStream::{Stderr, Stdout};

    #[test]
    fn short_output_is_shown_whole_and_needs_no_artifact() {
        let mut capture = Capture::default();
        assert_eq!(capture.push(Stdout, b"one\n"), "one\n");
        assert_eq!(capture.push(Stderr, b"two\n"), "two\n");
        assert_eq!(capture.end(), "");
        let collected = capture.collect(SHOWN_CHARACTERS);
        assert_eq!(collected, Collected { shown: "one\ntwo\n".into(), omitted_bytes: 0, kept: None });
    }

    #[test]
    fn long_output_keeps_head_and_tail_and_says_what_is_missing() {
        let mut capture = Capture::default();
        let printed = format!("first\n{}last\n", "x".repeat(20_000));
        capture.push(Stdout, printed.as_bytes());
        let collected = capture.collect(SHOWN_CHARACTERS);
        assert!(collected.shown.starts_with("first\nxxx"), "{}", &collected.shown[..20]);
        assert!(collected.shown.ends_with("xxxlast\n"));
        assert_eq!(collected.omitted_bytes, printed.len() as u64 - 10_000);
        assert!(collected.shown.contains("[... 10011 of 20011 bytes left out here ...]"), "{}", collected.shown.len());
        assert_eq!(collected.kept.as_deref(), Some(printed.as_bytes()));
    }

    #[test]
    fn a_runaway_print_stays_within_its_limits() {
        let mut capture = Capture::default();
        let chunk = vec![b'y'; 1024 * 1024];
        let logged: usize = (0..40).map(|_| capture.push(Stdout, &chunk).len()).sum();
        capture.push(Stderr, b"\x1b[31mthe end\x1b[0m\n");
        assert_eq!(logged, LOGGED_BYTES);
        assert!(capture.tail.len() <= TAIL_BYTES);
        let collected = capture.collect(SHOWN_CHARACTERS);
        assert!(collected.shown.ends_with("yyythe end\n"), "the tail is the newest output, made safe");
        assert!(collected.shown.contains("bytes left out here, the first 16777216 of them kept"));
        assert_eq!(collected.kept.map(|kept| kept.len()), Some(KEPT_BYTES));
    }

    #[test]
    fn models_with_little_context_are_shown_less() {
        assert_eq!(shown_characters(None), 10_000);
        assert_eq!(shown_characters(Some(128_000)), 10_000);
        assert_eq!(shown_characters(Some(8_192)), 4_096);
        assert_eq!(shown_characters(Some(512)), 1_000);
    }
}
