//! devmesh: a `code` job with the exercise's test as its check, and its patch applied to the repository.

use crate::agent::{
    process::{self, End},
    run::{Outcome, Stage, git},
};
use anyhow::{Context, Result};
use client::Client;
use domain::{FailureReason, JobKind, JobState, Scope};
use futures_util::TryStreamExt;
use protocol::{CancelJob, CreateJob, Job, Repository};
use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// How often it is looked whether the job is over.
const LOOK: Duration = Duration::from_millis(200);
/// The job ends itself when its time is over. What takes longer than this after it is stopped from here.
const GRACE: Duration = Duration::from_secs(15);
/// How long the log of a job may take to be told.
const LOG_LIMIT: Duration = Duration::from_secs(60);

pub async fn work(stage: &Stage<'_>) -> Result<Outcome> {
    let key = stage.mesh.key(&stage.name, Scope::User).await?;
    let client = Client::new(client::Options::new(stage.mesh.url(), &key.secret))?;
    let started = Instant::now();
    let created = client.create_job(&job(stage)?, None).await?;
    let (over, was_stopped) = to_its_end(&client, &created, started, stage.limit).await?;
    let taken = started.elapsed();
    let tokens = stage.mesh.spent(&key, Some(over.id)).await?;
    keep_log(stage, &over)?;
    if let Some(name) = over.result.as_ref().and_then(|result| result.patch_artifact.as_deref()) {
        let patch = stage.home.join("patch");
        let bytes: Vec<_> = client.artifact(over.id, name).await?.try_collect().await?;
        fs::write(&patch, bytes.concat())?;
        let path = patch.to_str().context("a temporary folder's name that is not UTF-8")?;
        git(&stage.repository, &stage.home, &["apply", "--whitespace=nowarn", path])?;
    }
    stage.mesh.end(key).await?;
    let is_timed_out = was_stopped || over.reason == Some(FailureReason::TimedOut);
    Ok(Outcome {
        end: if is_timed_out { End::Stopped } else { End::ByItself(None) },
        taken,
        tokens,
        state: Some(over.state.to_string()),
        reason: over.reason.map(|reason| reason.to_string()),
        message: over.message,
    })
}

fn job(stage: &Stage<'_>) -> Result<CreateJob> {
    let path = stage.repository.to_str().context("a temporary folder's name that is not UTF-8")?.to_owned();
    let mut job = CreateJob::new(JobKind::Code, &stage.exercise.task);
    job.repository = Some(Repository { path, reference: None });
    job.check = Some(stage.exercise.about.test.clone());
    job.route = Some(stage.mesh.model.clone());
    job.limits.total_timeout_ms = u64::try_from(stage.limit.as_millis())?;
    Ok(job)
}

/// The job when it is over, and whether it had to be stopped.
async fn to_its_end(client: &Client, job: &Job, started: Instant, limit: Duration) -> Result<(Job, bool)> {
    let mut was_stopped = false;
    loop {
        let now = client.job(job.id).await?;
        if now.state.is_terminal() {
            return Ok((now, was_stopped));
        }
        // Nobody is here to decide on anything.
        if !was_stopped && (started.elapsed() > limit + GRACE || now.state == JobState::WaitingApproval) {
            was_stopped = true;
            client.cancel_job(job.id, &CancelJob::default()).await?;
        }
        anyhow::ensure!(started.elapsed() < limit + 4 * GRACE, "job {} does not end", job.id);
        tokio::time::sleep(LOOK).await;
    }
}

/// What the job did, as its user reads it.
fn keep_log(stage: &Stage<'_>, job: &Job) -> Result<()> {
    let token = stage.home.join("token");
    fs::write(&token, stage.mesh.admin_token()?)?;
    let mut command = Command::new(&stage.mesh.program);
    command.arg("--url").arg(stage.mesh.url()).arg("--token-file").arg(&token).args(["logs", &job.id.to_string()]);
    tokio::task::block_in_place(|| process::run(&mut command, &stage.home, &stage.said, LOG_LIMIT))?;
    Ok(())
}
