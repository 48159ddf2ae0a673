//! Fills a data folder through the store itself, while no server has it: a million requests over HTTP would take minutes.

use anyhow::{Context, Result};
use domain::{
    CanonicalJson, Clock as _, EventHash, JobId, JobKind, JobState, PrincipalId, Priority, RequestId, SystemClock,
    Timestamp,
};
use futures_util::future::try_join_all;
use protocol::{CreateJob, Limits};
use std::path::Path;
use store::{AuditRow, Found, JobRow, NewEvent, NewJob, Options, Store, Urgency, Write};

/// Events appended by one request: large enough to be quick, small enough not to hold the writer for long.
const EVENTS_PER_WRITE: u64 = 5_000;
/// Jobs created at once: more than one COMMIT takes.
const JOBS_AT_ONCE: u64 = 1_000;

/// One job with a log of `events` events; the job is queued and nobody will lease it before it is read.
pub async fn long_log(folder: &Path, events: u64) -> Result<JobId> {
    let store = Store::open(Options::new(folder)).await?;
    let principal = principal(&store).await?;
    let job = new_job(principal)?;
    let id = job.job.id;
    store.create_job(job).await?;
    let mut written = 1;
    while written < events {
        let last = events.min(written + EVENTS_PER_WRITE);
        let batch = (written..last).map(note).collect::<Result<Vec<_>>>()?;
        let append = move |found: &Found| Ok(Some(Write::new(found.job.clone(), batch.clone())));
        store.change_job(id, Urgency::Ordinary, Box::new(append)).await?;
        written = last;
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
        let jobs = JOBS_AT_ONCE.min(count - written);
        let jobs = (0..jobs).map(|_| new_job(principal)).collect::<Result<Vec<_>>>()?;
        written += jobs.len() as u64;
        try_join_all(jobs.into_iter().map(|job| store.create_job(job))).await?;
    }
    store.close().await;
    Ok(())
}

fn new_job(principal: PrincipalId) -> Result<NewJob> {
    let (job, created) = (queued_job(principal)?, created()?);
    let audit = AuditRow {
        at: job.created_at,
        principal,
        action: "job.create".to_owned(),
        object: job.id.to_string(),
        request_id: RequestId::new(job.created_at),
    };
    Ok(NewJob { job, created, audit, once: None })
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
