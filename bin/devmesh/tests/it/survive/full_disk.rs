//! The disk fills up, and later has room again.

use super::stage::{Backend, all_events, all_jobs, command};
use anyhow::{Context, Result, ensure};
use client::{Client, Upload};
use domain::{ErrorCode, JobId, JobKind, JobState, Timestamp, WorkerId};
use protocol::{CancelJob, Control, CreateJob, FinishJob, Heartbeat, JobResult, Lease, LeaseRequest, Outcome};
use std::time::{Duration, Instant};
use testkit::SmallDisk;

/// Big enough for an empty data folder, small enough to fill at once.
const DISK_KIB: u32 = 24 << 10;
/// Service must resume by itself within this.
const RECOVERY: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_reads_and_heals_by_itself() -> Result<()> {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return Ok(()) };
    let backend = Backend::start(&disk.path().join("data")).await?;
    let client = backend.client()?;
    let mut acknowledged = vec![client.create_job(&job(0), None).await?.id];

    fill(&disk, &client, &mut acknowledged).await?;
    let events = all_events(&client, acknowledged[0]).await.context("reading while the disk is full")?;
    ensure!(!events.is_empty(), "the log cannot be read while the disk is full");

    disk.empty();
    acknowledged.push(create_soon(&client, acknowledged.len()).await?);
    let stored: Vec<_> = all_jobs(&client).await?.into_iter().map(|job| job.id).collect();
    ensure!(stored == acknowledged, "{} jobs were acknowledged and {} are there", acknowledged.len(), stored.len());
    Ok(())
}

/// What a person does about it is done, also after the restart that everybody tries first.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_jobs_are_cancelled_finished_and_deleted_and_a_restart_comes_up() -> Result<()> {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return Ok(()) };
    let mut backend = Backend::start(&disk.path().join("data")).await?;
    let client = backend.client()?;
    let agent = backend.agent_client().await?;

    let large = client.create_job(&job(0), None).await?.id;
    let lease = leased(&agent).await?;
    let output = Upload::Bytes(vec![7; 8 << 20].into());
    agent.put_artifact(large, (lease.epoch, lease.attempt), "output", "text/plain", &output).await?;
    agent.finish(large, &finish(&lease, true)).await?;
    let runs = client.create_job(&job(1), None).await?.id;
    let running = leased(&agent).await?;
    let waits = client.create_job(&job(2), None).await?.id;
    let mut acknowledged = vec![large, runs, waits];

    fill(&disk, &client, &mut acknowledged).await?;
    let small = Upload::Bytes(vec![7; 64 << 10].into());
    let refused =
        agent.put_artifact(runs, (running.epoch, running.attempt), "small", "text/plain", &small).await.unwrap_err();
    ensure!(refused.code() == Some(ErrorCode::StorageFull), "content is refused like a row: {refused}");
    client.cancel_job(waits, &CancelJob::default()).await.context("cancelling a job that waits")?;
    ensure!(client.job(waits).await?.state == JobState::Cancelled);

    disk.fill();
    backend.kill_and_restart_degraded().await.context("starting on a full disk")?;
    let not_ready = client.ready().await.unwrap_err().to_string();
    ensure!(not_ready.contains("503") || not_ready.contains("full"), "{not_ready}");
    client.cancel_job(runs, &CancelJob::default()).await.context("cancelling a job that runs")?;
    let beat = agent.heartbeat(runs, &Heartbeat { epoch: running.epoch, attempt: running.attempt, wait_ms: 0 }).await?;
    ensure!(beat.control == Control::Cancel, "the agent was not told: {beat:?}");
    let cancelled = agent.finish(runs, &finish(&running, false)).await.context("finishing")?;
    ensure!(cancelled.state == JobState::Cancelled);
    let refused = client.create_job(&job(3), None).await.unwrap_err();
    ensure!(refused.code() == Some(ErrorCode::StorageFull), "the room for that is not for new jobs: {refused}");

    client.delete_job(large).await.context("deleting a job with an artifact")?;
    acknowledged.retain(|job| *job != large);
    acknowledged.push(create_soon(&client, 4).await?);
    client.ready().await.context("ready again by itself")?;
    let stored: Vec<_> = all_jobs(&client).await?.into_iter().map(|job| job.id).collect();
    ensure!(stored == acknowledged, "{} jobs were acknowledged and {} are there", acknowledged.len(), stored.len());
    for job in [runs, waits] {
        ensure!(client.verify(job).await?.intact, "the log of {job} is not whole");
    }
    Ok(())
}

/// Takes every byte of the disk. What SQLite has preallocated may still take a few jobs; each must then be there afterwards.
async fn fill(disk: &SmallDisk, client: &Client, acknowledged: &mut Vec<JobId>) -> Result<()> {
    disk.fill();
    let refused = loop {
        match client.create_job(&job(acknowledged.len()), None).await {
            Ok(job) => acknowledged.push(job.id),
            Err(error) => break error,
        }
        ensure!(acknowledged.len() < 10_000, "a full disk took 10,000 jobs");
    };
    ensure!(refused.code() == Some(ErrorCode::StorageFull), "expected storage_full, got {refused}");
    disk.fill();
    Ok(())
}

/// A job that is taken once there is room again, which is found out without a restart.
async fn create_soon(client: &Client, number: usize) -> Result<JobId> {
    let freed = Instant::now();
    loop {
        match client.create_job(&job(number), None).await {
            Ok(job) => return Ok(job.id),
            Err(error) if error.is_retryable() && freed.elapsed() < RECOVERY => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => {
                return Err(error).context(format!("still refused {:?} after space returned", freed.elapsed()));
            }
        }
    }
}

async fn leased(agent: &Client) -> Result<Lease> {
    let worker_id = WorkerId::new(Timestamp::from_millis(1_795_000_000_000));
    let request = LeaseRequest { worker_id, worker_name: "test".into(), wait_ms: 10_000 };
    agent.lease(&request).await?.context("no job was leased")
}

fn finish(lease: &Lease, well: bool) -> FinishJob {
    let result = JobResult { answer: Some("done".into()), ..JobResult::default() };
    let outcome = if well { Outcome::Succeeded { result } } else { Outcome::Cancelled { result } };
    FinishJob { epoch: lease.epoch, attempt: lease.attempt, outcome }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_backend_on_the_same_folder_refuses_to_start() -> Result<()> {
    let home = tempfile::tempdir()?;
    let folder = home.path().join("data");
    let backend = Backend::start(&folder).await?;
    let second = command(&folder, 0).stderr(std::process::Stdio::piped()).output()?;
    let said = String::from_utf8_lossy(&second.stderr);
    ensure!(!second.status.success(), "a second backend started on the same folder");
    ensure!(said.contains(&backend.pid().to_string()), "the message does not name the process that holds it: {said}");
    backend.client()?.version().await.context("the first backend still answers")?;
    Ok(())
}

fn job(number: usize) -> CreateJob {
    CreateJob::new(JobKind::Ask, format!("{number} {}", "x".repeat(2_000)))
}
