//! kill -9 of the backend at random points under mixed load.

use super::{
    ledger::Ledger,
    stage::{Backend, all_events, all_jobs},
};
use anyhow::{Context, Result, ensure};
use client::Client;
use domain::{Epoch, JobId, JobKind, JobState, SystemClock, Timestamp, WorkerId};
use protocol::{AppendEvents, CreateJob, EventBody, FinishJob, JobResult, LeaseRequest, Limits, Outcome};
use rand::RngExt as _;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Kills in an ordinary test run; `DEVMESH_TORTURE_CYCLES` overrides it.
const CYCLES: u32 = 25;
const CREATORS: u32 = 3;
const WORKERS: u32 = 3;
/// Batches of notes a worker writes before it finishes a job.
const BATCHES_PER_JOB: u64 = 6;
const EVENTS_PER_BATCH: u64 = 4;
/// What a start may take on an existing folder, as the middle of all cycles: the promise is two seconds.
const READY_MEDIAN: Duration = Duration::from_secs(2);

type Shared = Arc<Mutex<Ledger>>;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_backend_is_killed() -> Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a test is told its length like this")]
    let cycles = std::env::var("DEVMESH_TORTURE_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(CYCLES);
    let home = tempfile::tempdir()?;
    let folder = home.path().join("data");
    let mut backend = Backend::start(&folder).await?;
    let ledger = Shared::default();
    let stop = CancellationToken::new();
    let mut load = tokio::task::JoinSet::new();
    for number in 0..CREATORS {
        load.spawn(create_jobs(backend.client()?, number, ledger.clone(), stop.clone()));
    }
    for _ in 0..WORKERS {
        load.spawn(work(backend.agent_client().await?, ledger.clone(), stop.clone()));
    }

    let mut ready = Vec::new();
    for _ in 0..cycles {
        // A kill lands anywhere between the middle of a commit and an idle moment.
        let pause = Duration::from_millis(rand::rng().random_range(20..400));
        tokio::time::sleep(pause).await;
        backend.kill_and_restart().await?;
        ready.push(backend.ready_after);
    }
    stop.cancel();
    while let Some(task) = load.join_next().await {
        task??;
    }
    ready.sort();
    let median = ready[ready.len() / 2];
    let ledger = Arc::into_inner(ledger).context("all load has ended")?.into_inner().expect("no load panicked");
    eprintln!(
        "{cycles} kills; {}; ready after {median:?} (median), {:?} (worst)",
        ledger.describe(),
        ready[ready.len() - 1]
    );
    ensure!(
        !ledger.jobs.is_empty() && !ledger.results.is_empty(),
        "the load did nothing: the test would prove nothing"
    );
    ensure!(median <= READY_MEDIAN, "half of the starts took longer than {READY_MEDIAN:?}: {ready:?}");
    check(&backend.client()?, &ledger).await
}

/// Creates jobs one after another; a lost answer is asked for again under the same key.
async fn create_jobs(client: Client, number: u32, ledger: Shared, stop: CancellationToken) -> Result<()> {
    for count in 0.. {
        let key = format!("creator-{number}-{count}");
        // Kills must never use up the attempts.
        let limits = Limits { attempts: 20, ..Limits::default() };
        let spec = CreateJob { limits, ..CreateJob::new(JobKind::Ask, &key) };
        loop {
            if stop.is_cancelled() {
                return Ok(());
            }
            match client.create_job(&spec, Some(&key)).await {
                Ok(job) => {
                    ledger.lock().expect("no load panicked").jobs.insert(key, job.id);
                    break;
                }
                Err(error) if error.is_retryable() => breathe().await,
                Err(error) => return Err(error).context("creating a job"),
            }
        }
        breathe().await;
    }
    Ok(())
}

/// Leases jobs, writes notes, finishes. Whatever is answered is in the ledger; whatever is not is sent again.
async fn work(client: Client, ledger: Shared, stop: CancellationToken) -> Result<()> {
    let worker_id = WorkerId::new(now());
    while !stop.is_cancelled() {
        let request = LeaseRequest { worker_id, worker_name: "test".into(), wait_ms: 200 };
        let lease = match client.lease(&request).await {
            Ok(Some(lease)) => lease,
            Ok(None) => continue,
            Err(error) if error.is_retryable() => {
                breathe().await;
                continue;
            }
            Err(error) => return Err(error).context("leasing"),
        };
        if !write_notes(&client, lease.job_id, (lease.epoch, lease.attempt), &ledger, &stop).await? {
            continue;
        }
        let result = format!("result of attempt {}", lease.attempt);
        let finish = FinishJob {
            epoch: lease.epoch,
            attempt: lease.attempt,
            outcome: Outcome::Succeeded { result: JobResult { answer: Some(result.clone()), ..JobResult::default() } },
        };
        while !stop.is_cancelled() {
            match client.finish(lease.job_id, &finish).await {
                Ok(_) => {
                    ledger.lock().expect("no load panicked").results.insert(lease.job_id, result);
                    break;
                }
                Err(error) if error.is_retryable() => breathe().await,
                // Taken over, or an earlier try of this very call was stored: either way nothing is ours to record.
                Err(_) => break,
            }
        }
    }
    Ok(())
}

/// `false`: the job is no longer ours.
async fn write_notes(
    client: &Client,
    job: JobId,
    (epoch, attempt): (Epoch, u32),
    ledger: &Shared,
    stop: &CancellationToken,
) -> Result<bool> {
    for producer_seq in 1..=BATCHES_PER_JOB {
        let notes: Vec<String> = (0..EVENTS_PER_BATCH).map(|n| format!("{attempt}/{producer_seq}/{n}")).collect();
        let events = notes.iter().map(|note| EventBody::AgentNote { message: note.clone() }).collect();
        let batch = AppendEvents { epoch, attempt, producer_seq, events };
        loop {
            if stop.is_cancelled() {
                return Ok(false);
            }
            match client.append_events(job, &batch).await {
                Ok(_) => {
                    ledger.lock().expect("no load panicked").notes.entry(job).or_default().extend(notes);
                    break;
                }
                Err(error) if error.is_retryable() => breathe().await,
                Err(error) if error.code() == Some(domain::ErrorCode::StaleAttempt) => return Ok(false),
                Err(error) => return Err(error).context("appending"),
            }
        }
    }
    Ok(true)
}

async fn check(client: &Client, ledger: &Ledger) -> Result<()> {
    let mut stored = BTreeMap::new();
    for job in all_jobs(client).await? {
        let task = job.spec.task;
        ensure!(!stored.contains_key(&task), "two jobs for the key {task}");
        stored.insert(task, job.id);
    }
    for (key, id) in &ledger.jobs {
        ensure!(stored.get(key) == Some(id), "job {id} was acknowledged for {key} and is {:?} now", stored.get(key));
    }
    for id in stored.values() {
        let report = client.verify(*id).await?;
        ensure!(report.intact, "the chain of {id} is broken: {:?}", report.broken_at);
    }
    for (id, notes) in &ledger.notes {
        let events = all_events(client, *id).await?;
        let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
        ensure!(seqs == (1..=events.len() as u64).collect::<Vec<_>>(), "job {id} has seqs {seqs:?}");
        let mut found = events.iter().filter_map(|event| match event.body() {
            Some(EventBody::AgentNote { message }) => Some(message),
            _ => None,
        });
        for note in notes {
            ensure!(found.any(|message| message == *note), "job {id} lost the acknowledged note {note}, or its order");
        }
    }
    for (id, result) in &ledger.results {
        let job = client.job(*id).await?;
        ensure!(job.state == JobState::Succeeded, "job {id} was acknowledged as finished and is {}", job.state);
        ensure!(job.result.and_then(|result| result.answer).as_ref() == Some(result), "job {id} has another result");
    }
    Ok(())
}

/// Between tries: long enough not to spin, short enough to hit every stage of a restart.
async fn breathe() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

fn now() -> Timestamp {
    domain::Clock::now(&SystemClock)
}
