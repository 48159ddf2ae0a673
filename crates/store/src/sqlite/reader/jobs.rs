//! Jobs: one, a page, the queue.

use crate::sqlite::Reader;
use crate::{
    Error, JobFilter, JobHead, JobRow, Page, limits,
    sqlite::column::{Columns, Id, integer},
    unreadable::{pass_over, reading},
};
use domain::{Epoch, JobId, JobKind, JobState, PrincipalId, Timestamp};
use rusqlite::{OptionalExtension, Row};

macro_rules! select_job {
    ($rest:literal) => {
        concat!(
            "SELECT j.id, j.principal, j.kind, j.state, j.reason, j.message, d.spec, d.result, j.usage, j.priority, ",
            "j.rank, j.not_before, j.attempt, j.attempts_failed, j.worker, j.worker_principal, j.producer_seq, ",
            "j.cancel_requested, j.retry_of, j.folders, j.running_ms, j.lease_epoch, j.head_seq, j.head_hash, j.revision, ",
            "j.created_at, j.updated_at, j.started_at, j.finished_at ",
            "FROM jobs j JOIN job_documents d ON d.job_key = j.job_key ",
            $rest
        )
    };
}

pub(super) const BY_ID: &str = select_job!("WHERE j.id = ?1");
pub(super) const HEAD_BY_ID: &str = "SELECT id, principal, state, attempt, worker_principal, producer_seq, head_seq, \
     lease_epoch FROM jobs WHERE id = ?1";
pub(super) const EXISTS: &str = "SELECT 1 FROM jobs WHERE id = ?1";
pub(super) const BY_KEY: &str = select_job!("WHERE j.job_key = ?1");
pub(super) const CHANGED_AFTER: &str = select_job!("WHERE j.revision > ?1 ORDER BY j.revision LIMIT ?2");
pub(super) const RUNNING: &str = select_job!("WHERE j.state = 'running' ORDER BY j.kind, j.id");
pub(super) const FINISHED_BEFORE: &str =
    "SELECT id FROM jobs WHERE finished_at < ?1 AND finished_at IS NOT NULL ORDER BY finished_at LIMIT ?2";

pub(super) const PAGE_OF_ALL: &str = "SELECT id FROM jobs WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3";
pub(super) const PAGE_BY_STATE: &str =
    "SELECT id FROM jobs WHERE state = ?4 AND kind = ?5 AND id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3";
pub(super) const PAGE_BY_PRINCIPAL: &str = "SELECT id FROM jobs WHERE principal = ?6 AND state = ?4 AND kind = ?5 \
     AND id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT ?3";

/// The first ready job after a place in the order of principals, ranks and keys: one step down the index, however long the
/// queue. The index is named, because the planner does not know how few jobs it holds.
pub(super) const NEXT_READY: &str = "SELECT principal, rank, job_key FROM jobs INDEXED BY jobs_ready \
     WHERE state = 'queued' AND not_before IS NULL AND (principal, rank, job_key) > (?1, ?2, ?3) \
     ORDER BY principal, rank, job_key LIMIT 1";
pub(super) const RUNNING_COUNT: &str = "SELECT count(*) FROM jobs WHERE principal = ?1 AND state = 'running'";
pub(super) const NEXT_DELAYED: &str = "SELECT not_before FROM jobs INDEXED BY jobs_delayed \
     WHERE state = 'queued' AND not_before IS NOT NULL ORDER BY not_before LIMIT 1";
/// The newest revision there is or was: deleting the newest job must not give its number away again.
pub(super) const REVISION: &str = "SELECT max((SELECT coalesce(max(revision), 0) FROM jobs), \
     (SELECT revision_floor FROM store WHERE only_row = 1))";

/// Each a step down an index.
pub(super) const NEWEST_CHANGE: &str = "SELECT max(at) FROM (\
     SELECT (SELECT updated_at FROM jobs ORDER BY revision DESC LIMIT 1) AS at \
     UNION ALL SELECT (SELECT at FROM audit ORDER BY seq DESC LIMIT 1) \
     UNION ALL SELECT (SELECT at FROM model_calls ORDER BY id DESC LIMIT 1))";

impl Reader<'_> {
    pub fn job(&self, id: JobId) -> Result<Option<JobRow>, Error> {
        self.run(|connection| connection.prepare_cached(BY_ID)?.query_row([id.blob()], job_row).optional())
    }

    /// [`Self::job`] for the hot paths.
    pub fn job_head(&self, id: JobId) -> Result<Option<JobHead>, Error> {
        self.run(|connection| {
            let mut statement = connection.prepare_cached(HEAD_BY_ID)?;
            statement.query_row([id.blob()], job_head).optional()
        })
    }

    pub fn has_job(&self, id: JobId) -> Result<bool, Error> {
        self.run(|connection| connection.prepare_cached(EXISTS)?.exists([id.blob()]))
    }

    /// A page of jobs, newest first.
    pub fn page_of_jobs(&self, filter: &JobFilter) -> Result<Page<JobRow>, Error> {
        let limit = filter.limit.min(limits::ROWS_PER_PAGE);
        let (mut rows, mut bytes, mut passed_over) = (Vec::new(), 0, 0);
        let mut filter = filter.clone();
        loop {
            let ids = self.job_ids(&filter, limit + 1)?;
            for id in &ids {
                let row = match self.job(*id) {
                    Err(Error::Unreadable(row)) => {
                        row.log_once();
                        passed_over += 1;
                        continue;
                    }
                    row => row?,
                };
                let Some(row) = row else { continue };
                bytes += row.spec.len() + row.result.as_ref().map_or(0, String::len);
                if rows.len() == limit || (bytes > limits::PAGE_BYTES && !rows.is_empty()) {
                    return Ok(Page { rows, more: true });
                }
                rows.push(row);
            }
            // In the place of those that cannot be read come the ones after them.
            filter.before = ids.last().copied();
            if ids.len() <= limit || passed_over > limits::UNREADABLE_PER_PAGE {
                return Ok(Page { rows, more: false });
            }
        }
    }

    fn job_ids(&self, filter: &JobFilter, limit: usize) -> Result<Vec<JobId>, Error> {
        let Some((lowest, highest)) = id_range(filter) else { return Ok(Vec::new()) };
        let rows = integer(limit as u64);
        // The indexes go by state and kind before id, so each pair is one sorted range: read the newest of each, then
        // take the newest of all. At most twelve ranges, whatever the number of jobs.
        self.run(|connection| {
            if filter.principal.is_none() && filter.state.is_none() && filter.kind.is_none() {
                let mut statement = connection.prepare_cached(PAGE_OF_ALL)?;
                return statement.query_map((lowest, highest, rows), job_id)?.collect();
            }
            let mut ids: Vec<JobId> = Vec::new();
            for state in JobState::ALL.iter().filter(|state| filter.state.is_none_or(|wanted| wanted == **state)) {
                for kind in JobKind::ALL.iter().filter(|kind| filter.kind.is_none_or(|wanted| wanted == **kind)) {
                    let (state, kind) = (state.as_str(), kind.as_str());
                    if let Some(owner) = filter.principal {
                        let mut statement = connection.prepare_cached(PAGE_BY_PRINCIPAL)?;
                        let range = (lowest, highest, rows, state, kind, owner.blob());
                        ids.extend(statement.query_map(range, job_id)?.collect::<Result<Vec<_>, _>>()?);
                    } else {
                        let mut statement = connection.prepare_cached(PAGE_BY_STATE)?;
                        let range = (lowest, highest, rows, state, kind);
                        ids.extend(statement.query_map(range, job_id)?.collect::<Result<Vec<_>, _>>()?);
                    }
                }
            }
            ids.sort_unstable_by(|a, b| b.cmp(a));
            ids.truncate(limit);
            Ok(ids)
        })
    }

    /// Jobs inserted or updated after `revision`, in that order.
    pub fn jobs_changed_after(&self, revision: u64, limit: usize) -> Result<Vec<JobRow>, Error> {
        let limit = limit.min(limits::ROWS_PER_PAGE);
        let rows = integer((limit + limits::UNREADABLE_PER_PAGE) as u64);
        self.run(|connection| {
            let mut statement = connection.prepare_cached(CHANGED_AFTER)?;
            statement.query_map((integer(revision), rows), job_row)?.filter_map(pass_over).take(limit).collect()
        })
    }

    /// Every job in state `running`; as many as there are attempts under a lease.
    pub fn running(&self) -> Result<Vec<JobRow>, Error> {
        self.run(|connection| {
            connection.prepare_cached(RUNNING)?.query_map((), job_row)?.filter_map(pass_over).collect()
        })
    }

    pub fn running_count(&self, principal: PrincipalId) -> Result<u64, Error> {
        self.run(|connection| {
            connection.prepare_cached(RUNNING_COUNT)?.query_row([principal.blob()], |row| Columns::of(row).count())
        })
    }

    /// The job to start next: of the principals that have a ready job and are not excluded, the one with the fewest
    /// running jobs; among equals and within one principal, the lowest rank.
    ///
    /// So a principal with a million queued jobs takes its share and no more, and priorities order a principal's own
    /// work first. Costs one index step per principal with ready jobs, however long the queue.
    ///
    /// Passes over up to [`limits::UNREADABLE_IN_QUEUE`] jobs that cannot be read.
    pub fn next_ready(&self, excluded: &[PrincipalId]) -> Result<Option<JobRow>, Error> {
        let mut unreadable = Vec::new();
        loop {
            let Some(key) = self.first_ready(excluded, &unreadable)? else { return Ok(None) };
            match self.run(|connection| connection.prepare_cached(BY_KEY)?.query_row([key], job_row).optional()) {
                Err(Error::Unreadable(row)) if unreadable.len() < limits::UNREADABLE_IN_QUEUE => {
                    row.log_once();
                    unreadable.push(key);
                }
                row => return row,
            }
        }
    }

    fn first_ready(&self, excluded: &[PrincipalId], unreadable: &[i64]) -> Result<Option<i64>, Error> {
        let mut best: Option<(u64, i64, i64)> = None;
        let mut after = (Vec::new(), i64::MIN, i64::MIN); // before every principal
        loop {
            let found = self.run(|connection| {
                let mut statement = connection.prepare_cached(NEXT_READY)?;
                let place = statement.query_row((&after.0, after.1, after.2), |row| {
                    let mut columns = Columns::of(row);
                    Ok((columns.id::<PrincipalId>()?, columns.take()?, columns.take()?))
                });
                place.optional()
            })?;
            let Some((principal, rank, key)) = found else { return Ok(best.map(|(_, _, key)| key)) };
            if unreadable.contains(&key) {
                after = (principal.blob().to_vec(), rank, key);
                continue;
            }
            after = (principal.blob().to_vec(), i64::MAX, i64::MAX);
            if excluded.contains(&principal) {
                continue;
            }
            let candidate = (self.running_count(principal)?, rank, key);
            if best.is_none_or(|best| candidate < best) {
                best = Some(candidate);
            }
        }
    }

    /// When the next delayed job becomes ready.
    pub fn next_delayed(&self) -> Result<Option<Timestamp>, Error> {
        self.run(|connection| {
            connection.prepare_cached(NEXT_DELAYED)?.query_row((), |row| Columns::of(row).time()).optional()
        })
    }

    /// Jobs that ended before this time, oldest first.
    pub fn expired_jobs(&self, finished_before: Timestamp, limit: usize) -> Result<Vec<JobId>, Error> {
        let rows = integer(limit.min(limits::ROWS_PER_PAGE) as u64);
        self.run(|connection| {
            let mut statement = connection.prepare_cached(FINISHED_BEFORE)?;
            statement.query_map((finished_before.as_millis(), rows), job_id)?.collect()
        })
    }

    /// When anything was last written that bears a time.
    pub fn newest_change(&self) -> Result<Option<Timestamp>, Error> {
        self.run(|connection| {
            connection.prepare_cached(NEWEST_CHANGE)?.query_row((), |row| Columns::of(row).time_or_null())
        })
    }

    /// The newest revision any job has or had.
    pub fn revision(&self) -> Result<u64, Error> {
        self.run(|connection| connection.prepare_cached(REVISION)?.query_row((), |row| Columns::of(row).count()))
    }
}

/// The ids a page may hold, lowest and highest; `None` when there can be none.
fn id_range(filter: &JobFilter) -> Option<([u8; 16], [u8; 16])> {
    let (mut lowest, mut highest) = (0, u128::MAX);
    if let Some(prefix) = &filter.id_prefix {
        let digits: String = prefix.chars().filter(|character| *character != '-').collect();
        if digits.len() > 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        lowest = u128::from_str_radix(&format!("{digits:0<32}"), 16).ok()?;
        highest = u128::from_str_radix(&format!("{digits:f<32}"), 16).ok()?;
    }
    if let Some(before) = filter.before {
        highest = highest.min(before.0.as_u128().checked_sub(1)?);
    }
    (lowest <= highest).then(|| (lowest.to_be_bytes(), highest.to_be_bytes()))
}

fn job_id(row: &Row<'_>) -> rusqlite::Result<JobId> {
    Columns::of(row).id()
}

fn job_head(row: &Row<'_>) -> rusqlite::Result<JobHead> {
    reading("job", row, |row| {
        let mut columns = Columns::of(row);
        let _id: JobId = columns.id()?;
        Ok(JobHead {
            principal: columns.id()?,
            state: columns.name()?,
            attempt: columns.take()?,
            worker_principal: columns.id_or_null()?,
            producer_seq: columns.count()?,
            head_seq: columns.count()?,
            lease_epoch: columns.take::<Option<u32>>()?.map(Epoch),
        })
    })
}

fn job_row(row: &Row<'_>) -> rusqlite::Result<JobRow> {
    reading("job", row, |row| {
        let mut columns = Columns::of(row);
        Ok(JobRow {
            id: columns.id()?,
            principal: columns.id()?,
            kind: columns.name()?,
            state: columns.name()?,
            reason: columns.name_or_null()?,
            message: columns.take()?,
            spec: columns.take()?,
            result: columns.take()?,
            usage: columns.take()?,
            priority: columns.take()?,
            rank: columns.take()?,
            not_before: columns.time_or_null()?,
            attempt: columns.take()?,
            attempts_failed: columns.take()?,
            worker: columns.id_or_null()?,
            worker_principal: columns.id_or_null()?,
            producer_seq: columns.count()?,
            cancel_requested: columns.take()?,
            retry_of: columns.id_or_null()?,
            folders: columns.take()?,
            running_ms: columns.count()?,
            lease_epoch: columns.take::<Option<u32>>()?.map(Epoch),
            head_seq: columns.count()?,
            head_hash: columns.hash()?,
            revision: columns.count()?,
            created_at: columns.time()?,
            updated_at: columns.time()?,
            started_at: columns.time_or_null()?,
            finished_at: columns.time_or_null()?,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(prefix: &str) -> Option<(String, String)> {
        let filter = JobFilter { id_prefix: Some(prefix.into()), ..JobFilter::default() };
        id_range(&filter).map(|(low, high)| (hex::encode(low), hex::encode(high)))
    }

    #[test]
    fn a_prefix_is_a_range_of_ids() {
        let (low, high) = range("019A2b3c-00").unwrap();
        assert_eq!(low, "019a2b3c000000000000000000000000");
        assert_eq!(high, "019a2b3c00ffffffffffffffffffffff");
        assert_eq!(range("").unwrap().1, "f".repeat(32));
        for impossible in ["x", "01'--", "é", &"0".repeat(33)] {
            assert_eq!(range(impossible), None, "{impossible}");
        }
    }

    #[test]
    fn the_first_id_has_nothing_before_it() {
        let filter = JobFilter { before: Some(JobId(uuid::Uuid::nil())), ..JobFilter::default() };
        assert_eq!(id_range(&filter), None);
    }
}
