//! Rows to write, and a store to write them to.

use domain::{ApprovalId, CanonicalJson, EventHash, JobId, JobKind, JobState, PrincipalId, Priority, Timestamp};
use rusqlite::Connection;
use std::{
    pin::Pin,
    task::Poll,
    time::{Duration, Instant},
};
use store::{ApprovalRow, AuditRow, DATABASE_FILE, EventRow, JobRow, NewEvent, Options, Store};
use tempfile::TempDir;

/// Long enough for the slowest machine; a test that uses it up has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds after the first of January 2026.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_767_225_600_000 + millis)
}

pub async fn store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path().join("data"))).await.unwrap();
    (folder, store)
}

/// The same folder, closed and opened again.
pub async fn reopened(folder: &TempDir, store: Store) -> Store {
    store.close().await;
    Store::open(Options::new(folder.path().join("data"))).await.unwrap()
}

/// Works on the closed database as somebody with a shell would.
pub async fn with_plain_sql(folder: &TempDir, store: Store, work: impl FnOnce(&Connection)) -> Store {
    store.close().await;
    let path = folder.path().join("data");
    let connection = Connection::open(path.join(DATABASE_FILE)).unwrap();
    work(&connection);
    connection.close().unwrap();
    Store::open(Options::new(path)).await.unwrap()
}

pub fn principal(number: u128) -> PrincipalId {
    PrincipalId(uuid::Uuid::from_u128(number))
}

/// A queued job of principal 1.
pub fn job(queued_at_ms: i64) -> JobRow {
    let now = at(queued_at_ms);
    JobRow {
        id: JobId::new(now),
        principal: principal(1),
        kind: JobKind::Code,
        state: JobState::Queued,
        reason: None,
        message: None,
        spec: r#"{"task":"mend the test"}"#.to_owned(),
        result: None,
        usage: "{}".to_owned(),
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
        folders: "roots".to_owned(),
        running_ms: 0,
        lease_epoch: None,
        head_seq: 0,
        head_hash: EventHash::START,
        revision: 0,
        created_at: now,
        updated_at: now,
        started_at: None,
        finished_at: None,
    }
}

/// An event whose payload says `number`.
pub fn event(number: u64) -> NewEvent {
    NewEvent {
        event_type: "message.delta".to_owned(),
        actor: "agent",
        attempt: 1,
        at: at(number as i64),
        payload: CanonicalJson::of(&serde_json::json!({"number": number, "text": "some words of an answer"})).unwrap(),
    }
}

/// The number an [`event`] was made with.
pub fn number_of(event: &EventRow) -> u64 {
    serde_json::from_str::<serde_json::Value>(event.payload.as_str()).unwrap()["number"].as_u64().unwrap()
}

pub fn approval(job: JobId, call_id: &str, asked_at_ms: i64) -> ApprovalRow {
    ApprovalRow {
        id: ApprovalId::new(at(asked_at_ms)),
        job_id: job,
        call_id: call_id.to_owned(),
        tool: "run".to_owned(),
        arguments: r#"{"command":"make"}"#.to_owned(),
        arguments_sha256: "ab".repeat(32),
        requested_at: at(asked_at_ms),
        decision: None,
        message: None,
        decided_by: None,
        decided_at: None,
        used_by: None,
        used_in: None,
        spent: false,
    }
}

/// Done by principal 100.
pub fn audit(action: &str, object: impl std::fmt::Display) -> AuditRow {
    AuditRow {
        at: at(0),
        principal: principal(100),
        action: action.to_owned(),
        object: object.to_string(),
        request_id: domain::RequestId(uuid::Uuid::from_u128(1)),
    }
}

/// Polls once: a write stands in the queue afterwards.
pub async fn is_waiting<F: Future + ?Sized>(mut future: Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Asks until the answer is yes.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
