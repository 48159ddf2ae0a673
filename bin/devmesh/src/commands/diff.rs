//! `devmesh diff`: a job's patch.

use crate::{
    commands::pages::{self, Ask},
    context::Context,
    output::{Exit, Failure, Result, write_patch},
};
use client::Client;
use protocol::{Artifact, Job, ListAll};
use sha2::{Digest, Sha256};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Job id, or the beginning of one
    job: String,
}

/// Largest patch held in memory, in bytes: what the backend takes as one file by default.
const LARGEST_PATCH: usize = 64 * 1024 * 1024;

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let client = context.client()?;
    let job = context.job(&client, &arguments.job).await?;
    let patch = patch_of(&client, &job).await?;
    if context.output.json {
        let result = job.result.unwrap_or_default();
        let text = String::from_utf8_lossy(&patch);
        context.output.json(&serde_json::json!({"job_id": job.id, "base_commit": result.base_commit, "branch": result.branch, "patch": text}))?;
        return Ok(Exit::Done);
    }
    write_patch(&context.output, &patch)?;
    context.output.next(format_args!("devmesh apply {}", super::short(job.id)));
    Ok(Exit::Done)
}

/// The patch, or why there is none.
pub(super) async fn patch_of(client: &Client, job: &Job) -> Result<Vec<u8>> {
    let Some(name) = job.result.as_ref().and_then(|result| result.patch_artifact.as_deref()) else {
        let failure = if job.state.is_terminal() {
            Failure::new(Exit::NotFound, format!("job {} changed nothing, so it has no patch", job.id))
                .next(format!("devmesh jobs show {}", job.id))
        } else {
            Failure::new(Exit::NotFound, format!("job {} is {}; its patch comes with its end", job.id, job.state))
                .next(format!("devmesh attach {}", job.id))
        };
        return Err(failure);
    };
    let read = pages::every(
        |artifact: &Artifact| artifact.name == *name,
        async |ask: Ask| {
            let list = ListAll { limit: ask.limit, cursor: ask.cursor };
            client.artifacts(job.id, &list).await.map(|page| (page.artifacts, page.next_cursor))
        },
    );
    let Some(recorded) = read.await?.pop() else {
        let what = format!("job {} handed in a patch named `{name}`, and it has no such artifact any more", job.id);
        return Err(Failure::new(Exit::NotFound, what).next(format!("devmesh verify {}", super::short(job.id))));
    };
    let stream = client.artifact(job.id, name).await?;
    if stream.length().is_some_and(|length| length > LARGEST_PATCH as u64) {
        return Err(Failure::failed(format!("the patch is larger than {LARGEST_PATCH} bytes")));
    }
    let mut patch = Vec::new();
    // Broken off, or another one than it should be: the backend knows which.
    let verify = |failure: Failure| failure.next(format!("devmesh verify {}", super::short(job.id)));
    stream.copy_to(&mut patch, |_| {}).await.map_err(|error| verify(error.into()))?;
    is_as_recorded(&patch, &recorded.sha256).map_err(verify)?;
    Ok(patch)
}

/// A patch that is not what the job handed in is neither shown nor applied.
fn is_as_recorded(patch: &[u8], sha256: &str) -> Result<()> {
    let found = hex::encode(Sha256::digest(patch));
    match found == sha256 {
        true => Ok(()),
        false => Err(Failure::failed(format!(
            "the patch is damaged: its SHA-256 is {found}, and the job recorded {sha256}; it was not used"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_patch_is_not_used() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        is_as_recorded(b"", empty).unwrap();
        let failure = is_as_recorded(b"diff", empty).unwrap_err();
        assert!(failure.what.contains("damaged") && failure.what.contains(empty), "{}", failure.what);
    }
}
