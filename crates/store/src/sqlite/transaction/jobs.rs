//! Writing jobs.

use crate::sqlite::Transaction;
use crate::{
    BatchId, Error, JobRow, limits,
    sqlite::column::{Id, integer, millis},
};
use domain::{JobId, Timestamp};
use rusqlite::named_params;

const INSERT: &str = "INSERT INTO jobs (id, principal, kind, state, head_seq, head_hash, revision, \
     reason, message, usage, priority, rank, not_before, attempt, attempts_failed, worker, worker_principal, \
     producer_seq, cancel_requested, retry_of, folders, running_ms, lease_epoch, created_at, updated_at, started_at, finished_at) \
     VALUES (:id, :principal, :kind, :state, :head_seq, :head_hash, :revision, \
     :reason, :message, :usage, :priority, :rank, :not_before, :attempt, :attempts_failed, :worker, :worker_principal, \
     :producer_seq, :cancel_requested, :retry_of, :folders, :running_ms, :lease_epoch, :created_at, :updated_at, :started_at, :finished_at)";
const INSERT_DOCUMENTS: &str = "INSERT INTO job_documents (job_key, result, spec) \
     VALUES ((SELECT job_key FROM jobs WHERE id = ?1), ?2, ?3)";

pub(crate) const UPDATE: &str = "UPDATE jobs SET state = :state, revision = :revision, reason = :reason, \
     message = :message, usage = :usage, priority = :priority, rank = :rank, not_before = :not_before, \
     attempt = :attempt, attempts_failed = :attempts_failed, worker = :worker, worker_principal = :worker_principal, \
     producer_seq = :producer_seq, cancel_requested = :cancel_requested, running_ms = :running_ms, \
     lease_epoch = :lease_epoch, recent_batches = CASE WHEN attempt = :attempt THEN recent_batches END, updated_at = :updated_at, started_at = :started_at, finished_at = :finished_at WHERE id = :id";
pub(crate) const UPDATE_RESULT: &str = "UPDATE job_documents SET result = ?2 \
     WHERE job_key = (SELECT job_key FROM jobs WHERE id = ?1) AND result IS NOT ?2";
pub(crate) const REMEMBER_BATCH: &str = "UPDATE jobs SET producer_seq = ?2, \
     recent_batches = substr(coalesce(recent_batches, '') || ?3, -?4) WHERE id = ?1";
pub(crate) const RECENT_BATCHES: &str = "SELECT recent_batches FROM jobs WHERE id = ?1";
pub(crate) const PROMOTE: &str = "UPDATE jobs SET not_before = NULL WHERE job_key IN \
     (SELECT job_key FROM jobs INDEXED BY jobs_delayed WHERE state = 'queued' AND not_before IS NOT NULL AND not_before <= ?1 \
      ORDER BY not_before LIMIT ?2)";

pub(crate) const DELETE: &str = "DELETE FROM jobs WHERE id = ?1";
const RAISE_REVISION_FLOOR: &str = "UPDATE store SET revision_floor = ?1 WHERE only_row = 1";

impl Transaction<'_> {
    /// Stores the row as it is, but for `revision`, which the store gives.
    pub fn insert_job(&mut self, job: &JobRow) -> Result<(), Error> {
        let revision = self.batch.next_revision();
        self.run(|connection| {
            connection.prepare_cached(INSERT)?.execute(named_params! {
                ":id": job.id.blob(),
                ":principal": job.principal.blob(),
                ":kind": job.kind.as_str(),
                ":state": job.state.as_str(),
                ":head_seq": integer(job.head_seq),
                ":head_hash": job.head_hash.0,
                ":revision": integer(revision),
                ":reason": job.reason.map(|reason| reason.as_str()),
                ":message": job.message,
                ":usage": job.usage,
                ":priority": job.priority,
                ":rank": job.rank,
                ":not_before": millis(job.not_before),
                ":attempt": job.attempt,
                ":attempts_failed": job.attempts_failed,
                ":worker": job.worker.map(Id::blob),
                ":worker_principal": job.worker_principal.map(Id::blob),
                ":producer_seq": integer(job.producer_seq),
                ":cancel_requested": job.cancel_requested,
                ":retry_of": job.retry_of.map(Id::blob),
                ":folders": job.folders,
                ":running_ms": integer(job.running_ms),
                ":lease_epoch": job.lease_epoch.map(|epoch| epoch.0),
                ":created_at": job.created_at.as_millis(),
                ":updated_at": job.updated_at.as_millis(),
                ":started_at": millis(job.started_at),
                ":finished_at": millis(job.finished_at),
            })?;
            connection.prepare_cached(INSERT_DOCUMENTS)?.execute((job.id.blob(), &job.result, &job.spec))?;
            Ok(())
        })
    }

    /// Stores what may change of a job: not its principal, kind, spec, folders, origin and creation time, and not the head,
    /// which [`Self::append`] keeps. So a row read before an append does not turn the head back. Gives the job a new revision.
    pub fn update_job(&mut self, job: &JobRow) -> Result<(), Error> {
        let revision = self.batch.next_revision();
        let rows = self.run(|connection| {
            let rows = connection.prepare_cached(UPDATE)?.execute(named_params! {
                ":id": job.id.blob(),
                ":state": job.state.as_str(),
                ":revision": integer(revision),
                ":reason": job.reason.map(|reason| reason.as_str()),
                ":message": job.message,
                ":usage": job.usage,
                ":priority": job.priority,
                ":rank": job.rank,
                ":not_before": millis(job.not_before),
                ":attempt": job.attempt,
                ":attempts_failed": job.attempts_failed,
                ":worker": job.worker.map(Id::blob),
                ":worker_principal": job.worker_principal.map(Id::blob),
                ":producer_seq": integer(job.producer_seq),
                ":cancel_requested": job.cancel_requested,
                ":running_ms": integer(job.running_ms),
                ":lease_epoch": job.lease_epoch.map(|epoch| epoch.0),
                ":updated_at": job.updated_at.as_millis(),
                ":started_at": millis(job.started_at),
                ":finished_at": millis(job.finished_at),
            })?;
            connection.prepare_cached(UPDATE_RESULT)?.execute((job.id.blob(), &job.result))?;
            Ok(rows)
        })?;
        existing(rows, job.id)
    }

    /// Stores how far an attempt's producer has come, and nothing else: the one thing that changes with every batch of
    /// events. The job keeps its revision, because nobody who lists jobs sees a difference.
    pub fn remember_batch(&mut self, job: JobId, batch: BatchId) -> Result<(), Error> {
        let rows = self.run(|connection| {
            let kept = (limits::REMEMBERED_BATCHES * DIGEST_DIGITS) as u64;
            let row = (job.blob(), integer(batch.producer_seq), digest_of(batch), integer(kept));
            connection.prepare_cached(REMEMBER_BATCH)?.execute(row)
        })?;
        existing(rows, job)
    }

    /// Whether a number that was stored before comes with the same events. What is too old to tell is none that anybody
    /// waits for an answer to.
    pub fn check_repeated(&self, job: JobId, last: u64, batch: BatchId) -> Result<(), Error> {
        let recent: Option<String> = self
            .run(|connection| connection.prepare_cached(RECENT_BATCHES)?.query_row([job.blob()], |row| row.get(0)))?;
        let back = usize::try_from(last - batch.producer_seq).unwrap_or(usize::MAX);
        let digests = recent.as_deref().unwrap_or_default().as_bytes().chunks_exact(DIGEST_DIGITS);
        match digests.rev().nth(back) {
            Some(digest) if digest == digest_of(batch).as_bytes() => Ok(()),
            Some(_) => Err(Error::ProducerConflict { producer_seq: batch.producer_seq }),
            None => Err(Error::ProducerForgotten { producer_seq: batch.producer_seq }),
        }
    }

    /// Makes delayed jobs ready whose time has come, the earliest first, and says how many: at most
    /// [`limits::PROMOTED_PER_CALL`], so after that many call again.
    pub fn promote_delayed(&mut self, now: Timestamp) -> Result<usize, Error> {
        self.run(|connection| {
            let rows = integer(limits::PROMOTED_PER_CALL as u64);
            connection.prepare_cached(PROMOTE)?.execute((now.as_millis(), rows))
        })
    }

    /// Removes a job with its log, approvals and artifacts, and after the COMMIT the content no other artifact names.
    /// The events disappear for readers at once and from the disk a few at a time.
    pub fn delete_job(&mut self, id: JobId) -> Result<(), Error> {
        let revision = self.batch.next_revision();
        let content = self.artifacts(id)?.into_iter().map(|artifact| artifact.sha256);
        self.batch.released_blobs.extend(content);
        self.purge(id, u64::MAX)?;
        let rows = self.run(|connection| {
            connection.prepare_cached(RAISE_REVISION_FLOOR)?.execute([integer(revision)])?;
            connection.prepare_cached(DELETE)?.execute([id.blob()])
        })?;
        existing(rows, id)
    }
}

/// Hex digits of a batch's digest that are kept: enough to notice a mistake.
const DIGEST_DIGITS: usize = 16;

fn digest_of(batch: BatchId) -> String {
    hex::encode(&batch.sha256[..DIGEST_DIGITS / 2])
}

fn existing(rows: usize, job: JobId) -> Result<(), Error> {
    if rows == 0 { Err(Error::NoSuchJob(job)) } else { Ok(()) }
}
