//! An agent is killed, or stopped for longer than its lease, in the middle of a job: another one goes on, and there is one
//! result.

use super::stage::{Agent, Backend, all_events};
use anyhow::{Context, Result, ensure};
use client::Client;
use domain::{JobId, JobKind, JobState};
use nix::sys::signal::Signal;
use protocol::{CreateJob, Event, EventBody, Job, Repository};
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use testkit::{SampleRepository, Script, ScriptedModel, Turn, eventually_within, sample_repository};

/// The mending command takes this long, so that there is a middle to be lost in.
const SLOW_COMMAND_S: u32 = 2;
/// Lease (three seconds here), takeover, and the work done again, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_agent_is_replaced_and_the_patch_is_the_same() -> Result<()> {
    let calm = Stage::set().await?;
    let _agent = calm.agent("calm").await?;
    let (job, _) = calm.finished().await?;
    let undisturbed = calm.patch(&job).await?;
    ensure!(undisturbed.contains("100 - discount_percent"), "the patch mends nothing: {undisturbed}");

    let stage = Stage::set().await?;
    let first = stage.agent("first").await?;
    stage.in_the_middle().await;
    drop(first);
    let _second = stage.agent("second").await?;
    let (job, events) = stage.finished().await?;
    ensure!(job.attempt == 2, "the job took {} attempts", job.attempt);
    ensure!(stage.patch(&job).await? == undisturbed, "the patch differs after a takeover");
    ensure!(has_lost_lease(&events), "the log does not show that the lease was lost");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_agent_that_wakes_up_again_writes_nothing() -> Result<()> {
    let stage = Stage::set().await?;
    let zombie = stage.agent("zombie").await?;
    stage.in_the_middle().await;
    zombie.signal(Signal::SIGSTOP)?;
    let _second = stage.agent("second").await?;
    eventually_within(DEADLINE, "the second agent has the job", async || {
        stage.client.job(stage.job).await.ok().filter(|job| job.attempt == 2)
    })
    .await;
    zombie.signal(Signal::SIGCONT)?;

    let (job, events) = stage.finished().await?;
    ensure!(stage.patch(&job).await?.contains("100 - discount_percent"), "the second agent's patch mends nothing");
    let takeover = events.iter().position(|event| event.attempt == 2).context("the second attempt left no event")?;
    let late: Vec<_> = events[takeover..].iter().filter(|event| event.attempt == 1).collect();
    ensure!(late.is_empty(), "the zombie wrote after it was replaced: {late:?}");
    let results = events.iter().filter(|event| event.event_type == "closed").count();
    ensure!(results == 1, "{results} results were recorded");
    Ok(())
}

/// A backend, a scripted model, a broken repository, and a job to mend it.
struct Stage {
    _home: tempfile::TempDir,
    agents: PathBuf,
    backend: Backend,
    client: Client,
    job: JobId,
    _model: ScriptedModel,
    _repository: SampleRepository,
}

impl Stage {
    async fn set() -> Result<Self> {
        let home = tempfile::tempdir()?;
        let model = ScriptedModel::start(script()).await;
        let backend = Backend::start_with_model(&home.path().join("data"), &model.base_url()).await?;
        let client = backend.client()?;
        let repository = sample_repository();
        let mut spec = CreateJob::new(JobKind::Code, "Mend the discount and run the tests.");
        spec.check = Some(protocol::NO_CHECK.into());
        spec.repository = Some(Repository { path: repository.path().to_string_lossy().into(), reference: None });
        let job = client.create_job(&spec, None).await?.id;
        let agents = home.path().join("agents");
        Ok(Self { _home: home, agents, backend, client, job, _model: model, _repository: repository })
    }

    async fn agent(&self, name: &str) -> Result<Agent> {
        Agent::start(&self.agents, &self.backend, name).await
    }

    /// Comes back while the mending command runs.
    async fn in_the_middle(&self) {
        eventually_within(DEADLINE, "the slow command runs", async || {
            let events = all_events(&self.client, self.job).await.ok()?;
            let running = events.iter().any(|event| {
                matches!(
                    event.body(),
                    Some(EventBody::ToolStarted { arguments, .. }) if arguments.to_string().contains("MENDED")
                )
            });
            running.then_some(())
        })
        .await;
    }

    async fn finished(&self) -> Result<(Job, Vec<Event>)> {
        let job = eventually_within(DEADLINE, "the job is over", async || {
            self.client.job(self.job).await.ok().filter(|job| job.state.is_terminal())
        })
        .await;
        ensure!(job.state == JobState::Succeeded, "the job is {} ({:?}: {:?})", job.state, job.reason, job.message);
        ensure!(self.client.verify(self.job).await?.intact, "the chain is broken");
        Ok((job, all_events(&self.client, self.job).await?))
    }

    async fn patch(&self, job: &Job) -> Result<String> {
        let name =
            job.result.as_ref().and_then(|result| result.patch_artifact.as_deref()).context("there is no patch")?;
        let mut patch = Vec::new();
        self.client.artifact(job.id, name).await?.copy_to(&mut patch, |_| {}).await?;
        Ok(String::from_utf8(patch)?)
    }
}

/// Looks, mends, tests, finishes; does a step again when it is told that the step was interrupted.
fn script() -> Script {
    let mend = format!("sleep {SLOW_COMMAND_S}; {} && echo MENDED", SampleRepository::fix_command());
    Script::each(move |received| match received.last("tool") {
        _ if received.answers_so_far() == 0 => Turn::tool("run", json!({"command": "cat prices.py"})),
        seen if seen.contains("GREEN") => Turn::tool("finish", json!({"summary": "The discount is taken off now."})),
        seen if seen.contains("MENDED") => Turn::tool("run", json!({"command": "sh test.sh && echo GREEN"})),
        _ => Turn::tool("run", json!({"command": mend.clone()})),
    })
}

fn has_lost_lease(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(event.body(), Some(EventBody::JobRequeued { cause: protocol::RequeueCause::LeaseLost, .. }))
    })
}
