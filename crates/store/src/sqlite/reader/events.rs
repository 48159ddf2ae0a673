//! Pages of a job's log.

use crate::sqlite::Reader;
use crate::{
    Error, EventRow,
    sqlite::column::{Columns, Id, LAST_SEQ, integer, place, seq_of},
};
use domain::{CanonicalJson, Epoch, JobId};
use rusqlite::{OptionalExtension, Row};

pub(super) const LOG: &str = "SELECT job_key FROM jobs WHERE id = ?1";
pub(super) const PAGE: &str = "SELECT place, epoch, event_type, actor, attempt, at, payload, previous, hash FROM events \
     WHERE place > ?1 AND place <= ?2 ORDER BY place LIMIT ?3";

impl Reader<'_> {
    /// The events after `after_seq`, in order: at most `max_rows`, and no further one once their payloads pass
    /// `max_bytes` (so a page has at least one event if there is one). Nothing of a job that does not exist.
    pub fn events(
        &self,
        job: JobId,
        after_seq: u64,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Vec<EventRow>, Error> {
        self.run(|connection| {
            // What is deleted may still lie in the table for a moment.
            let key: Option<i64> =
                connection.prepare_cached(LOG)?.query_row([job.blob()], |row| row.get(0)).optional()?;
            let Some(key) = key else { return Ok(Vec::new()) };
            let mut statement = connection.prepare_cached(PAGE)?;
            let after = place(key, after_seq);
            let mut rows = statement.query((after, place(key, LAST_SEQ), integer(max_rows as u64)))?;
            let (mut events, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let event = event_row(job, row)?;
                bytes += event.payload.as_str().len();
                events.push(event);
                if bytes >= max_bytes {
                    break;
                }
            }
            Ok(events)
        })
    }
}

fn event_row(job_id: JobId, row: &Row<'_>) -> rusqlite::Result<EventRow> {
    let mut columns = Columns::of(row);
    Ok(EventRow {
        job_id,
        seq: seq_of(columns.take()?),
        epoch: Epoch(columns.take()?),
        event_type: columns.take()?,
        actor: columns.take()?,
        attempt: columns.take()?,
        at: columns.time()?,
        payload: CanonicalJson::from_store(columns.take()?),
        previous: columns.hash()?,
        hash: columns.hash()?,
    })
}
