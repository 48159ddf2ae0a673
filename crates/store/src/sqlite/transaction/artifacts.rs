//! Writing artifacts, and what is known of their content.

use crate::sqlite::Transaction;
use crate::{
    ArtifactRow, Blobs, Error, limits,
    sqlite::column::{Id, integer},
};
use rusqlite::Connection;

const PUT: &str = "INSERT INTO artifacts (job_id, name, media_type, bytes, sha256, attempt, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT (job_id, name) DO UPDATE SET media_type = excluded.media_type, bytes = excluded.bytes, \
     sha256 = excluded.sha256, attempt = excluded.attempt, created_at = excluded.created_at";

pub(crate) const REGISTER: &str =
    "INSERT INTO blobs (sha256, bytes, artifacts) VALUES (?1, ?2, 0) ON CONFLICT (sha256) DO NOTHING";
pub(crate) const UNNAMED: &str = "SELECT sha256 FROM blobs WHERE artifacts = 0";
pub(crate) const FORGET: &str = "DELETE FROM blobs WHERE sha256 = ?1 AND artifacts = 0";

impl Transaction<'_> {
    /// Names stored content for a job, in place of what had that name. [`Error::BlobMissing`] when the content is not
    /// there: then nobody has stored it, or the last other artifact with it went since.
    pub fn put_artifact(&mut self, artifact: &ArtifactRow) -> Result<(), Error> {
        // Content is removed on this thread and only after a COMMIT, so what is there now outlives this batch.
        if !self.blobs.path(&artifact.sha256)?.is_file() {
            return Err(Error::BlobMissing(artifact.sha256.clone()));
        }
        // Known already, unless the file came here in another way.
        self.register_blobs(&[(artifact.sha256.clone(), artifact.bytes)])?;
        if let Some(replaced) = self.artifact(artifact.job_id, &artifact.name)? {
            self.batch.released_blobs.push(replaced.sha256);
        }
        self.run(|connection| {
            connection.prepare_cached(PUT)?.execute((
                artifact.job_id.blob(),
                &artifact.name,
                &artifact.media_type,
                integer(artifact.bytes),
                &artifact.sha256,
                artifact.attempt,
                artifact.created_at.as_millis(),
            ))
        })?;
        Ok(())
    }

    /// Says how many were not known.
    pub fn register_blobs(&mut self, files: &[(String, u64)]) -> Result<usize, Error> {
        self.run(|connection| {
            let mut register = connection.prepare_cached(REGISTER)?;
            files.iter().map(|(sha256, bytes)| register.execute((sha256, integer(*bytes)))).sum()
        })
    }

    /// Has content that no artifact names removed after the COMMIT, and in those that follow.
    pub(crate) fn sweep_blobs(&mut self) {
        self.batch.sweep_pending = true;
    }
}

/// Content that nobody names or needs, at most [`limits::SWEPT_PER_COMMIT`] of it. Its files go after the COMMIT.
pub(crate) fn unnamed(connection: &Connection, blobs: &Blobs) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(UNNAMED)?;
    let mut rows = statement.query(())?;
    let mut unnamed = Vec::new();
    while let Some(row) = rows.next()? {
        let sha256: String = row.get(0)?;
        // Few are needed: uploads that are being recorded.
        if blobs.is_free(&sha256) {
            unnamed.push(sha256);
        }
        if unnamed.len() >= limits::SWEPT_PER_COMMIT {
            break;
        }
    }
    Ok(unnamed)
}

/// Forgets content whose file is gone, unless it came back.
pub(crate) fn forget(connection: &Connection, sha256: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(FORGET)?.execute([sha256]).map(drop)
}
