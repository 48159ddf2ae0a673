//! What is tried, in which order. The functions that are most suspect are written anew, without their old bodies in sight; then
//! comes the most likely answer about all files, which is handed back with what failed; then all suspects, and then other answers
//! about all files with rising chance in their words. Each begins at the files as they were, or at the best state so far where that
//! fails less.
//!
//! All of it follows from what the tries came to, so a rebuild comes to the same.

use protocol::CheckOutcome;

/// Of each answer about all files. Past the last a small model writes what nobody asked for.
const TEMPERATURES: [f64; 4] = [0.0, 0.2, 0.5, 0.8];
/// Of each function: once as it would most likely be, and once another way.
const ANEW: [f64; 2] = [0.0, 0.7];
/// Functions that come before everything else: what is most suspect costs a fifth of an answer about all files.
const FIRST: usize = 2;
/// Answers for one candidate about all files: small models make little of a second failure, and a fresh start costs as much.
const ROUNDS: u32 = 2;

/// One answer to ask for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// From 1.
    pub(super) candidate: u32,
    /// From 1.
    pub(super) round: u32,
    /// The try it goes on from; `None` for the files as they were.
    pub(super) parent: Option<usize>,
    pub(super) temperature: f64,
    pub(super) seed: u64,
    /// The function it is about, by its place among the suspects; `None` for all files.
    pub(super) suspect: Option<usize>,
}

/// What one candidate is about, and how much chance its words have.
type Subject = (Option<usize>, f64);

/// Of all candidates, in their order.
fn course(suspects: usize) -> impl Iterator<Item = Subject> {
    let whole = TEMPERATURES.into_iter().map(|temperature| (None, temperature));
    let anew = ANEW.into_iter().flat_map(move |temperature| (0..suspects).map(move |at| (Some(at), temperature)));
    let first = FIRST.min(suspects);
    anew.clone().take(first).chain(whole.clone().take(1)).chain(anew.skip(first)).chain(whole.skip(1))
}

/// How many there are at most.
pub(super) fn count(suspects: usize) -> u32 {
    course(suspects).map(|_| 1).sum()
}

/// How a check ended, the better the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Score {
    rank: u8,
    failed: u64,
    /// Told from the largest number.
    not_passed: u64,
}

impl Score {
    pub(super) fn of(outcome: CheckOutcome, passed: Option<u64>, failed: Option<u64>) -> Self {
        let rank = match outcome {
            CheckOutcome::Passed => 0,
            CheckOutcome::Failed => 1,
            CheckOutcome::TimedOut | CheckOutcome::Unusable | CheckOutcome::Cancelled => 2,
        };
        // Where nobody says how many fail, or none does, perhaps nothing could be run.
        Self {
            rank,
            failed: failed.filter(|failed| rank == 1 && *failed > 0).unwrap_or(if rank == 0 { 0 } else { u64::MAX }),
            not_passed: u64::MAX - passed.unwrap_or(0),
        }
    }
}

/// What a try came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing in the answer could be used.
    Nothing,
    /// To files that were tried before, or as they were.
    Again,
    Fails(Score),
}

/// The next try; `None` when it is over. `start`: how the check ended before the work.
pub(super) fn next(tries: &[(Plan, Came)], start: Option<Score>, suspects: usize) -> Option<Plan> {
    let Some((last, came)) = tries.last() else { return fresh(1, None, suspects) };
    let goes_on = last.suspect.is_none() && last.round < ROUNDS && *came != Came::Again;
    if goes_on {
        let plan = Plan { round: last.round + 1, parent: Some(tries.len() - 1), ..last.clone() };
        return Some(plan);
    }
    let better = best(tries).filter(|(_, score)| start.is_some_and(|start| *score < start)).map(|(at, _)| at);
    fresh(last.candidate + 1, better, suspects)
}

fn fresh(candidate: u32, parent: Option<usize>, suspects: usize) -> Option<Plan> {
    let (suspect, temperature) = course(suspects).nth(candidate as usize - 1)?;
    Some(Plan { candidate, round: 1, parent, temperature, seed: candidate.into(), suspect })
}

/// The try that fails least, the first of equals.
pub(super) fn best(tries: &[(Plan, Came)]) -> Option<(usize, Score)> {
    let scored = tries.iter().enumerate().filter_map(|(at, (_, came))| match came {
        Came::Fails(score) => Some((at, *score)),
        Came::Nothing | Came::Again => None,
    });
    scored.min_by_key(|(_, score)| *score)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(failed: u64) -> Came {
        Came::Fails(Score::of(CheckOutcome::Failed, Some(5 - failed), Some(failed)))
    }

    /// Candidate, round, parent of all tries when each comes to what is said.
    fn tried(came: &[Came]) -> Vec<(u32, u32, Option<usize>)> {
        let start = Some(Score::of(CheckOutcome::Failed, Some(2), Some(3)));
        let mut tries = Vec::new();
        for came in came.iter().chain(std::iter::repeat(&came[came.len() - 1])) {
            let Some(plan) = next(&tries, start, 0) else { break };
            tries.push((plan, *came));
        }
        tries.iter().map(|(plan, _)| (plan.candidate, plan.round, plan.parent)).collect()
    }

    #[test]
    fn each_candidate_is_handed_back_once() {
        let expected = [
            (1, 1, None),
            (1, 2, Some(0)),
            (2, 1, None),
            (2, 2, Some(2)),
            (3, 1, None),
            (3, 2, Some(4)),
            (4, 1, None),
            (4, 2, Some(6)),
        ];
        assert_eq!(tried(&[fails(3)]), expected);
        assert_eq!(tried(&[Came::Nothing]), expected);
    }

    #[test]
    fn what_was_seen_before_is_not_handed_back() {
        assert_eq!(
            tried(&[fails(3), Came::Again]),
            [(1, 1, None), (1, 2, Some(0)), (2, 1, None), (3, 1, None), (4, 1, None)]
        );
    }

    #[test]
    fn a_better_state_is_where_the_next_candidate_begins() {
        let course = tried(&[fails(4), fails(1), fails(2), fails(3)]);
        assert_eq!(course[..4], [(1, 1, None), (1, 2, Some(0)), (2, 1, Some(1)), (2, 2, Some(2))]);
    }

    #[test]
    fn the_first_suspects_then_all_files_then_all_suspects_then_all_files_ever_warmer() {
        let subjects: Vec<Subject> = course(3).collect();
        let whole = TEMPERATURES.map(|temperature| (None, temperature));
        let anew = [(Some(0), 0.0), (Some(1), 0.0), (Some(2), 0.0), (Some(0), 0.7), (Some(1), 0.7), (Some(2), 0.7)];
        assert_eq!(subjects, [&anew[..2], &whole[..1], &anew[2..], &whole[1..]].concat());
        assert_eq!((count(0), count(1), count(3)), (4, 6, 10));

        let start = Some(Score::of(CheckOutcome::Failed, Some(2), Some(3)));
        let next = next(&[(fresh(1, None, 2).unwrap(), fails(3))], start, 2).unwrap();
        assert_eq!((next.candidate, next.round, next.suspect), (2, 1, Some(1)), "a function is not handed back");
    }

    #[test]
    fn fewer_failures_are_better_and_none_that_is_known_is_worst() {
        use CheckOutcome::{Failed, Passed, TimedOut};
        let order = [
            Score::of(Passed, None, None),
            Score::of(Failed, Some(4), Some(1)),
            Score::of(Failed, Some(3), Some(1)),
            Score::of(Failed, Some(3), Some(2)),
            Score::of(Failed, Some(1), Some(0)),
            Score::of(Failed, None, None),
            Score::of(TimedOut, Some(9), None),
        ];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }
}
