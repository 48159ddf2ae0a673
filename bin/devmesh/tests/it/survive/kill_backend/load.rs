//! Clients that create jobs and work on them, and write down what they were told.

use super::super::ledger::{Shared, sha256};
use anyhow::{Context, Result};
use client::{Client, Upload};
use domain::{Epoch, ErrorCode, JobId, JobKind, SystemClock, Timestamp, WorkerId};
use protocol::{AppendEvents, CreateJob, EventBody, FinishJob, JobResult, LeaseRequest, Limits, Outcome};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Batches of notes a worker writes before it finishes a job.
const BATCHES_PER_JOB: u64 = 6;
const EVENTS_PER_BATCH: u64 = 4;
/// What every job hands in alike, besides what only one has.
const SHARED_OUTPUT: &[u8] = b"what many jobs print\n";

/// Creates jobs one after another; a lost answer is asked for again under the same key.
pub(super) async fn create_jobs(client: Client, number: u32, ledger: Shared, stop: CancellationToken) -> Result<()> {
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
pub(super) async fn work(client: Client, ledger: Shared, stop: CancellationToken) -> Result<()> {
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
        let (job, attempt) = (lease.job_id, lease.attempt);
        if !write_notes(&client, job, (lease.epoch, attempt), &ledger, &stop).await?
            || !put_artifacts(&client, job, (lease.epoch, attempt), &ledger, &stop).await?
        {
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
                Err(error) if error.code() == Some(ErrorCode::StaleAttempt) => return Ok(false),
                Err(error) => return Err(error).context("appending"),
            }
        }
    }
    Ok(true)
}

/// One artifact that no other job has and one that all have. `false`: the job is no longer ours.
async fn put_artifacts(
    client: &Client,
    job: JobId,
    (epoch, attempt): (Epoch, u32),
    ledger: &Shared,
    stop: &CancellationToken,
) -> Result<bool> {
    let own = format!("output of {job} in attempt {attempt}\n").repeat(200).into_bytes();
    for (name, content) in [(format!("own-{attempt}"), own), (format!("shared-{attempt}"), SHARED_OUTPUT.to_vec())] {
        let digest = sha256(&content);
        let upload = Upload::Bytes(content.into());
        loop {
            if stop.is_cancelled() {
                return Ok(false);
            }
            match client.put_artifact(job, (epoch, attempt), &name, "text/plain", &upload).await {
                Ok(_) => {
                    ledger.lock().expect("no load panicked").artifacts.insert((job, name), digest);
                    break;
                }
                Err(error) if error.is_retryable() => breathe().await,
                Err(error) if error.code() == Some(ErrorCode::StaleAttempt) => return Ok(false),
                Err(error) => return Err(error).context("handing in an artifact"),
            }
        }
    }
    Ok(true)
}

/// Between tries: long enough not to spin, short enough to hit every stage of a restart.
async fn breathe() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

fn now() -> Timestamp {
    domain::Clock::now(&SystemClock)
}
