//! How often and how long a call is tried again.

use std::time::Duration;

/// Exponential backoff with jitter, bounded in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Wait before the second try. Default 100 ms: a restart of the backend takes about that long.
    pub first_delay: Duration,
    /// No wait is longer. Default 5 s: a backend that is back is noticed soon, and a dead one is not hammered.
    pub longest_delay: Duration,
    /// Give up after this long without an answer. Default 60 s for calls.
    pub give_up_after: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(5),
            give_up_after: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// The wait after `failures` failures in a row: doubling, capped, then shortened by up to half at random, so that many
    /// clients that lost the same backend do not come back in the same instant.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let doubled = self.first_delay.saturating_mul(1 << failures.saturating_sub(1).min(16));
        doubled.min(self.longest_delay).mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_are_spread() {
        let retry = Retry::default();
        for failures in 1..40 {
            let delay = retry.delay(failures);
            let whole = Duration::from_millis(100).saturating_mul(1 << (failures - 1).min(16)).min(retry.longest_delay);
            assert!(delay >= whole / 2 && delay <= whole, "{failures}: {delay:?} of {whole:?}");
        }
    }
}
