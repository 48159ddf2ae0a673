//! `devmesh diff`: a job's patch.

use crate::{
    context::Context,
    output::{Exit, Failure, Result, write_patch},
};
use client::Client;
use protocol::Job;

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
    let stream = client.artifact(job.id, name).await?;
    if stream.length().is_some_and(|length| length > LARGEST_PATCH as u64) {
        return Err(Failure::failed(format!("the patch is larger than {LARGEST_PATCH} bytes")));
    }
    let mut patch = Vec::new();
    stream.copy_to(&mut patch, |_| {}).await?;
    Ok(patch)
}
