//! How often and how long a call is tried again.

use domain::{Backoff, Jitter};
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
    /// The wait after `failures` failures in a row.
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        Backoff { first: self.first_delay, longest: self.longest_delay, jitter: Jitter::Half }.after(failures)
    }
}
