//! Notices a model that goes in circles. The first time it is told so and gets another chance; the second time the job
//! ends as `stuck`, because more of the same only costs. A change to the files that is none of the earlier ones is a way
//! out: from there on a circle is a first one again.
//!
//! Results are compared without their numbers: times, sizes and ids differ on every run of the same command.

use std::{
    collections::{HashSet, VecDeque},
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
    /// Changes that were made, as hashes: at most one for each step of the job.
    changes: HashSet<u64>,
}

impl Detector {
    /// One call ran and had this result. `changed`: it changed files.
    pub(crate) fn called(&mut self, call: impl Hash, result: &str, changed: bool) -> Verdict {
        self.malformed = 0;
        let call = hash(call);
        if changed && self.changes.insert(call) {
            self.nudged = false;
        }
        if self.recent.len() == 2 * ALTERNATING_PAIRS {
            self.recent.pop_front();
        }
        self.recent.push_back((call, hash(masked(result))));
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

/// A text without what differs from run to run: each number, and each long word of hexadecimal digits, becomes one mark.
fn masked(text: &str) -> String {
    const LONG: usize = 8;
    let mut masked = String::with_capacity(text.len());
    let is_word = |character: char| character.is_ascii_alphanumeric();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|character: char| is_word(character) != is_word(first)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_id = word.len() >= LONG && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_word(first) && is_id {
            true => masked.push('#'),
            false => word.chars().for_each(|character| match character {
                '0'..='9' => {
                    // `0.12` and `11:03` are one number each.
                    if ["#.", "#:", "#,"].iter().any(|end| masked.ends_with(end)) {
                        masked.pop();
                    }
                    if !masked.ends_with('#') {
                        masked.push('#');
                    }
                }
                other => masked.push(other),
            }),
        }
        rest = after;
    }
    masked
}

/// Only compared within one process, so the standard hasher is stable enough.
pub(crate) fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters are calls with their results, those after `+` change files; `!` is a malformed answer. Returns where a verdict
    /// fell.
    fn verdicts(history: &str) -> Vec<(usize, Verdict)> {
        let mut detector = Detector::default();
        let mut found = Vec::new();
        let mut steps = history.chars();
        let mut count = 0;
        while let Some(step) = steps.next() {
            count += 1;
            let verdict = match step {
                '!' => detector.malformed(),
                '+' => steps.next().map_or(Verdict::Fine, |call| detector.called(call, "", true)),
                call => detector.called(call.to_ascii_lowercase(), &call.to_string(), false),
            };
            if verdict != Verdict::Fine {
                found.push((count, verdict));
            }
        }
        found
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
            ("aaaa+xaaaa", &[(4, Nudge(SameCall)), (9, Nudge(SameCall))]),
            ("+xaaaa+xaaaa", &[(5, Nudge(SameCall)), (10, Stuck(SameCall))]),
        ];
        for (history, expected) in table {
            assert_eq!(verdicts(history), *expected, "{history}");
        }
    }

    #[test]
    fn results_that_differ_in_numbers_alone_are_the_same() {
        let mut detector = Detector::default();
        let outputs = [
            "1 failed in 0.12 s\nid 3f2a9c0be1",
            "1 failed in 11.3 s\nid 77aa00cc99",
            "2 failed in 3 s\nid 0123456789ab",
        ];
        let same: Vec<Verdict> = outputs.iter().map(|output| detector.called("test", output, false)).collect();
        assert_eq!(same, [Verdict::Fine; 3]);
        assert_eq!(
            detector.called("test", "4 failed in 9 s\nid aaaaaaaabbbb", false),
            Verdict::Nudge(Pattern::SameCall)
        );
        assert_eq!(masked("line 12: é v1.20"), "line #: é v#");
        assert_ne!(masked("one failed"), masked("none failed"));
    }
}
