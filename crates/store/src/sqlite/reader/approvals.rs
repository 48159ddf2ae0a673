//! Requests for a person's decision.

use crate::{
    ApprovalFilter, ApprovalRow, Error, Reader, limits,
    sqlite::column::{Columns, Id, integer},
};
use domain::{ApprovalId, JobId};
use rusqlite::{OptionalExtension, Row};

macro_rules! select_approval {
    ($rest:literal) => {
        concat!(
            "SELECT id, job_id, call_id, tool, arguments, arguments_sha256, requested_at, decision, message, ",
            "decided_by, decided_at, used_by, used_in, spent FROM approvals ",
            $rest
        )
    };
}

pub(super) const BY_ID: &str = select_approval!("WHERE id = ?1");
pub(super) const BY_CALL: &str = select_approval!("WHERE job_id = ?1 AND call_id = ?2 ORDER BY id DESC LIMIT 1");
/// A decision on this very tool and these arguments that no call has begun with, and none still may: whoever was told of it
/// in an earlier attempt can begin nothing any more.
pub(super) const UNSPENT: &str = select_approval!(
    "WHERE job_id = ?1 AND arguments_sha256 = ?2 AND decision IS NOT NULL AND NOT spent \
     AND (used_in IS NULL OR used_in < ?3) ORDER BY id LIMIT 1"
);
/// The decision that was carried over to this call.
pub(super) const CARRIED_OVER: &str =
    select_approval!("WHERE job_id = ?1 AND used_by = ?2 AND call_id <> ?2 ORDER BY id DESC LIMIT 1");
/// ?1: only older than this id. ?2: rows. ?3: principal or NULL. ?4: only pending. ?5: the job.
pub(super) const OF_JOB: &str = select_approval!(
    "WHERE job_id = ?5 AND id < ?1 AND (?3 IS NULL OR principal = ?3) AND (NOT ?4 OR decision IS NULL) \
     ORDER BY id DESC LIMIT ?2"
);
pub(super) const ALL: &str = select_approval!("WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const PENDING: &str = select_approval!("WHERE decision IS NULL AND id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const OF_PRINCIPAL: &str = select_approval!("WHERE principal = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const PENDING_OF_PRINCIPAL: &str =
    select_approval!("WHERE decision IS NULL AND principal = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2");

impl Reader<'_> {
    pub fn approval(&self, id: ApprovalId) -> Result<Option<ApprovalRow>, Error> {
        self.run(|connection| connection.prepare_cached(BY_ID)?.query_row([id.blob()], approval_row).optional())
    }

    /// The newest approval asked for this call.
    pub fn approval_for_call(&self, job: JobId, call_id: &str) -> Result<Option<ApprovalRow>, Error> {
        self.run(|connection| {
            connection.prepare_cached(BY_CALL)?.query_row((job.blob(), call_id), approval_row).optional()
        })
    }

    /// A decision on the same tool and arguments that may still answer a call of this attempt.
    pub fn unspent_approval(
        &self,
        job: JobId,
        arguments_sha256: &str,
        attempt: u32,
    ) -> Result<Option<ApprovalRow>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(UNSPENT)?;
            statement.query_row((job.blob(), arguments_sha256, attempt), approval_row).optional()
        })
    }

    /// The decision on another call that this one was answered with.
    pub fn approval_carried_over(&self, job: JobId, call_id: &str) -> Result<Option<ApprovalRow>, Error> {
        self.run(|connection| {
            connection.prepare_cached(CARRIED_OVER)?.query_row((job.blob(), call_id), approval_row).optional()
        })
    }

    /// What a job waits for a person to decide: one thing at a time.
    pub fn pending_approvals(&self, job: JobId) -> Result<Vec<ApprovalRow>, Error> {
        self.approvals(&ApprovalFilter { job: Some(job), pending_only: true, ..ApprovalFilter::default() })
    }

    /// A page of approvals, newest first.
    pub fn approvals(&self, filter: &ApprovalFilter) -> Result<Vec<ApprovalRow>, Error> {
        let before = filter.before.map_or([0xff; 16], Id::blob);
        let rows = integer(filter.limit.min(limits::ROWS_PER_PAGE) as u64);
        let principal = filter.principal.map(Id::blob);
        self.run(|connection| {
            if let Some(job) = filter.job {
                let mut statement = connection.prepare_cached(OF_JOB)?;
                let wanted = (before, rows, principal, filter.pending_only, job.blob());
                return statement.query_map(wanted, approval_row)?.collect();
            }
            match (principal, filter.pending_only) {
                (None, false) => connection.prepare_cached(ALL)?.query_map((before, rows), approval_row)?.collect(),
                (None, true) => connection.prepare_cached(PENDING)?.query_map((before, rows), approval_row)?.collect(),
                (Some(principal), pending_only) => {
                    let sql = if pending_only { PENDING_OF_PRINCIPAL } else { OF_PRINCIPAL };
                    connection.prepare_cached(sql)?.query_map((before, rows, principal), approval_row)?.collect()
                }
            }
        })
    }
}

fn approval_row(row: &Row<'_>) -> rusqlite::Result<ApprovalRow> {
    let mut columns = Columns::of(row);
    Ok(ApprovalRow {
        id: columns.id()?,
        job_id: columns.id()?,
        call_id: columns.take()?,
        tool: columns.take()?,
        arguments: columns.take()?,
        arguments_sha256: columns.take()?,
        requested_at: columns.time()?,
        decision: columns.take()?,
        message: columns.take()?,
        decided_by: columns.id_or_null()?,
        decided_at: columns.time_or_null()?,
        used_by: columns.take()?,
        used_in: columns.take()?,
        spent: columns.take()?,
    })
}
