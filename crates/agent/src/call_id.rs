//! Names of calls, unique in a job over all attempts and readable back from the log.
//!
//! A model call is `a2-t7`: attempt 2, turn 7; `-try3` when it repeats a call that failed. A tool call is `t7-1`: the first one turn 7 asked for. It carries no attempt, because an approval
//! given to it still holds for the attempt after.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelCallId {
    pub(crate) attempt: u32,
    pub(crate) turn: u32,
    /// 1 for the first try.
    pub(crate) tried: u32,
}

impl fmt::Display for ModelCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}-t{}", self.attempt, self.turn)?;
        if self.tried > 1 {
            write!(f, "-try{}", self.tried)?;
        }
        Ok(())
    }
}

impl ModelCallId {
    /// `None` for a name that is none of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-');
        let attempt = fields.next()?.strip_prefix('a')?.parse().ok()?;
        let turn = fields.next()?.strip_prefix('t')?.parse().ok()?;
        let tried = match fields.next() {
            Some(field) => field.strip_prefix("try")?.parse().ok()?,
            None => 1,
        };
        fields.next().is_none().then_some(Self { attempt, turn, tried })
    }

    /// In logs from when a turn could take two completions: the second, which held the body of the action, was `a2-t7-body`.
    pub(crate) fn parse_body(text: &str) -> Option<Self> {
        let (front, rest) = text.split_once("-body")?;
        Self::parse(&format!("{front}{rest}"))
    }
}

/// The name of the `index`th tool call of a turn, from 1.
pub(crate) fn tool_call_id(turn: u32, index: usize) -> String {
    format!("t{turn}-{index}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for (tried, expected) in [(1, "a2-t7"), (3, "a2-t7-try3")] {
            let id = ModelCallId { attempt: 2, turn: 7, tried };
            assert_eq!(id.to_string(), expected);
            assert_eq!(ModelCallId::parse(expected), Some(id));
            assert_eq!(ModelCallId::parse(&expected.replace("t7", "t7-body")), None);
            assert_eq!(ModelCallId::parse_body(&expected.replace("t7", "t7-body")), Some(id));
            assert_eq!(ModelCallId::parse_body(expected), None);
        }
        for foreign in ["", "a1", "call_1", "a1-t2-x", "a1-t2-try2-y", "t1-1"] {
            assert_eq!(ModelCallId::parse(foreign), None, "{foreign}");
        }
    }
}
