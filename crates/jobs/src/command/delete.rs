//! Delete a finished job with everything it left behind.

use super::audit;
use crate::{Caller, Error, Handle};
use domain::{JobId, Scope};
use store::JobRow;

impl Handle {
    /// Removes the job, its log, approvals and artifacts, and the content of artifacts that no other job has.
    pub async fn delete(&self, caller: &Caller, job: JobId) -> Result<(), Error> {
        caller.must_be(Scope::User)?;
        let (caller, now) = (*caller, self.shared.now());
        let may_go = move |row: &JobRow| {
            if !caller.sees(row) {
                return Err(Error::no_job(job).into());
            }
            if !row.state.is_terminal() {
                let detail = "only a job that is over can be deleted; cancel it first".into();
                return Err(Error::WrongState { job, state: row.state, detail }.into());
            }
            Ok(audit(&caller, now, "job.delete", job))
        };
        Ok(self.shared.store.delete_job(job, Box::new(may_go)).await?)
    }
}
