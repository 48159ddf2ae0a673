//! What tests do to a database, by its operations alone.

use crate::support::{at, event, job, principal};
use domain::{ApprovalId, EventHash, JobId, JobState, RequestId, WorkerId, verify_link};
use std::ops::Range;
use store::{
    About, Append, ApprovalChange, ApprovalRow, ArtifactPut, ArtifactRow, AuditRow, Changed, Created, Database, Error,
    EventPage, EventRow, Fence, Found, JobRow, NewEvent, NewJob, PutArtifact, Refused, StoredBlob, Urgency, Write,
};

pub fn audit() -> AuditRow {
    let (action, object) = ("job.test".to_owned(), "job".to_owned());
    AuditRow { at: at(0), principal: principal(1), action, object, request_id: RequestId::new(at(0)) }
}

/// The first event of a job made here says 0.
pub fn new(job: &JobRow) -> NewJob {
    NewJob { job: job.clone(), created: event(0), audit: audit(), once: None }
}

/// A new queued job.
pub async fn new_job(database: &dyn Database) -> JobId {
    match database.create_job(new(&job(0))).await.unwrap() {
        Created::New(job) => job.id,
        Created::Earlier(earlier) => panic!("{earlier:?}"),
    }
}

/// Appends an event for each number and says where the log ends then.
pub async fn append(database: &dyn Database, job: JobId, numbers: Range<u64>) -> Result<u64, Error> {
    let events: Vec<_> = numbers.map(event).collect();
    append_events(database, job, events).await
}

pub async fn append_events(database: &dyn Database, job: JobId, events: Vec<NewEvent>) -> Result<u64, Error> {
    let write = move |found: &Found| Ok(Some(Write::new(found.job.clone(), events.clone())));
    let Changed { job, .. } = database.change_job(job, Urgency::Ordinary, Box::new(write)).await?;
    Ok(job.head_seq)
}

/// Appends one event.
pub async fn append_one(database: &dyn Database, job: JobId, number: u64) -> Result<u64, Error> {
    append(database, job, number..number + 1).await
}

/// One event, written as what works on a full disk.
pub async fn relieve(database: &dyn Database, job: JobId, number: u64) -> Result<u64, Error> {
    let write = move |found: &Found| Ok(Some(Write::new(found.job.clone(), vec![event(number)])));
    Ok(database.change_job(job, Urgency::Relief, Box::new(write)).await?.job.head_seq)
}

/// Asks for a decision on a tool call.
pub async fn ask(database: &dyn Database, approval: &ApprovalRow) -> Result<Changed, Error> {
    let insert = ApprovalChange::Insert(approval.clone());
    let write = move |found: &Found| {
        Ok(Some(Write { approvals: vec![insert.clone()], ..Write::new(found.job.clone(), Vec::new()) }))
    };
    database.change_job(approval.job_id, Urgency::Ordinary, Box::new(write)).await
}

/// The approval as it is stored.
pub async fn approval(database: &dyn Database, approval: ApprovalId) -> Option<ApprovalRow> {
    let look = |_: &JobRow, found: &ApprovalRow| Ok(About { approval: found.clone(), write: None });
    database.decide_approval(approval, Box::new(look)).await.unwrap().map(|(found, _)| found)
}

/// Leases up to so many ready jobs.
pub async fn lease(database: &dyn Database, workers: usize) -> Vec<JobRow> {
    database.lease_ready(workers, u32::MAX, Box::new(begin)).await.unwrap()
}

/// How a worker of these tests begins.
pub fn begin(_: usize, mut job: JobRow) -> Result<(JobRow, NewEvent), Refused> {
    job.state = JobState::Running;
    job.attempt += 1;
    job.producer_seq = 0;
    job.worker = Some(WorkerId::new(at(0)));
    job.worker_principal = Some(principal(7));
    Ok((job, event(1_000)))
}

pub fn fence(job: &JobRow) -> Fence {
    let (epoch, principal) = (job.lease_epoch.unwrap(), job.worker_principal.unwrap());
    Fence { job: job.id, epoch, attempt: job.attempt, principal }
}

/// Events under the fence of whoever has the job now.
pub async fn append_to(database: &dyn Database, job: JobId, events: Vec<NewEvent>) -> Append {
    let fence = fence(&database.job(job).await.unwrap().unwrap());
    Append { fence, batch: None, events, spent_calls: Vec::new(), count: None }
}

/// Back into the queue.
pub async fn put_back(database: &dyn Database, job: JobId) {
    let queue = |found: &Found| {
        let job = JobRow { state: JobState::Queued, ..found.job.clone() };
        Ok(Some(Write::new(job, vec![event(2_000)])))
    };
    database.change_job(job, Urgency::Relief, Box::new(queue)).await.unwrap();
}

/// A new job that a worker has.
pub async fn running_job(database: &dyn Database) -> JobId {
    let job = new_job(database).await;
    assert_eq!(lease(database, 1).await[0].id, job);
    job
}

/// Hands stored content in for a job that runs.
pub async fn hand_in(database: &dyn Database, job: JobId, name: &str, blob: &StoredBlob) -> Result<ArtifactPut, Error> {
    let fence = fence(&database.job(job).await.unwrap().unwrap());
    let artifact = ArtifactRow {
        job_id: job,
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: blob.bytes,
        sha256: blob.sha256.clone(),
        attempt: fence.attempt,
        created_at: at(1),
    };
    database.put_artifact(PutArtifact { fence, artifact, event: event(3_000), limit: 100, running_ms: None }).await
}

pub async fn delete(database: &dyn Database, job: JobId) {
    database.delete_job(job, Box::new(|_| Ok(audit()))).await.unwrap();
}

/// The whole log, in pages.
pub async fn log(database: &dyn Database, job: JobId) -> Vec<EventRow> {
    let mut events: Vec<EventRow> = Vec::new();
    loop {
        let after_seq = events.last().map_or(0, |event| event.seq);
        let page = EventPage { job, after_seq, max_events: 1_000, max_bytes: usize::MAX };
        match database.page_of_events(page).await.unwrap() {
            Some((_, page)) if !page.is_empty() => events.extend(page),
            _ => return events,
        }
    }
}

/// Asserts that the log is dense from its first event on, linked, and ends at the job's head.
pub async fn assert_whole(database: &dyn Database, job: JobId) -> Vec<EventRow> {
    let events = log(database, job).await;
    let row = database.job(job).await.unwrap().expect("the job is there");
    let mut previous = EventHash::START;
    for (event, seq) in events.iter().zip(1..) {
        assert_eq!(event.seq, seq, "a hole before seq {}", event.seq);
        assert!(verify_link(&event.link(), event.hash), "seq {seq} does not match its hash");
        assert_eq!(event.previous, previous, "seq {seq} links elsewhere");
        previous = event.hash;
    }
    assert_eq!((row.head_seq, row.head_hash), (events.len() as u64, previous));
    events
}
