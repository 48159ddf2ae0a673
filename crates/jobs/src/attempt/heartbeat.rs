//! Keep a lease, and hear at once when the attempt is to stop.

use super::fence;
use crate::{Caller, Error, Handle};
use domain::JobId;
use protocol::{Control, Heartbeat, HeartbeatAnswer};
use std::time::Duration;
use store::Fence;
use tokio::time::Instant;

impl Handle {
    /// Renews the lease, then waits for something to say. Touches memory only: a busy disk loses no lease.
    ///
    /// The lease begins when the heartbeat arrives, not when it is answered: an agent that hangs with its request open
    /// is found out no later than one that hangs without.
    pub async fn heartbeat(&self, caller: &Caller, job: JobId, beat: Heartbeat) -> Result<HeartbeatAnswer, Error> {
        let fence = fence(caller, job, beat.epoch, beat.attempt)?;
        let shared = &self.shared;
        let lease = shared.options.lease;
        if beat.epoch != shared.store.epoch() {
            return Err(self.why_not(fence).await);
        }
        let Some(mut control) = shared.live.heartbeat(job, beat.attempt, caller.principal, lease) else {
            return Err(self.why_not(fence).await);
        };
        let begun = Instant::now();
        let wait = Duration::from_millis(beat.wait_ms).min(lease / 3);
        let told = tokio::select! {
            biased;
            told = control.wait_for(|control| *control != Control::Continue) => told.map(|control| *control).ok(),
            () = shared.live.stopping().cancelled() => Some(Control::Continue),
            () = tokio::time::sleep(wait) => Some(Control::Continue),
        };
        let Some(control) = told else { return Err(self.why_not(fence).await) };
        let left = lease.saturating_sub(begun.elapsed());
        Ok(HeartbeatAnswer { lease_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX), control })
    }

    /// Why an attempt holds no lease. In doubt it is stale: the store says it runs, but its lease is being taken away.
    async fn why_not(&self, fence: Fence) -> Error {
        let why = async || {
            let head = self.shared.store.job_head(fence.job).await?.ok_or_else(|| Error::no_job(fence.job))?;
            fence.check(&head)?;
            Ok::<_, Error>(head.attempt)
        };
        let stale = |current| Error::StaleAttempt { job: fence.job, attempt: fence.attempt, current };
        why().await.map_or_else(|error| error, stale)
    }
}
