//! What is tried, in which order. The most likely answer comes first, and is handed back with what failed; then others with
//! rising chance in their words. Each begins at the files as they were, or at the best state so far where that fails less.
//!
//! All of it follows from what the tries came to, so a rebuild comes to the same.

use protocol::CheckOutcome;

/// Of each candidate. Past the last a small model writes what nobody asked for.
const TEMPERATURES: [f64; 4] = [0.0, 0.2, 0.5, 0.8];
pub(super) const CANDIDATES: u32 = TEMPERATURES.len() as u32;
/// Answers for one candidate: small models make little of a second failure, and a fresh start costs as much.
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
        // Where nobody says how many fail, perhaps nothing could be run.
        Self {
            rank,
            failed: failed.filter(|_| rank == 1).unwrap_or(if rank == 0 { 0 } else { u64::MAX }),
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
pub(super) fn next(tries: &[(Plan, Came)], start: Option<Score>) -> Option<Plan> {
    let Some((last, came)) = tries.last() else { return Some(fresh(1, None)) };
    let goes_on = last.round < ROUNDS && *came != Came::Again;
    if goes_on {
        let plan = Plan { round: last.round + 1, parent: Some(tries.len() - 1), ..last.clone() };
        return Some(plan);
    }
    let better = best(tries).filter(|(_, score)| start.is_some_and(|start| *score < start)).map(|(at, _)| at);
    (last.candidate < CANDIDATES).then(|| fresh(last.candidate + 1, better))
}

fn fresh(candidate: u32, parent: Option<usize>) -> Plan {
    let temperature = TEMPERATURES.get(candidate as usize - 1).copied().unwrap_or_default();
    Plan { candidate, round: 1, parent, temperature, seed: candidate.into() }
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
    fn course(came: &[Came]) -> Vec<(u32, u32, Option<usize>)> {
        let start = Some(Score::of(CheckOutcome::Failed, Some(2), Some(3)));
        let mut tries = Vec::new();
        for came in came.iter().chain(std::iter::repeat(&came[came.len() - 1])) {
            let Some(plan) = next(&tries, start) else { break };
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
        assert_eq!(course(&[fails(3)]), expected);
        assert_eq!(course(&[Came::Nothing]), expected);
    }

    #[test]
    fn what_was_seen_before_is_not_handed_back() {
        assert_eq!(
            course(&[fails(3), Came::Again]),
            [(1, 1, None), (1, 2, Some(0)), (2, 1, None), (3, 1, None), (4, 1, None)]
        );
    }

    #[test]
    fn a_better_state_is_where_the_next_candidate_begins() {
        let course = course(&[fails(4), fails(1), fails(2), fails(3)]);
        assert_eq!(course[..4], [(1, 1, None), (1, 2, Some(0)), (2, 1, Some(1)), (2, 2, Some(2))]);
    }

    #[test]
    fn it_gets_warmer() {
        let temperatures: Vec<f64> = (1..=CANDIDATES).map(|number| fresh(number, None).temperature).collect();
        assert_eq!(temperatures, TEMPERATURES);
    }

    #[test]
    fn fewer_failures_are_better_and_none_that_is_known_is_worst() {
        use CheckOutcome::{Failed, Passed, TimedOut};
        let order = [
            Score::of(Passed, None, None),
            Score::of(Failed, Some(4), Some(1)),
            Score::of(Failed, Some(3), Some(1)),
            Score::of(Failed, Some(3), Some(2)),
            Score::of(Failed, None, None),
            Score::of(TimedOut, Some(9), None),
        ];
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
    }
}
