//! What jobs produced, and which content is still named by one of them.

use crate::sqlite::Reader;
use crate::{
    ArtifactRow, ContentPlace, Error, Page, limits,
    sqlite::{
        column::{Columns, Id, integer},
        reader::page::Room,
    },
    unreadable::{pass_over, reading},
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
pub(super) const BY_DIGEST: &str =
    select_artifact!("WHERE (sha256, job_id, name) > (?1, ?2, ?3) ORDER BY sha256, job_id, name LIMIT ?4");
pub(super) const PAGE_OF_JOB: &str = select_artifact!("WHERE job_id = ?1 AND name > ?2 ORDER BY name LIMIT ?3");
pub(super) const IN_USE: &str = "SELECT EXISTS (SELECT 1 FROM artifacts WHERE sha256 = ?1)";

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

    /// A page of a job's artifacts, by name.
    pub fn page_of_artifacts(&self, job: JobId, after: Option<&str>, limit: usize) -> Result<Page<ArtifactRow>, Error> {
        let room = Room::of(limit);
        self.run(|connection| {
            let mut statement = connection.prepare_cached(PAGE_OF_JOB)?;
            // No name is empty.
            let found = statement.query((job.blob(), after.unwrap_or_default(), room.limit()))?;
            room.fill(found, artifact_row, |row| row.name.len() + row.media_type.len())
        })
    }

    pub fn blob_in_use(&self, sha256: &str) -> Result<bool, Error> {
        self.run(|connection| connection.prepare_cached(IN_USE)?.query_row([sha256], |row| row.get(0)))
    }

    /// Everything artifacts name, in the order of digests, after this place.
    pub fn named_content(&self, after: Option<&ContentPlace>, limit: usize) -> Result<Vec<ArtifactRow>, Error> {
        let limit = limit.min(limits::ROWS_PER_PAGE);
        let rows = integer((limit + limits::UNREADABLE_PER_PAGE) as u64);
        let place =
            after.map_or(("", [0; 16], ""), |place| (place.sha256.as_str(), place.job_id.blob(), place.name.as_str()));
        self.run(|connection| {
            let mut statement = connection.prepare_cached(BY_DIGEST)?;
            let found = statement.query_map((place.0, place.1, place.2, rows), artifact_row)?;
            found.filter_map(pass_over).take(limit).collect()
        })
    }
}

fn artifact_row(row: &Row<'_>) -> rusqlite::Result<ArtifactRow> {
    reading("an artifact of job", row, |row| {
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
    })
}
