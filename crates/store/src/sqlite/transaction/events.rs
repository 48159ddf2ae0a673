//! Writing the log.

use crate::sqlite::Transaction;
use crate::{
    Error, NewEvent, limits,
    sqlite::column::{Columns, Id, integer, place},
};
use domain::{Cursor, EventHash, JobId, Link};
use rusqlite::{Connection, OptionalExtension};

pub(crate) const HEAD: &str = "SELECT job_key, head_seq, head_hash FROM jobs WHERE id = ?1";
pub(crate) const MOVE_HEAD: &str = "UPDATE jobs SET head_seq = ?2, head_hash = ?3 WHERE job_key = ?1";
const INSERT: &str = "INSERT INTO events (place, epoch, event_type, actor, attempt, at, payload, previous, hash) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

pub(crate) const PURGE_LATER: &str = "INSERT INTO purges (job_key, through_seq) \
     SELECT job_key, min(?2, head_seq) FROM jobs WHERE id = ?1 \
     ON CONFLICT (job_key) DO UPDATE SET through_seq = max(through_seq, excluded.through_seq)";
pub(crate) const NEXT_PURGE: &str = "SELECT job_key, through_seq FROM purges ORDER BY job_key LIMIT 1";
/// The last event of a step; none when what is left is less than a step.
pub(crate) const PURGE_STEP: &str =
    "SELECT place FROM events WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT 1 OFFSET ?3";
pub(crate) const PURGE: &str = "DELETE FROM events WHERE place > ?1 AND place <= ?2";
pub(crate) const PURGE_DONE: &str = "DELETE FROM purges WHERE job_key = ?1";

impl Transaction<'_> {
    /// Adds events to the end of a job's log: the next numbers, each linked to the hash before it. Says where the log
    /// ends now. Whoever watches the job hears of it after the COMMIT.
    pub fn append(&mut self, job: JobId, events: &[NewEvent]) -> Result<Cursor, Error> {
        let epoch = self.epoch();
        let head = self.run(|connection| {
            let mut statement = connection.prepare_cached(HEAD)?;
            let head = statement.query_row([job.blob()], |row| {
                let mut columns = Columns::of(row);
                Ok((columns.take::<i64>()?, columns.count()?, columns.hash()?))
            });
            head.optional()
        })?;
        let Some((key, mut seq, mut previous)) = head else { return Err(Error::NoSuchJob(job)) };
        if events.is_empty() {
            return Ok(Cursor { epoch, seq });
        }
        self.run(|connection| {
            let mut insert = connection.prepare_cached(INSERT)?;
            for event in events {
                seq += 1;
                let hash = link(job, epoch, seq, event, previous).hash();
                insert.execute((
                    place(key, seq),
                    epoch.0,
                    &event.event_type,
                    event.actor,
                    event.attempt,
                    event.at.as_millis(),
                    event.payload.as_str(),
                    previous.0,
                    hash.0,
                ))?;
                previous = hash;
            }
            connection.prepare_cached(MOVE_HEAD)?.execute((key, integer(seq), previous.0))
        })?;
        self.batch.heads.push((job, seq));
        Ok(Cursor { epoch, seq })
    }

    /// Lets the events up to and including `through_seq` be deleted, while their job is still there to be found.
    pub(super) fn purge(&mut self, job: JobId, through_seq: u64) -> Result<(), Error> {
        self.run(|connection| connection.prepare_cached(PURGE_LATER)?.execute((job.blob(), integer(through_seq))))?;
        self.batch.purge_pending = true;
        Ok(())
    }
}

fn link<'a>(job_id: JobId, epoch: domain::Epoch, seq: u64, event: &'a NewEvent, previous: EventHash) -> Link<'a> {
    Link {
        job_id,
        epoch,
        seq,
        event_type: &event.event_type,
        actor: event.actor,
        attempt: event.attempt,
        at: event.at,
        payload: &event.payload,
        previous,
    }
}

/// Deletes some of the events nobody can read any more. Says whether there are others.
pub(crate) fn purge_some(connection: &Connection) -> rusqlite::Result<bool> {
    let next: Option<(i64, u64)> = connection
        .prepare_cached(NEXT_PURGE)?
        .query_row((), |row| {
            let mut columns = Columns::of(row);
            Ok((columns.take()?, columns.count()?))
        })
        .optional()?;
    let Some((key, through)) = next else { return Ok(false) };
    let (first, last) = (place(key, 0), place(key, through));
    let step: Option<i64> = connection
        .prepare_cached(PURGE_STEP)?
        .query_row((first, last, integer(limits::PURGED_EVENTS_PER_COMMIT - 1)), |row| row.get(0))
        .optional()?;
    connection.prepare_cached(PURGE)?.execute((first, step.unwrap_or(last)))?;
    if step.is_none() {
        connection.prepare_cached(PURGE_DONE)?.execute([key])?;
    }
    Ok(true)
}
