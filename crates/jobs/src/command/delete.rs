//! Delete a finished job with everything it left behind.

use super::audit;
use crate::{Caller, Error, Handle, handle::found};
use domain::{JobId, Scope};

impl Handle {
    /// Removes the job, its log, approvals and artifacts, and the content of artifacts that no other job has.
    pub async fn delete(&self, caller: &Caller, job: JobId) -> Result<(), Error> {
        caller.must_be(Scope::User)?;
        let (caller, now) = (*caller, self.shared.now());
        let deleted = self.shared.store.relieve(move |transaction| {
            let row = found(transaction, job)?;
            if !caller.sees(&row) {
                return Err(Error::no_job(job));
            }
            if !row.state.is_terminal() {
                let detail = "only a job that is over can be deleted; cancel it first".into();
                return Err(Error::WrongState { job, state: row.state, detail });
            }
            transaction.delete_job(job)?;
            transaction.audit(&audit(&caller, now, "job.delete", job))?;
            Ok(())
        });
        deleted.await
    }
}
