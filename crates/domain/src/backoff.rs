//! How long to wait before something is tried again.

use std::time::Duration;

/// Waits that double with each failure in a row, up to a longest one, shortened at random so that many who failed together
/// do not come back in the same instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait after the first failure.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
    pub jitter: Jitter,
}

/// What is taken off a wait at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Up to half: whoever waits for one thing to come back gives it some time.
    Half,
    /// Up to all: spreads those that failed together the widest.
    Full,
}

impl Backoff {
    /// The wait after the `failures`-th failure in a row (1, 2, 3 …).
    pub fn after(self, failures: u32) -> Duration {
        let ceiling = self.ceiling(failures);
        match self.jitter {
            Jitter::Half => ceiling.mul_f64(rand::random_range(0.5..=1.0)),
            Jitter::Full => ceiling.mul_f64(rand::random_range(0.0..=1.0)),
        }
    }

    /// The same before anything is taken off.
    pub fn ceiling(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff =
        Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60), jitter: Jitter::Full };

    #[test]
    fn the_ceiling_doubles_up_to_the_longest() {
        let ceilings: Vec<_> = (1..=9).map(|failures| BACKOFF.ceiling(failures).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(BACKOFF.ceiling(0), BACKOFF.first);
        assert_eq!(BACKOFF.ceiling(u32::MAX), BACKOFF.longest);
        let endless = Backoff { first: Duration::MAX, longest: Duration::MAX, ..BACKOFF };
        assert_eq!(endless.ceiling(u32::MAX), Duration::MAX);
    }

    #[test]
    fn full_jitter_uses_the_whole_range_and_half_the_upper_half() {
        let waits = |jitter| (0..500).map(|_| Backoff { jitter, ..BACKOFF }.after(7)).collect::<Vec<_>>();
        let (full, half) = (waits(Jitter::Full), waits(Jitter::Half));
        assert!(full.iter().chain(&half).all(|wait| *wait <= BACKOFF.longest));
        assert!(full.iter().any(|wait| *wait < BACKOFF.longest / 4), "nothing in the lowest quarter");
        assert!(full.iter().any(|wait| *wait > BACKOFF.longest / 4 * 3), "nothing in the highest quarter");
        assert!(half.iter().all(|wait| *wait >= BACKOFF.longest / 2));
        assert!(half.iter().any(|wait| *wait < BACKOFF.longest / 4 * 3), "nothing in the third quarter");
    }
}
