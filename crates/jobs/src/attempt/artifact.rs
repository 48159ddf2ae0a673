//! Files an attempt hands in.

use super::fence;
use crate::{Caller, Error, Handle, event::draft, validate::Mistakes, view};
use bytes::Bytes;
use domain::{Epoch, JobId};
use futures_util::Stream;
use protocol::{Actor, Artifact, EventBody};
use std::io;
use store::{ArtifactPut, ArtifactRow, PutArtifact};

/// Artifacts of one job. A whole-output artifact per tool call of the longest job, and a bound.
const ARTIFACTS_PER_JOB: usize = 2_000;

impl Handle {
    /// Stores the content, fsynced, then the artifact that names it. The same name again replaces the artifact; the very
    /// same once more changes nothing.
    pub async fn put_artifact(
        &self,
        caller: &Caller,
        job: JobId,
        (epoch, attempt): (Epoch, u32),
        name: &str,
        media_type: &str,
        body: impl Stream<Item = io::Result<Bytes>> + Send,
    ) -> Result<Artifact, Error> {
        let fence = fence(caller, job, epoch, attempt)?;
        let mut mistakes = Mistakes::default();
        mistakes.artifact_name("/name", name);
        mistakes.media_type("/media_type", media_type);
        mistakes.into_result()?;
        let shared = &self.shared;
        // Refused before a gigabyte is read, and checked again when it is recorded.
        let head = shared.store.job_head(job).await?.ok_or_else(|| Error::no_job(job))?;
        fence.check(&head)?;

        // Not removed while this is held: to the end, when it is named.
        let blob = shared.store.blobs().put(body, shared.options.artifact_bytes).await?;
        let (now, running_ms) = (shared.now(), shared.live.ran_ms(job, attempt));
        let (sha256, bytes) = (blob.sha256, blob.bytes);
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        let created = EventBody::ArtifactCreated {
            name: name.clone(),
            media_type: media_type.clone(),
            bytes,
            sha256: sha256.clone(),
        };
        let event = draft(Actor::Agent, attempt, now, created)?;
        let artifact = ArtifactRow { job_id: job, name, media_type, bytes, sha256, attempt, created_at: now };
        let put = PutArtifact { fence, artifact, event, limit: ARTIFACTS_PER_JOB, running_ms };
        let stored = match shared.store.put_artifact(put).await? {
            ArtifactPut::Stored(artifact) | ArtifactPut::Repeated(artifact) => artifact,
            ArtifactPut::TooMany => {
                let detail = format!("this job has {ARTIFACTS_PER_JOB} artifacts already, which is the limit");
                return Err(Error::invalid("/name", detail));
            }
        };
        shared.live.heard(job, attempt);
        Ok(view::artifact(stored))
    }
}
