//! Fills a data folder through the store itself, while no server has it: a million requests would take minutes.

use anyhow::{Context, Result};
use domain::{
    CanonicalJson, Clock as _, EventHash, JobId, JobKind, JobState, PrincipalId, Priority, SystemClock, Timestamp,
};
use protocol::{CreateJob, Limits};
use std::path::Path;
use store::{JobRow, NewEvent, Options, Store};

/// Rows written in one request: large enough to be quick, small enough not to hold the writer for long.
const ROWS_PER_WRITE: u64 = 5_000;

/// One job with a log of `events` events; the job is queued and nobody will lease it before it is read.
pub async fn long_log(folder: &Path, events: u64) -> Result<JobId> {
    let store = Store::open(Options::new(folder)).await?;
    let principal = principal(&store).await?;
    let job = queued_job(principal)?;
    let id = job.id;
    write(&store, move |transaction| transaction.insert_job(&job)).await?;
    let mut written = 0;
    while written < events {
        let rows = ROWS_PER_WRITE.min(events - written);
        let batch = (written..written + rows).map(note).collect::<Result<Vec<_>>>()?;
        write(&store, move |transaction| transaction.append(id, &batch).map(|_| ())).await?;
        written += rows;
    }
    store.close().await;
    Ok(id)
}

/// `count` jobs that wait, each with its first event.
pub async fn queued_jobs(folder: &Path, count: u64) -> Result<()> {
    let store = Store::open(Options::new(folder)).await?;
    let principal = principal(&store).await?;
    let mut written = 0;
    while written < count {
        let rows = ROWS_PER_WRITE.min(count - written);
        let jobs = (0..rows).map(|_| queued_job(principal)).collect::<Result<Vec<_>>>()?;
        let created = created()?;
        write(&store, move |transaction| {
            for job in &jobs {
                transaction.insert_job(job)?;
                transaction.append(job.id, std::slice::from_ref(&created))?;
            }
            Ok(())
        })
        .await?;
        written += rows;
    }
    store.close().await;
    Ok(())
}

async fn write<F>(store: &Store, work: F) -> Result<()>
where
    F: FnOnce(&mut store::Transaction<'_>) -> Result<(), store::Error> + Send + 'static,
{
    Ok(store.write(work).await?)
}

/// The owner of the admin token, which a first start has made.
async fn principal(store: &Store) -> Result<PrincipalId> {
    let tokens = store.tokens().await?;
    Ok(tokens.first().context("start a server on this folder first")?.principal)
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn queued_job(principal: PrincipalId) -> Result<JobRow> {
    let now = now();
    Ok(JobRow {
        id: JobId::new(now),
        principal,
        kind: JobKind::Ask,
        state: JobState::Queued,
        reason: None,
        message: None,
        spec: serde_json::to_string(&CreateJob::new(JobKind::Ask, "wait"))?,
        result: None,
        usage: serde_json::to_string(&protocol::Usage::default())?,
        priority: Priority::DEFAULT.level(),
        rank: now.as_millis() - i64::from(Priority::DEFAULT.level()) * Priority::LEVEL_MS,
        not_before: None,
        attempt: 0,
        attempts_failed: 0,
        worker: None,
        worker_principal: None,
        producer_seq: 0,
        cancel_requested: false,
        retry_of: None,
        folders: protocol::Folders::Roots.as_str().into(),
        running_ms: 0,
        lease_epoch: None,
        head_seq: 0,
        head_hash: EventHash::START,
        revision: 0,
        created_at: now,
        updated_at: now,
        started_at: None,
        finished_at: None,
    })
}

fn created() -> Result<NewEvent> {
    let body = protocol::EventBody::JobCreated {
        kind: "ask".into(),
        task: "wait".into(),
        priority: Priority::DEFAULT.level(),
        limits: Limits::default(),
        retry_of: None,
    };
    event(body, "user")
}

fn note(number: u64) -> Result<NewEvent> {
    event(protocol::EventBody::AgentNote { message: format!("line {number} of a very long output") }, "agent")
}

fn event(body: protocol::EventBody, actor: &'static str) -> Result<NewEvent> {
    let (event_type, payload) = body.into_parts()?;
    Ok(NewEvent { event_type, actor, attempt: 0, at: now(), payload: CanonicalJson::of(&payload)? })
}
