//! Hand a job back.

use super::Fence;
use crate::{
    Caller, Error, Handle,
    handle::record,
    lifecycle::{Ending, Failure, close, fail_attempt, requeue},
    validate::Mistakes,
};
use domain::JobId;
use protocol::{Actor, Job, ReleaseJob, RequeueCause};
use std::time::Duration;

impl Handle {
    /// Ends the attempt and not the job: somebody else goes on, at once or after a backoff if the attempt failed.
    pub async fn release(&self, caller: &Caller, job: JobId, release: ReleaseJob) -> Result<Job, Error> {
        let fence = Fence::new(caller, job, release.attempt)?;
        let mut mistakes = Mistakes::default();
        mistakes.message("/message", &release.message);
        mistakes.into_result()?;

        let shared = &self.shared;
        let (now, backoff) = (shared.now(), shared.options.backoff);
        let ran_ms = shared.live.ran_ms(job, release.attempt);
        let row = shared.store.write(move |transaction| {
            let mut row = fence.check(transaction)?;
            row.running_ms = ran_ms.unwrap_or(row.running_ms);
            let event = if release.failed {
                let delay = backoff.after_failure(row.attempts_failed.saturating_add(1));
                let failure = Failure { cause: RequeueCause::AttemptFailed, message: &release.message, delay };
                fail_attempt(&mut row, now, &failure)?
            } else if row.cancel_requested {
                let message = row.message.clone();
                close(&mut row, Actor::System, now, Ending::cancelled(message))?
            } else {
                let (cause, delay) = (RequeueCause::Released, Duration::ZERO);
                requeue(&mut row, now, &Failure { cause, message: &release.message, delay })?
            };
            record(transaction, &row, &[event])
        });
        let row = row.await?;
        shared.live.end(job, fence.attempt);
        shared.freed(&row);
        shared.view(row)
    }
}
