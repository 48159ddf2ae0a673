//! Names of calls, unique in a job over all attempts and readable back from the log.
//!
//! A model call is `a2-t7`: attempt 2, turn 7; `-body` when it asks for the body of an action, `-try3` when it repeats
//! a call that failed. A tool call is `t7-1`: the first one turn 7 asked for. It carries no attempt, because an approval
//! given to it still holds for the attempt after.

use std::fmt;

/// Which completion of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What to do.
    Action,
    /// The command or file content of an action that came without.
    Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ModelCallId {
    pub(crate) attempt: u32,
    pub(crate) turn: u32,
    pub(crate) part: Part,
    /// 1 for the first try.
    pub(crate) tried: u32,
}

impl fmt::Display for ModelCallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a{}-t{}", self.attempt, self.turn)?;
        if self.part == Part::Body {
            f.write_str("-body")?;
        }
        if self.tried > 1 {
            write!(f, "-try{}", self.tried)?;
        }
        Ok(())
    }
}

impl ModelCallId {
    /// `None` for a name that is none of ours.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split('-').peekable();
        let attempt = fields.next()?.strip_prefix('a')?.parse().ok()?;
        let turn = fields.next()?.strip_prefix('t')?.parse().ok()?;
        let part = match fields.next_if_eq(&"body") {
            Some(_) => Part::Body,
            None => Part::Action,
        };
        let tried = match fields.next() {
            Some(field) => field.strip_prefix("try")?.parse().ok()?,
            None => 1,
        };
        fields.next().is_none().then_some(Self { attempt, turn, part, tried })
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
        for (part, tried, expected) in [
            (Part::Action, 1, "a2-t7"),
            (Part::Body, 1, "a2-t7-body"),
            (Part::Action, 3, "a2-t7-try3"),
            (Part::Body, 2, "a2-t7-body-try2"),
        ] {
            let id = ModelCallId { attempt: 2, turn: 7, part, tried };
            assert_eq!(id.to_string(), expected);
            assert_eq!(ModelCallId::parse(expected), Some(id));
        }
        for foreign in ["", "a1", "call_1", "a1-t2-x", "a1-t2-try2-y", "t1-1"] {
            assert_eq!(ModelCallId::parse(foreign), None, "{foreign}");
        }
    }
}
