//! Writing approvals.

use crate::{
    ApprovalRow, Error, Transaction,
    column::{Id, millis},
};

const INSERT: &str = "INSERT INTO approvals (id, job_id, principal, call_id, tool, arguments, arguments_sha256, \
     requested_at, decision, message, decided_by, decided_at) \
     SELECT ?1, id, principal, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 FROM jobs WHERE id = ?2";
pub(crate) const UPDATE: &str =
    "UPDATE approvals SET decision = ?2, message = ?3, decided_by = ?4, decided_at = ?5 WHERE id = ?1";

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
