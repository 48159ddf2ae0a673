//! Writing approvals.

use crate::sqlite::Transaction;
use crate::{
    ApprovalRow, Error,
    sqlite::column::{Id, millis},
};
use domain::{ApprovalId, JobId};

const INSERT: &str = "INSERT INTO approvals (id, job_id, principal, call_id, tool, arguments, arguments_sha256, \
     requested_at, decision, message, decided_by, decided_at) \
     SELECT ?1, id, principal, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM jobs WHERE id = ?2";
pub(crate) const UPDATE: &str =
    "UPDATE approvals SET decision = ?2, message = ?3, decided_by = ?4, decided_at = ?5 WHERE id = ?1";

pub(crate) const USE: &str = "UPDATE approvals SET used_by = ?2, used_in = ?3 WHERE id = ?1";
pub(crate) const SPEND: &str = "UPDATE approvals SET spent = 1 \
     WHERE job_id = ?1 AND (used_by = ?2 OR (used_by IS NULL AND call_id = ?2)) AND decision IS NOT NULL";

impl Transaction<'_> {
    pub fn insert_approval(&mut self, approval: &ApprovalRow) -> Result<(), Error> {
        let rows = self.run(|connection| {
            connection.prepare_cached(INSERT)?.execute((
                approval.id.blob(),
                approval.job_id.blob(),
                &approval.call_id,
                &approval.tool,
                &approval.arguments,
                &approval.arguments_sha256,
                approval.requested_at.as_millis(),
                &approval.decision,
                &approval.message,
                approval.decided_by.map(Id::blob),
                millis(approval.decided_at),
            ))
        })?;
        if rows == 0 { Err(Error::NoSuchJob(approval.job_id)) } else { Ok(()) }
    }

    /// Stores which call a decision answers, and in which attempt.
    pub fn use_approval(&mut self, id: ApprovalId, call_id: &str, attempt: u32) -> Result<(), Error> {
        self.run(|connection| connection.prepare_cached(USE)?.execute((id.blob(), call_id, attempt)))?;
        Ok(())
    }

    /// This call began or ended: what it was answered with answers no other.
    pub fn spend_approvals(&mut self, job: JobId, call_id: &str) -> Result<(), Error> {
        self.run(|connection| connection.prepare_cached(SPEND)?.execute((job.blob(), call_id)))?;
        Ok(())
    }

    /// Stores the decision; what was asked never changes. An approval that went with its job stays gone.
    pub fn update_approval(&mut self, approval: &ApprovalRow) -> Result<(), Error> {
        self.run(|connection| {
            connection.prepare_cached(UPDATE)?.execute((
                approval.id.blob(),
                &approval.decision,
                &approval.message,
                approval.decided_by.map(Id::blob),
                millis(approval.decided_at),
            ))
        })?;
        Ok(())
    }
}
