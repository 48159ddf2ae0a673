//! Going on with a cut answer by asking again: the new answer is swallowed as long as it repeats what the caller has, and
//! only what comes after is passed on.
//!
//! ```text
//!   sent:      "The answer is 4"
//!   new one:   "The answer" " is 42." ──▶ nothing, then "2."
//!              "The result is"        ──▶ Mismatch: the answers are two, and cannot be made one
//! ```

use std::fmt;

#[derive(Clone)]
pub struct Splice {
    sent: String,
    /// How many bytes of `sent` the new answer has repeated.
    repeated: usize,
}

/// Why the new answer does not go on where the old one was cut. Places only: the texts are the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    #[error("the new answer differs from the {of_bytes} bytes already sent at byte {at_byte}")]
    Differs { at_byte: usize, of_bytes: usize },
}

impl Splice {
    pub fn new(already_sent: impl Into<String>) -> Self {
        Self { sent: already_sent.into(), repeated: 0 }
    }

    /// Whether the new answer has repeated all that was sent.
    pub fn caught_up(&self) -> bool {
        self.repeated == self.sent.len()
    }

    /// What the caller has not got yet of `more`, if anything.
    ///
    /// # Errors
    /// [`Mismatch::Differs`], and the same again on every further call.
    pub fn push(&mut self, more: &str) -> Result<Option<String>, Mismatch> {
        let awaited = &self.sent.as_bytes()[self.repeated..];
        let same = awaited.iter().zip(more.as_bytes()).take_while(|(sent, new)| sent == new).count();
        let at_byte = self.repeated + same;
        if same < awaited.len().min(more.len()) {
            return Err(Mismatch::Differs { at_byte, of_bytes: self.sent.len() });
        }
        self.repeated = at_byte;
        // Both texts are UTF-8 and equal up to here; where `sent` ends a character ends, so it does in `more`.
        Ok(more.get(same..).filter(|rest| !rest.is_empty()).map(str::to_owned))
    }
}

impl fmt::Debug for Splice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Splice({} of {} bytes repeated)", self.repeated, self.sent.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_sent_is_swallowed_and_the_rest_comes_out() {
        let mut splice = Splice::new("Grüße a");
        assert_eq!(splice.push("Grü"), Ok(None));
        assert!(!splice.caught_up());
        assert_eq!(splice.push(""), Ok(None));
        assert_eq!(splice.push("ße an"), Ok(Some("n".into())));
        assert_eq!(splice.push(" alle"), Ok(Some(" alle".into())));
        assert!(splice.caught_up());
    }

    #[test]
    fn another_answer_is_told_by_its_first_other_byte() {
        let mut splice = Splice::new("The answer");
        assert_eq!(splice.push("The "), Ok(None));
        let differs = Err(Mismatch::Differs { at_byte: 4, of_bytes: 10 });
        assert_eq!(splice.push("result"), differs);
        assert_eq!(splice.push("result"), differs);
        // `é` and `è` share their first byte.
        assert_eq!(Splice::new("é").push("è"), Err(Mismatch::Differs { at_byte: 1, of_bytes: 2 }));
    }

    #[test]
    fn nothing_sent_means_everything_passes() {
        let mut splice = Splice::new("");
        assert!(splice.caught_up());
        assert_eq!(splice.push("a"), Ok(Some("a".into())));
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_answer(
            sent in "[a-c🦀é]{0,12}", rest in "[a-c🦀é]{0,12}", cuts in prop::collection::vec(1..4_usize, 0..24)
        ) {
            let whole: Vec<char> = format!("{sent}{rest}").chars().collect();
            let mut splice = Splice::new(sent.clone());
            let (mut from, mut got) = (0_usize, sent);
            for size in cuts.into_iter().chain([usize::MAX]) {
                let to = from.saturating_add(size).min(whole.len());
                let chunk: String = whole[from..to].iter().collect();
                got.extend(splice.push(&chunk).unwrap());
                from = to;
            }
            prop_assert_eq!(got, whole.iter().collect::<String>());
            prop_assert!(splice.caught_up());
        }

        #[test]
        fn a_mismatch_is_found_at_the_same_byte_in_any_chunking(
            sent in "[ab🦀🦞]{1,12}", other in "[ab🦀🦞]{1,12}", size in 1..4_usize
        ) {
            prop_assume!(!sent.starts_with(&other) && !other.starts_with(&sent));
            let at_once = Splice::new(sent.clone()).push(&other);
            let mut splice = Splice::new(sent);
            let chars: Vec<char> = other.chars().collect();
            let found = chars.chunks(size).find_map(|chunk| splice.push(&chunk.iter().collect::<String>()).err());
            prop_assert_eq!(found, at_once.err());
        }
    }
}
