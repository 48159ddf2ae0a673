//! Equal targets share load.
//!
//! The target with the least calls under way for its weight comes first. Where several are equally free, as they all are
//! when calls come one after the other, they take turns in proportion to their weights and without clumps (smooth weighted
//! round robin: each turn everybody's credit grows by its weight, the richest is taken and pays what all got).

use std::{
    cmp::Ordering,
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// One of several targets of the same rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share<'a> {
    /// What its turns are remembered by; unique within a rank.
    pub target: &'a str,
    /// Calls it gets in relation to the others. 0: only when every other one has been tried.
    pub weight: u32,
    /// Calls under way there.
    pub in_flight: u32,
}

/// Whose turn it is. One per rank of a route.
#[derive(Debug, Default)]
pub struct Turns(Mutex<HashMap<String, i64>>);

impl Turns {
    /// The positions of `shares` in the order in which they are to be tried. Every one is in it exactly once.
    pub fn order(&self, shares: &[Share<'_>]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..shares.len()).collect();
        order.sort_by(|a, b| busier(&shares[*a], &shares[*b]));
        let Some(first) = order.first().map(|at| shares[*at]) else { return order };
        let tied = order.iter().take_while(|at| busier(&first, &shares[**at]) == Ordering::Equal).count();
        if first.weight > 0 && tied > 1 {
            let next = self.next_of(&order[..tied], shares);
            order[..=next].rotate_right(1);
        }
        order
    }

    /// Which of the equally free ones is next.
    fn next_of(&self, tied: &[usize], shares: &[Share<'_>]) -> usize {
        let mut credits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Targets come and go with the configuration; what is gone is forgotten.
        if credits.len() > 4 * shares.len().max(16) {
            credits.retain(|target, _| shares.iter().any(|share| share.target == target));
        }
        let (mut next, mut most, mut total) = (0, i64::MIN, 0);
        for (position, at) in tied.iter().enumerate() {
            let Share { target, weight, .. } = shares[*at];
            let credit = match credits.get_mut(target) {
                Some(credit) => credit,
                None => credits.entry(target.to_owned()).or_insert(0),
            };
            *credit = credit.saturating_add(i64::from(weight));
            total += i64::from(weight);
            if *credit > most {
                (next, most) = (position, *credit);
            }
        }
        if let Some(credit) = credits.get_mut(shares[tied[next]].target) {
            *credit = credit.saturating_sub(total);
        }
        next
    }
}

/// Orders by calls under way per weight, without division.
fn busier(a: &Share<'_>, b: &Share<'_>) -> Ordering {
    match (a.weight, b.weight) {
        (0, 0) => a.in_flight.cmp(&b.in_flight),
        (0, _) => Ordering::Greater,
        (_, 0) => Ordering::Less,
        _ => (u64::from(a.in_flight) * u64::from(b.weight)).cmp(&(u64::from(b.in_flight) * u64::from(a.weight))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(target: &str, weight: u32, in_flight: u32) -> Share<'_> {
        Share { target, weight, in_flight }
    }

    #[test]
    fn idle_targets_take_smooth_turns_by_weight() {
        let turns = Turns::default();
        let shares = [share("a", 5, 0), share("b", 1, 0), share("c", 1, 0)];
        let firsts: String = (0..7).map(|_| shares[turns.order(&shares)[0]].target).collect();
        assert_eq!(firsts, "aabacaa");
        assert_eq!(turns.order(&shares), [0, 1, 2], "everybody stays in the order, as a fallback");
    }

    #[test]
    fn the_least_busy_for_its_weight_comes_first() {
        let turns = Turns::default();
        assert_eq!(turns.order(&[share("a", 1, 3), share("b", 1, 1), share("c", 1, 2)]), [1, 2, 0]);
        assert_eq!(turns.order(&[share("big", 4, 3), share("small", 1, 1)]), [0, 1]);
        assert_eq!(turns.order(&[share("big", 4, 5), share("small", 1, 1)]), [1, 0]);
        assert_eq!(turns.order(&[share("a", u32::MAX, u32::MAX), share("b", 1, 2)]), [0, 1]);
    }

    #[test]
    fn weight_nought_is_the_last_resort() {
        let turns = Turns::default();
        for _ in 0..3 {
            assert_eq!(turns.order(&[share("off", 0, 0), share("a", 1, 9)]), [1, 0]);
        }
        assert_eq!(turns.order(&[share("x", 0, 2), share("y", 0, 1)]), [1, 0]);
        assert!(turns.order(&[]).is_empty());
    }

    #[test]
    fn a_target_that_left_does_not_disturb_the_others() {
        let turns = Turns::default();
        for _ in 0..5 {
            let _ = turns.order(&[share("a", 1, 0), share("gone", 9, 0), share("b", 1, 0)]);
        }
        let rest = [share("a", 1, 0), share("b", 1, 0)];
        let firsts: Vec<usize> = (0..20).map(|_| turns.order(&rest)[0]).collect();
        assert_eq!(firsts[10..].iter().filter(|first| **first == 0).count(), 5, "{firsts:?}");
    }

    proptest! {
        #[test]
        fn turns_are_exactly_by_weight_over_a_round(weights in prop::collection::vec(1..9_u32, 1..6)) {
            let names: Vec<String> = (0..weights.len()).map(|at| at.to_string()).collect();
            let shares: Vec<Share<'_>> = names.iter().zip(&weights).map(|(name, weight)| share(name, *weight, 0)).collect();
            let turns = Turns::default();
            let mut counts = vec![0; weights.len()];
            for _ in 0..2 * weights.iter().sum::<u32>() {
                counts[turns.order(&shares)[0]] += 1;
            }
            prop_assert_eq!(counts, weights.iter().map(|weight| 2 * weight).collect::<Vec<_>>());
        }

        /// Calls that stay spread by weight too: nobody is ever more than one call from its part.
        #[test]
        fn calls_that_stay_spread_by_weight(weights in prop::collection::vec(1..5_u32, 2..5), rounds in 1..5_u32) {
            let names: Vec<String> = (0..weights.len()).map(|at| at.to_string()).collect();
            let mut in_flight = vec![0; weights.len()];
            let turns = Turns::default();
            for _ in 0..rounds * weights.iter().sum::<u32>() {
                let shares: Vec<Share<'_>> =
                    names.iter().enumerate().map(|(at, name)| share(name, weights[at], in_flight[at])).collect();
                in_flight[turns.order(&shares)[0]] += 1;
            }
            for (count, weight) in in_flight.iter().zip(&weights) {
                prop_assert!(count.abs_diff(rounds * weight) <= rounds.max(1), "{:?} of {:?}", in_flight, weights);
            }
        }

        #[test]
        fn every_target_is_in_the_order_once(shares in prop::collection::vec((0..4_u32, 0..4_u32), 0..6)) {
            let names: Vec<String> = (0..shares.len()).map(|at| at.to_string()).collect();
            let shares: Vec<Share<'_>> =
                shares.iter().zip(&names).map(|((weight, busy), name)| share(name, *weight, *busy)).collect();
            let mut order = Turns::default().order(&shares);
            order.sort_unstable();
            prop_assert_eq!(order, (0..shares.len()).collect::<Vec<_>>());
        }
    }
}
