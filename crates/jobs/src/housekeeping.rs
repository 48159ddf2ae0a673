//! Retention: what is old enough goes, a little at a time.
//!
//! Age is told by the wall clock, which may be wrong: one that jumped ahead by a year would make everything old at once. So
//! nothing goes for a day after the clock was seen to be somewhere else than expected, which is time to set it right.

use crate::{Error, handle::Shared};
use domain::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// Jobs deleted by one transaction, so that other writers wait for a moment at most.
const JOBS_AT_ONCE: usize = 16;
/// Records of model calls deleted by one: they are small rows.
const MODEL_CALLS_AT_ONCE: usize = 500;
/// Entries of the audit trail deleted by one: as small.
const AUDIT_ENTRIES_AT_ONCE: usize = 500;

/// How far the wall clock may run away from the one that never steps between two looks.
const STEP: Duration = Duration::from_secs(60 * 60);
/// How far it may be ahead of anything that was ever written, at a start: more than a night and a weekend off.
const GAP: Duration = Duration::from_secs(3 * 24 * 60 * 60);
/// How long nothing is removed after that.
const HOLD: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether the wall clock can be believed.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    last: Option<(Timestamp, Instant)>,
    held_until: Option<Instant>,
}

impl Trust {
    /// Looks at both clocks; `newest_change` is asked for at the first look alone. Says whether age can be told now.
    fn look(&mut self, now: Timestamp, at: Instant, newest_change: Option<Timestamp>) -> bool {
        let ahead = match self.last {
            Some((before, then)) => {
                let passed = i64::try_from((at - then).as_millis()).unwrap_or(i64::MAX);
                beyond(now, before.plus_millis(passed), STEP)
            }
            None => newest_change.and_then(|newest| beyond(now, newest, GAP)),
        };
        self.last = Some((now, at));
        if let Some(ahead) = ahead {
            tracing::warn!(
                "the clock is {} h ahead of what was expected; nothing is removed for its age within the next {} h. \
                 If it is wrong, set it right; if it is right, there is nothing to do",
                ahead.as_secs() / 3_600,
                HOLD.as_secs() / 3_600
            );
            self.held_until = Some(at + HOLD);
        }
        self.held_until.is_none_or(|until| at >= until)
    }
}

/// By how much `now` is later than expected, if that is more than may be.
fn beyond(now: Timestamp, expected: Timestamp, most: Duration) -> Option<Duration> {
    let ahead = u64::try_from(now.as_millis() - expected.as_millis()).ok().map(Duration::from_millis)?;
    (ahead > most).then_some(ahead)
}

impl Shared {
    pub(crate) async fn keep_house(&self, trust: &mut Trust) {
        if let Err(error) = self.tidy(trust).await {
            tracing::warn!(%error, "housekeeping stopped half-way; it goes on in {:?}", self.options.housekeeping);
        }
    }

    async fn tidy(&self, trust: &mut Trust) -> Result<(), Error> {
        // Heals what an answer lost between commit and memory would leave: a running job without a deadline.
        self.adopt().await?;
        let newest_change = if trust.last.is_none() { self.store.newest_change().await? } else { None };
        let now = self.now();
        if !trust.look(now, Instant::now(), newest_change) {
            return Ok(());
        }
        // First, because it frees space, which the rest may wait for.
        if let Some(age) = self.options.retention {
            self.delete_finished(before(now, age)).await?;
        }
        let oldest = before(now, self.options.idempotency_ttl);
        self.store.sweep_idempotency(oldest).await?;
        if let Some(age) = self.options.model_calls_retention {
            self.delete_model_calls(before(now, age)).await?;
        }
        if let Some(age) = self.options.audit_retention {
            self.delete_audit(before(now, age)).await?;
        }
        Ok(())
    }

    async fn delete_model_calls(&self, made_before: Timestamp) -> Result<(), Error> {
        while self.store.sweep_model_calls(made_before, MODEL_CALLS_AT_ONCE).await? == MODEL_CALLS_AT_ONCE {}
        Ok(())
    }

    async fn delete_audit(&self, made_before: Timestamp) -> Result<(), Error> {
        while self.store.sweep_audit(made_before, AUDIT_ENTRIES_AT_ONCE).await? == AUDIT_ENTRIES_AT_ONCE {}
        Ok(())
    }

    async fn delete_finished(&self, finished_before: Timestamp) -> Result<(), Error> {
        while self.store.delete_finished_jobs(finished_before, JOBS_AT_ONCE).await? == JOBS_AT_ONCE {}
        Ok(())
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.plus_millis(-i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 60 * 60 * 1_000;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + hours * HOUR)
    }

    fn after(begin: Instant, hours: u64) -> Instant {
        begin + Duration::from_secs(hours * 3_600)
    }

    #[test]
    fn nothing_is_old_for_a_day_after_a_jump_ahead() {
        let (mut trust, begin) = (Trust::default(), Instant::now());
        assert!(trust.look(at(0), begin, Some(at(-1))));
        assert!(trust.look(at(2), after(begin, 2), None), "two hours in two hours");
        assert!(!trust.look(at(2 + 9_000), after(begin, 2), None));
        assert!(!trust.look(at(2 + 9_023), after(begin, 25), None));
        assert!(trust.look(at(2 + 9_024), after(begin, 26), None), "it was right after all");
    }

    #[test]
    fn a_start_far_beyond_the_newest_row_is_no_time_to_remove() {
        let begin = Instant::now();
        assert!(!Trust::default().look(at(24 * 400), begin, Some(at(0))));
        assert!(Trust::default().look(at(60), begin, Some(at(0))), "a weekend");
        assert!(Trust::default().look(at(0), begin, None), "a new mesh");
        assert!(Trust::default().look(at(0), begin, Some(at(24 * 400))), "set back: nothing is old then");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_old() {
        let (mut trust, begin) = (Trust::default(), Instant::now());
        assert!(trust.look(at(0), begin, None));
        assert!(trust.look(at(-9_000), after(begin, 1), None));
        assert!(!trust.look(at(0), after(begin, 1), None), "and when it comes back it jumps");
    }
}
