//! Files an attempt hands in.

use super::Fence;
use crate::{Caller, Error, Handle, event::draft, handle::record, validate::Mistakes, view};
use bytes::Bytes;
use domain::JobId;
use futures_util::Stream;
use protocol::{Actor, Artifact, EventBody};
use std::io;
use store::ArtifactRow;

/// Artifacts of one job. A whole-output artifact per tool call of the longest job, and a bound.
const ARTIFACTS_PER_JOB: usize = 2_000;

impl Handle {
    /// Stores the content, fsynced, then the artifact that names it. The same name again replaces the artifact; the same
    /// artifact again, after an answer that got lost, is harmless.
    pub async fn put_artifact(
        &self,
        caller: &Caller,
        job: JobId,
        attempt: u32,
        name: &str,
        media_type: &str,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Artifact, Error> {
        let fence = Fence::new(caller, job, attempt)?;
        let mut mistakes = Mistakes::default();
        mistakes.artifact_name("/name", name);
        mistakes.media_type("/media_type", media_type);
        mistakes.into_result()?;
        let shared = &self.shared;
        // Refused before a gigabyte is read, and checked again when it is recorded.
        shared.store.read(move |reader| fence.check_head(reader)).await?;

        let blob = shared.store.blobs().put(body, shared.options.artifact_bytes).await?;
        let (now, ran_ms) = (shared.now(), shared.live.ran_ms(job, attempt));
        let (sha256, bytes) = (blob.sha256, blob.bytes);
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        let recorded = shared.store.write(move |transaction| {
            let mut row = fence.check(transaction)?;
            let before = transaction.artifact(job, &name)?;
            let repeats =
                |row: &ArtifactRow| (row.attempt, &row.sha256, &row.media_type) == (attempt, &sha256, &media_type);
            if let Some(row) = before.as_ref().filter(|row| repeats(row)) {
                return Ok(row.clone());
            }
            if before.is_none() && transaction.artifacts(job)?.len() >= ARTIFACTS_PER_JOB {
                let detail = format!("this job has {ARTIFACTS_PER_JOB} artifacts already, which is the limit");
                return Err(Error::invalid("/name", detail));
            }
            let artifact = ArtifactRow { job_id: job, name, media_type, bytes, sha256, attempt, created_at: now };
            transaction.put_artifact(&artifact)?;
            let event = EventBody::ArtifactCreated {
                name: artifact.name.clone(),
                media_type: artifact.media_type.clone(),
                bytes,
                sha256: artifact.sha256.clone(),
            };
            row.running_ms = ran_ms.unwrap_or(row.running_ms);
            record(transaction, &row, &[draft(Actor::Agent, attempt, now, event)?])?;
            Ok(artifact)
        });
        let artifact = recorded.await?;
        shared.live.heard(job, attempt);
        Ok(view::artifact(artifact))
    }
}
