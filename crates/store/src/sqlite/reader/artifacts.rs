//! What jobs produced, and which content is still named by one of them.

use crate::{
    ArtifactRow, Error, Reader, limits,
    sqlite::column::{Columns, Id, integer},
};
use domain::JobId;
use rusqlite::{OptionalExtension, Row};

macro_rules! select_artifact {
    ($rest:literal) => {
        concat!("SELECT job_id, name, media_type, bytes, sha256, attempt, created_at FROM artifacts ", $rest)
    };
}

pub(super) const BY_NAME: &str = select_artifact!("WHERE job_id = ?1 AND name = ?2");
pub(super) const OF_JOB: &str = select_artifact!("WHERE job_id = ?1 ORDER BY name");
pub(super) const IN_USE: &str = "SELECT EXISTS (SELECT 1 FROM artifacts WHERE sha256 = ?1)";
pub(super) const DIGESTS: &str = "SELECT DISTINCT sha256 FROM artifacts WHERE sha256 > ?1 ORDER BY sha256 LIMIT ?2";

impl Reader<'_> {
    pub fn artifact(&self, job: JobId, name: &str) -> Result<Option<ArtifactRow>, Error> {
        self.run(|connection| {
            connection.prepare_cached(BY_NAME)?.query_row((job.blob(), name), artifact_row).optional()
        })
    }

    /// Every artifact of a job, by name.
    pub fn artifacts(&self, job: JobId) -> Result<Vec<ArtifactRow>, Error> {
        self.run(|connection| connection.prepare_cached(OF_JOB)?.query_map([job.blob()], artifact_row)?.collect())
    }

    pub fn blob_in_use(&self, sha256: &str) -> Result<bool, Error> {
        self.run(|connection| connection.prepare_cached(IN_USE)?.query_row([sha256], |row| row.get(0)))
    }

    /// The digests artifacts name, each once and sorted, after `after` (empty for the first page).
    pub fn blob_digests(&self, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let rows = integer(limit.min(limits::ROWS_PER_PAGE) as u64);
        self.run(|connection| connection.prepare_cached(DIGESTS)?.query_map((after, rows), |row| row.get(0))?.collect())
    }
}

fn artifact_row(row: &Row<'_>) -> rusqlite::Result<ArtifactRow> {
    let mut columns = Columns::of(row);
    Ok(ArtifactRow {
        job_id: columns.id()?,
        name: columns.take()?,
        media_type: columns.take()?,
        bytes: columns.count()?,
        sha256: columns.take()?,
        attempt: columns.take()?,
        created_at: columns.time()?,
    })
}
