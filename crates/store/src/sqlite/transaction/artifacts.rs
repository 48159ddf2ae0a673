//! Writing artifacts.

use crate::{
    ArtifactRow, Error, Transaction,
    sqlite::column::{Id, integer},
};

const PUT: &str = "INSERT INTO artifacts (job_id, name, media_type, bytes, sha256, attempt, created_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
     ON CONFLICT (job_id, name) DO UPDATE SET media_type = excluded.media_type, bytes = excluded.bytes, \
     sha256 = excluded.sha256, attempt = excluded.attempt, created_at = excluded.created_at";

impl Transaction<'_> {
    /// Names stored content for a job, in place of what had that name. [`Error::BlobMissing`] when the content is not
    /// there: then nobody has stored it, or the last other artifact with it went since.
    pub fn put_artifact(&mut self, artifact: &ArtifactRow) -> Result<(), Error> {
        // Content is removed on this thread and only after a COMMIT, so what is there now outlives this batch.
        if !self.blobs.path(&artifact.sha256)?.is_file() {
            return Err(Error::BlobMissing(artifact.sha256.clone()));
        }
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
}
