//! Repeat a finished job as a new one.

use super::{IdempotencyKey, Once, create::NewJob};
use crate::{Caller, Error, Handle, event::stored};
use domain::{JobId, Scope};
use protocol::Job;

impl Handle {
    /// A new job with the specification of `job`, which must be over, and `retry_of` pointing back to it.
    pub async fn retry(&self, caller: &Caller, job: JobId, key: Option<IdempotencyKey>) -> Result<Job, Error> {
        caller.must_be(Scope::User)?;
        let now = self.shared.now();
        let once = key.map(|key| Once::new(key, "job.retry", &job)).transpose()?.map(|once| once.of(caller, now));
        // Before anything else: the job may be gone by the time the same request comes again.
        if let Some(once) = &once
            && let Some(earlier) = self.shared.store.earlier_job(once.clone()).await?
        {
            return self.shared.repeated(earlier);
        }
        let row = self.visible(caller, job).await?;
        if !row.state.is_terminal() {
            let detail = "only a job that is over is repeated; cancel it first or wait for it to end".into();
            return Err(Error::WrongState { job, state: row.state, detail });
        }
        // With the rights of who asks now, which may be less than the first time.
        let spec = self.readable(caller, stored(job, "specification", &row.spec)?).await?;
        let new = NewJob::new(caller, spec, Some(job), now, "job.retry")?;
        self.insert(new, once).await
    }
}
