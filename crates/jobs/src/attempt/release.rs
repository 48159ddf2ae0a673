//! Hand a job back.

use super::fence;
use crate::{
    Caller, Error, Handle, last_words,
    lifecycle::{Failure, fail_attempt, hand_back},
    validate::MESSAGE_BYTES,
};
use domain::JobId;
use protocol::{Job, ReleaseJob, RequeueCause};
use store::{Found, JobHead, Urgency, Write};
use tokio::time::Instant;

impl Handle {
    /// Ends the attempt and not the job: somebody else goes on, at once or after a backoff if the attempt failed.
    pub async fn release(&self, caller: &Caller, job: JobId, release: ReleaseJob) -> Result<Job, Error> {
        let fence = fence(caller, job, release.epoch, release.attempt)?;
        let message = last_words::fit(&release.message, MESSAGE_BYTES);
        let failed = release.failed;
        let (now, backoff) = (self.shared.now(), self.shared.options.backoff);
        let (here, at) = (self.shared.clone(), Instant::now());
        here.live.line.heard(fence.principal);
        let ran_ms = self.shared.live.ran_ms(job, release.attempt);
        let release = move |found: &Found| {
            let mut row = found.job.clone();
            fence.check(&JobHead::from(&row))?;
            row.running_ms = ran_ms.unwrap_or(row.running_ms);
            let event = if failed {
                let delay = backoff.after_failure(row.attempts_failed.saturating_add(1));
                let failure = Failure { cause: RequeueCause::AttemptFailed, message: &message, delay };
                fail_attempt(&mut row, now, &failure)?
            } else {
                let event = hand_back(&mut row, now, &message)?;
                here.keep_back(&mut row, now, at);
                event
            };
            Ok(Some(Write::new(row, vec![event])))
        };
        self.carry_through(async move |shared| {
            let row = shared.store.change_job(job, Urgency::Relief, Box::new(release)).await?.job;
            shared.live.end(job, fence.attempt);
            if !failed {
                shared.kept_back(&row);
            }
            shared.freed(&row);
            shared.view(row)
        })
        .await
    }
}
