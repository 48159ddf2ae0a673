//! Wall-clock time under the test's control.

use domain::{Clock, Timestamp};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// Stands still until told otherwise. Clones share one time.
#[derive(Clone, Debug)]
pub struct TestClock {
    millis: Arc<AtomicI64>,
}

impl TestClock {
    /// Where a new clock stands: 2026-01-02T03:04:05.678Z, a time whose every part is recognisable.
    pub const START: i64 = 1_767_323_045_678;

    pub fn new() -> Self {
        Self::at(Timestamp::from_millis(Self::START))
    }

    pub fn at(now: Timestamp) -> Self {
        Self { millis: Arc::new(AtomicI64::new(now.as_millis())) }
    }

    /// Time goes on by `step`.
    pub fn advance(&self, step: Duration) {
        self.millis.fetch_add(i64::try_from(step.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// The clock is set, forwards or backwards, as an operator or NTP would.
    pub fn set(&self, now: Timestamp) {
        self.millis.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_one_time_that_moves_only_when_told() {
        let clock = TestClock::new();
        let other = clock.clone();
        assert_eq!(clock.now().to_string(), "2026-01-02T03:04:05.678Z");
        other.advance(Duration::from_secs(1));
        assert_eq!(clock.now().to_string(), "2026-01-02T03:04:06.678Z");
        clock.set(Timestamp::from_millis(0));
        assert_eq!(other.now().as_millis(), 0);
    }
}
