//! Notices a model that goes in circles. The first time it is told so and gets another chance; the second time the job
//! ends as `stuck`, because more of the same only costs.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};

/// The same call with the same result this many times in a row. A model may rightly look twice; four times is a loop.
const SAME_CALL: usize = 4;
/// Two calls taking turns, the pair this many times: edit and test alternate in honest work too, but not with the very
/// same results each time.
const ALTERNATING_PAIRS: usize = 6;
/// Answers in a row that hold no action anybody could carry out.
const MALFORMED: u32 = 3;

/// Which circle it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    SameCall,
    Alternating,
    Malformed,
}

impl Pattern {
    /// For people, in notes and in the job's message.
    pub(crate) fn describe(self) -> String {
        match self {
            Self::SameCall => format!("the model made the same call with the same result {SAME_CALL} times in a row"),
            Self::Alternating => {
                format!("the model went back and forth between the same two calls {ALTERNATING_PAIRS} times")
            }
            Self::Malformed => format!("{MALFORMED} answers in a row held no action that can be carried out"),
        }
    }

    /// For the model: names the failure and what to do instead.
    pub(crate) fn nudge(self) -> String {
        match self {
            Self::SameCall => format!(
                "You made the same call {SAME_CALL} times and got the same result each time. Repeating it will not \
                 change anything. Think about why the result is what it is, then do something different, or finish \
                 and say what is in the way."
            ),
            Self::Alternating => format!(
                "You went back and forth between the same two calls {ALTERNATING_PAIRS} times with the same results. \
                 Neither will help. Do something different, or finish and say what is in the way."
            ),
            Self::Malformed => format!(
                "{MALFORMED} of your answers in a row held no action. Without one nothing happens. Answer with \
                 exactly one action in the form described at the start."
            ),
        }
    }
}

/// What the detector thinks after one more step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Fine,
    /// Tell the model; it has one more chance.
    Nudge(Pattern),
    /// It was told before.
    Stuck(Pattern),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Detector {
    /// The newest calls with their results, as hashes; at most `2 * ALTERNATING_PAIRS`.
    recent: VecDeque<(u64, u64)>,
    malformed: u32,
    nudged: bool,
}

impl Detector {
    /// One call ran and had this result.
    pub(crate) fn called(&mut self, call: impl Hash, result: impl Hash) -> Verdict {
        self.malformed = 0;
        if self.recent.len() == 2 * ALTERNATING_PAIRS {
            self.recent.pop_front();
        }
        self.recent.push_back((hash(call), hash(result)));
        let newest_first = || self.recent.iter().rev();
        let same = newest_first().take_while(|entry| Some(*entry) == self.recent.back()).count() >= SAME_CALL;
        let alternating = self.recent.len() == 2 * ALTERNATING_PAIRS
            && newest_first().zip(newest_first().skip(2)).all(|(entry, two_before)| entry == two_before)
            && self.recent[0] != self.recent[1];
        match (same, alternating) {
            (true, _) => self.judge(Pattern::SameCall),
            (_, true) => self.judge(Pattern::Alternating),
            _ => Verdict::Fine,
        }
    }

    /// One answer held no action.
    pub(crate) fn malformed(&mut self) -> Verdict {
        self.malformed += 1;
        if self.malformed < MALFORMED {
            return Verdict::Fine;
        }
        self.judge(Pattern::Malformed)
    }

    fn judge(&mut self, pattern: Pattern) -> Verdict {
        self.recent.clear();
        self.malformed = 0;
        match std::mem::replace(&mut self.nudged, true) {
            false => Verdict::Nudge(pattern),
            true => Verdict::Stuck(pattern),
        }
    }
}

/// Only compared within one process, so the standard hasher is stable enough.
fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters are calls with their results; `!` is a malformed answer. Returns where a verdict fell.
    fn verdicts(history: &str) -> Vec<(usize, Verdict)> {
        let mut detector = Detector::default();
        history
            .chars()
            .enumerate()
            .filter_map(|(index, step)| {
                let verdict = match step {
                    '!' => detector.malformed(),
                    call => detector.called(call.to_ascii_lowercase(), call),
                };
                (verdict != Verdict::Fine).then_some((index + 1, verdict))
            })
            .collect()
    }

    #[test]
    fn finds_circles_and_nothing_else() {
        use Pattern::*;
        use Verdict::*;
        let table: &[(&str, &[(usize, Verdict)])] = &[
            ("abcdefabcdef", &[]),
            ("aaab", &[]),
            ("aaaa", &[(4, Nudge(SameCall))]),
            ("aAaAa", &[]),
            ("abababababa", &[]),
            ("abababababab", &[(12, Nudge(Alternating))]),
            ("xabababababab", &[(13, Nudge(Alternating))]),
            ("!!a!!", &[]),
            ("!!!", &[(3, Nudge(Malformed))]),
            ("aaaaaaa", &[(4, Nudge(SameCall))]),
            ("aaaaaaaa", &[(4, Nudge(SameCall)), (8, Stuck(SameCall))]),
            ("aaaabcd!!!", &[(4, Nudge(SameCall)), (10, Stuck(Malformed))]),
        ];
        for (history, expected) in table {
            assert_eq!(verdicts(history), *expected, "{history}");
        }
    }
}
