//! Requests for a person's decision.

use crate::sqlite::Reader;
use crate::{
    ApprovalFilter, ApprovalRow, Error, Page, limits,
    sqlite::{
        column::{Columns, Id, integer},
        reader::page::Room,
    },
    unreadable::reading,
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
/// ?1: only older than this id. ?2: rows. ?3: principal or NULL. ?4: whether pending, or NULL. ?5: the job.
pub(super) const OF_JOB: &str = select_approval!(
    "WHERE job_id = ?5 AND id < ?1 AND (?3 IS NULL OR principal = ?3) AND (?4 IS NULL OR (decision IS NULL) = ?4) \
     ORDER BY id DESC LIMIT ?2"
);
pub(super) const ALL: &str = select_approval!("WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const PENDING: &str = select_approval!("WHERE decision IS NULL AND id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const DECIDED: &str = select_approval!("WHERE decision IS NOT NULL AND id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const OF_PRINCIPAL: &str = select_approval!("WHERE principal = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const PENDING_OF_PRINCIPAL: &str =
    select_approval!("WHERE decision IS NULL AND principal = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2");
pub(super) const DECIDED_OF_PRINCIPAL: &str =
    select_approval!("WHERE decision IS NOT NULL AND principal = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2");

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

    /// What a job still waits for, newest first. A job asks one thing at a time.
    pub fn pending_approvals(&self, job: JobId) -> Result<Vec<ApprovalRow>, Error> {
        let (newest, rows) = ([0xff_u8; 16], integer(limits::ROWS_PER_PAGE as u64));
        self.run(|connection| {
            let mut statement = connection.prepare_cached(OF_JOB)?;
            let wanted = (newest, rows, None::<[u8; 16]>, true, job.blob());
            statement.query_map(wanted, approval_row)?.collect()
        })
    }

    /// A page of approvals, newest first.
    pub fn page_of_approvals(&self, filter: &ApprovalFilter) -> Result<Page<ApprovalRow>, Error> {
        let before = filter.before.map_or([0xff; 16], Id::blob);
        let room = Room::of(filter.limit).with_bytes(limits::APPROVALS_PAGE_BYTES);
        let (rows, principal) = (room.limit(), filter.principal.map(Id::blob));
        self.run(|connection| {
            let mut statement = connection.prepare_cached(match (filter.job, principal, filter.pending) {
                (Some(_), _, _) => OF_JOB,
                (None, None, None) => ALL,
                (None, None, Some(true)) => PENDING,
                (None, None, Some(false)) => DECIDED,
                (None, Some(_), None) => OF_PRINCIPAL,
                (None, Some(_), Some(true)) => PENDING_OF_PRINCIPAL,
                (None, Some(_), Some(false)) => DECIDED_OF_PRINCIPAL,
            })?;
            let found = match (filter.job, principal) {
                (Some(job), _) => statement.query((before, rows, principal, filter.pending, job.blob()))?,
                (None, Some(principal)) => statement.query((before, rows, principal))?,
                (None, None) => statement.query((before, rows))?,
            };
            let bytes = |row: &ApprovalRow| row.arguments.len() + row.message.as_ref().map_or(0, String::len);
            room.fill(found, approval_row, bytes)
        })
    }
}

fn approval_row(row: &Row<'_>) -> rusqlite::Result<ApprovalRow> {
    reading("approval", row, |row| {
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
    })
}
