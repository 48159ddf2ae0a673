//! What a stream bears of a store that has no turn or no disk for a while.
//!
//! ```text
//!            fails, may pass                 fails again, after growing pauses
//!   sound ───────────────────▶ troubled ──────────────┐
//!     ▲                        │   ▲  └───────────────┘
//!     └──────── works ─────────┘   │ for longer than LONGEST, or of another kind
//!                                  └──────────────────────────────────────────────▶ the stream ends with the error
//! ```

use domain::{Backoff, Jitter};
use std::time::Duration;
use tokio::time::Instant;

/// From a hiccup to a disk that comes back: the first try comes before anybody notices, later ones do not add to the trouble.
const PAUSES: Backoff =
    Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5), jitter: Jitter::Half };
/// A store that fails for so long is told to the client, who can look elsewhere or ask a person.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Patience(Option<Trouble>);

#[derive(Debug)]
struct Trouble {
    since: Instant,
    failures: u32,
    again_at: Instant,
}

impl Patience {
    /// Until it may be tried again: at once, unless it failed last time.
    pub async fn pause(&self) {
        if let Some(trouble) = &self.0 {
            tokio::time::sleep_until(trouble.again_at).await;
        }
    }

    pub fn works(&mut self) {
        self.0 = None;
    }

    /// Whether to try again. Counts the failure if so.
    pub fn bears(&mut self, error: &jobs::Error) -> bool {
        if !may_pass(error) {
            return false;
        }
        let now = Instant::now();
        let trouble = self.0.get_or_insert(Trouble { since: now, failures: 0, again_at: now });
        if now - trouble.since > LONGEST {
            return false;
        }
        if trouble.failures == 0 {
            tracing::warn!(%error, "a stream waits for the store");
        }
        trouble.failures += 1;
        trouble.again_at = now + PAUSES.after(trouble.failures);
        true
    }
}

fn may_pass(error: &jobs::Error) -> bool {
    use store::Error::{Busy, StorageFailed, StorageFull};
    matches!(error, jobs::Error::Store(Busy { .. } | StorageFailed(_) | StorageFull(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy() -> jobs::Error {
        store::Error::Busy { waited_ms: 10_000 }.into()
    }

    #[tokio::test(start_paused = true)]
    async fn a_minute_of_trouble_is_borne_with_growing_pauses_and_no_more() {
        let (mut patience, begun) = (Patience::default(), Instant::now());
        let mut tries = 0;
        while patience.bears(&busy()) {
            patience.pause().await;
            tries += 1;
        }
        let borne = begun.elapsed();
        assert!(borne > LONGEST && borne <= LONGEST + PAUSES.longest, "{borne:?}");
        assert!((12..40).contains(&tries), "{tries} tries");
    }

    #[tokio::test(start_paused = true)]
    async fn what_works_again_begins_anew() {
        let mut patience = Patience::default();
        assert!(patience.bears(&busy()));
        tokio::time::advance(LONGEST * 2).await;
        patience.works();
        let begun = Instant::now();
        patience.pause().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(patience.bears(&busy()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_time_does_not_mend_is_not_borne() {
        for error in [
            jobs::Error::NotFound { what: "job", id: "x".into() },
            store::Error::Corrupt("page 1".into()).into(),
            store::Error::Closed.into(),
        ] {
            assert!(!Patience::default().bears(&error), "{error}");
        }
    }
}
