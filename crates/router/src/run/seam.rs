//! The white space where one target's words end and another's begin.
//!
//! A target that goes on with an answer is given it without the white space at its end, which models treat badly. So it says
//! that white space again, or something like it, and the caller has it already.

/// White space that is kept until a word follows. More is no seam.
const LONGEST: usize = 1024;

#[derive(Clone, Debug)]
pub(crate) struct Seam {
    /// What the caller's text ends in.
    tail: String,
    /// White space that the target has begun with.
    held: String,
    passed: bool,
}

impl Seam {
    pub(super) fn after(sent: &str) -> Self {
        let tail = sent[sent.trim_end().len()..].to_owned();
        let passed = tail.is_empty();
        Self { tail, held: String::new(), passed }
    }

    /// What of `text` the caller does not have yet.
    pub(super) fn push(&mut self, text: String) -> String {
        if self.passed {
            return text;
        }
        self.held.push_str(&text);
        let words = self.held.trim_start();
        if words.is_empty() && self.held.len() < LONGEST {
            return String::new();
        }
        self.passed = true;
        let space = &self.held[..self.held.len() - words.len()];
        let more = match space.strip_prefix(self.tail.as_str()) {
            Some(more) => more,
            None if self.tail.starts_with(space) => "",
            // Another line is said, not only some other space.
            None if space.contains('\n') => space,
            None => "",
        };
        format!("{more}{words}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(sent: &str, pieces: &[&str]) -> String {
        let mut seam = Seam::after(sent);
        let rest: String = pieces.iter().map(|piece| seam.push((*piece).to_owned())).collect();
        format!("{sent}{rest}")
    }

    #[test]
    fn white_space_at_the_seam_comes_once() {
        for (sent, pieces, whole) in [
            ("one ", &[" two"][..], "one two"),
            ("one ", &["two"], "one two"),
            ("one ", &[" ", "two", " three"], "one two three"),
            ("one ", &["", "\n", "\ntwo"], "one \n\ntwo"),
            ("one", &[" two"], "one two"),
            ("on", &["e"], "one"),
            ("if x:\n", &["\n", "    y"], "if x:\n    y"),
            ("if x:\n    ", &["\n    ", "y"], "if x:\n    y"),
            ("one\n", &[" two"], "one\ntwo"),
            ("one ", &[" "], "one "),
        ] {
            assert_eq!(joined(sent, pieces), whole, "{sent:?} and {pieces:?}");
        }
    }

    #[test]
    fn endless_white_space_is_not_kept() {
        let mut seam = Seam::after(" ");
        assert_eq!(seam.push(" ".repeat(LONGEST + 1)).len(), LONGEST);
        assert_eq!(seam.push(" ".to_owned()), " ");
    }
}
