//! Nothing is written for an attempt that is over, whichever way it is tried.

use crate::mesh::{BACKOFF, LEASE, Mesh, approval, ask, caller, handed_back, pass, succeeded};
use domain::{ErrorCode, JobState, Scope};
use futures_util::stream;
use jobs::Error;
use protocol::{AppendEvents, EventBody, Heartbeat, Lease};
use serde_json::json;

fn note(text: &str) -> EventBody {
    EventBody::AgentNote { message: text.into() }
}

/// Every way there is to write for an attempt, and what each is answered with.
async fn try_everything(mesh: &Mesh, agent: &jobs::Caller, lease: &Lease) -> Vec<(&'static str, Error)> {
    let (handle, job, epoch, attempt) = (&mesh.handle, lease.job_id, lease.epoch, lease.attempt);
    let append = AppendEvents { epoch, attempt, producer_seq: 1, events: vec![note("late")] };
    let content = stream::iter([Ok(bytes::Bytes::from_static(b"late"))]);
    let request = approval(lease, json!({"command": "late"}));
    let beat = Heartbeat { epoch, attempt, wait_ms: 0 };
    vec![
        ("append", handle.append(agent, job, append).await.unwrap_err()),
        (
            "artifact",
            handle.put_artifact(agent, job, (epoch, attempt), "late", "text/plain", content).await.unwrap_err(),
        ),
        ("approval", handle.request_approval(agent, job, request).await.unwrap_err()),
        ("finish", handle.finish(agent, job, succeeded(lease, "late")).await.unwrap_err()),
        ("release", handle.release(agent, job, handed_back(lease, false)).await.unwrap_err()),
        ("failed release", handle.release(agent, job, handed_back(lease, true)).await.unwrap_err()),
        ("heartbeat", handle.heartbeat(agent, job, beat).await.unwrap_err()),
        ("attempt", handle.attempt(agent, job, (epoch, attempt)).await.map(|_| ()).unwrap_err()),
    ]
}

#[tokio::test(start_paused = true)]
async fn after_a_takeover_every_write_of_the_old_attempt_is_refused() {
    let mesh = Mesh::new().await;
    let old = mesh.running(ask("x")).await;
    let backend = mesh.handle.attempt(&mesh.agent, old.job_id, (mesh.store.epoch(), 1)).await.unwrap();
    pass(LEASE).await;
    mesh.until(old.job_id, JobState::Queued).await;
    assert!(backend.cancelled().is_cancelled(), "a model call of the old attempt is stopped");
    pass(BACKOFF).await;
    let new = mesh.lease().await;
    assert_eq!((new.job_id, new.attempt), (old.job_id, 2));

    let before = mesh.log(old.job_id).await;
    for (verb, error) in try_everything(&mesh, &mesh.agent, &old).await {
        assert!(matches!(error, Error::StaleAttempt { attempt: 1, current: 2, .. }), "{verb}: {error}");
        assert_eq!(error.code(), ErrorCode::StaleAttempt);
    }
    let recorded = backend.record(vec![note("late")]).await.unwrap_err();
    assert_eq!(recorded.code(), ErrorCode::StaleAttempt);
    assert_eq!(mesh.log(old.job_id).await, before, "not one event was added");

    mesh.note(&new, 1, "still there").await.unwrap();
    assert_eq!(mesh.succeed(&new).await.state, JobState::Succeeded);
    for (verb, error) in try_everything(&mesh, &mesh.agent, &old).await {
        assert_eq!(error.code(), ErrorCode::StaleAttempt, "{verb}");
    }
    assert_eq!(mesh.types(old.job_id).await.last().unwrap(), "closed");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_over_writes_nothing_though_nobody_took_over() {
    let mesh = Mesh::new().await;
    let released = mesh.running(ask("released")).await;
    mesh.handle.release(&mesh.agent, released.job_id, handed_back(&released, false)).await.unwrap();
    let before = mesh.log(released.job_id).await;
    for (verb, error) in try_everything(&mesh, &mesh.agent, &released).await {
        assert_eq!(error.code(), ErrorCode::StaleAttempt, "{verb}");
    }
    assert_eq!(mesh.log(released.job_id).await, before);
    let again = mesh.lease().await;
    let finished = mesh.succeed(&again).await;
    for (verb, error) in try_everything(&mesh, &mesh.agent, &again).await {
        assert_eq!(error.code(), ErrorCode::StaleAttempt, "{verb}");
    }
    assert_eq!(mesh.job(finished.id).await, finished, "what was recorded stays");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_did_not_lease_the_job_writes_nothing() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let before = mesh.log(lease.job_id).await;
    for (verb, error) in try_everything(&mesh, &caller(Scope::Agent), &lease).await {
        assert_eq!(error.code(), ErrorCode::NotFound, "{verb}");
    }
    for (verb, error) in try_everything(&mesh, &mesh.user, &lease).await {
        assert_eq!(error.code(), ErrorCode::Forbidden, "{verb}");
    }
    assert_eq!(mesh.log(lease.job_id).await, before);
    assert_eq!(mesh.heartbeat(&lease).await.unwrap().lease_ms, 15_000);
}

#[tokio::test(start_paused = true)]
async fn a_batch_sent_twice_is_stored_once_and_a_missing_one_is_noticed() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let append = async |producer_seq, text: &str| {
        let events = vec![note(text), note(text)];
        let append = AppendEvents { epoch: lease.epoch, attempt: lease.attempt, producer_seq, events };
        mesh.handle.append(&mesh.agent, lease.job_id, append).await
    };
    let first = append(1, "one").await.unwrap();
    assert_eq!((first.head.seq, first.repeated), (4, false));
    let second = append(2, "two").await.unwrap();
    for (producer_seq, text) in [(1, "one"), (2, "two")] {
        let repeat = append(producer_seq, text).await.unwrap();
        assert_eq!((repeat.head, repeat.repeated), (second.head, true));
        let other = append(producer_seq, "other").await.unwrap_err();
        assert!(matches!(other, Error::ProducerConflict { producer_seq: seq } if seq == producer_seq), "{other}");
        assert_eq!(other.code(), ErrorCode::ProducerConflict);
    }
    assert!(matches!(append(4, "four").await, Err(Error::ProducerGap { expected: 3, got: 4 })));
    assert_eq!(append(0, "zero").await.unwrap_err().code(), ErrorCode::InvalidRequest);
    assert_eq!(append(3, "three").await.unwrap().head.seq, 8);
    let notes: Vec<_> = mesh.log(lease.job_id).await.into_iter().filter_map(|event| event.body()).collect();
    let notes = notes.into_iter().filter(|body| matches!(body, EventBody::AgentNote { .. })).collect::<Vec<_>>();
    assert_eq!(notes, ["one", "one", "two", "two", "three", "three"].map(note));

    mesh.handle.release(&mesh.agent, lease.job_id, handed_back(&lease, false)).await.unwrap();
    let next = mesh.lease().await;
    assert_eq!(mesh.note(&next, 1, "a new attempt counts from 1").await.unwrap().seq, 11);
    for producer_seq in 2..=40 {
        mesh.note(&next, producer_seq, &format!("{producer_seq}")).await.unwrap();
    }
    let end = mesh.note(&next, 25, "25").await.unwrap();
    assert_eq!(end.seq, 50, "a proxy that repeats an old batch adds nothing");
    assert!(matches!(mesh.note(&next, 25, "other").await, Err(Error::ProducerConflict { .. })));
    for text in ["3", "other"] {
        let old = mesh.note(&next, 3, text).await.unwrap_err();
        assert!(matches!(old, Error::ProducerForgotten { producer_seq: 3 }), "{old}");
        assert_eq!(old.code(), ErrorCode::ProducerConflict);
    }
}

/// Attempt 1 of before and attempt 1 of after are not the same, though agent, job and number are.
#[tokio::test(start_paused = true)]
async fn a_restore_fences_off_every_attempt_of_before() {
    let mesh = Mesh::new().await;
    let queued = mesh.create(ask("x")).await;
    let mesh = mesh.restart_after(another_epoch).await;
    let zombie = mesh.lease().await;
    assert_eq!((zombie.job_id, zombie.attempt), (queued.id, 1));
    mesh.note(&zombie, 1, "of a time that did not happen").await.unwrap();

    // The backup is of the moment before that lease: queued, and never tried.
    let other = mesh.create(ask("y")).await;
    let mesh = mesh.restart_after(another_epoch).await;
    mesh.until(zombie.job_id, JobState::Queued).await;
    let log = mesh.log(zombie.job_id).await;
    let back = log.last().unwrap();
    assert_eq!((back.event_type.as_str(), back.payload["cause"].as_str()), ("job.requeued", Some("released")));
    assert!(back.payload["message"].as_str().unwrap().contains("restored"), "{}", back.payload);
    for (verb, error) in try_everything(&mesh, &mesh.agent, &zombie).await {
        assert_eq!(error.code(), ErrorCode::StaleAttempt, "{verb}: {error}");
    }
    let lease = mesh.lease().await;
    let next = if lease.job_id == other.id { mesh.lease().await } else { lease };
    assert_eq!(next.job_id, zombie.job_id);
    // Whatever number the attempt of after has, the word of before is not its.
    let forged = Lease { attempt: next.attempt, ..zombie.clone() };
    let before = mesh.log(next.job_id).await;
    for (verb, error) in try_everything(&mesh, &mesh.agent, &forged).await {
        assert_eq!(error.code(), ErrorCode::StaleAttempt, "{verb}: {error}");
    }
    assert_eq!(mesh.log(next.job_id).await, before);
    mesh.succeed(&next).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_before_a_restore_does_not_even_repeat_its_question() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let again = || approval(&lease, asked.arguments.clone());
    let repeat = mesh.handle.request_approval(&mesh.agent, lease.job_id, again()).await.unwrap();
    assert_eq!(repeat.approval_id, asked.id);
    let mesh = mesh.restart_after(another_epoch).await;
    assert_eq!(mesh.job(lease.job_id).await.state, JobState::WaitingApproval);
    let repeat = mesh.handle.request_approval(&mesh.agent, lease.job_id, again()).await.unwrap_err();
    assert_eq!(repeat.code(), ErrorCode::StaleAttempt, "{repeat}");
}

/// What a restore does to a data folder, seen from here.
fn another_epoch(folder: std::path::PathBuf) {
    let database = rusqlite::Connection::open(folder.join(store::DATABASE_FILE)).unwrap();
    database.execute("UPDATE store SET epoch = (epoch + 1) % 4294967296", ()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn agents_write_their_own_kinds_of_events_in_bounded_batches() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let pointers = async |events: Vec<EventBody>| {
        let append = AppendEvents { epoch: mesh.store.epoch(), attempt: 1, producer_seq: 1, events };
        match mesh.handle.append(&mesh.agent, lease.job_id, append).await {
            Err(Error::Invalid(mistakes)) => mistakes.into_iter().map(|mistake| mistake.pointer).collect(),
            other => panic!("{other:?}"),
        }
    };
    let closed = EventBody::Closed { state: JobState::Succeeded, reason: None, message: None, result: None };
    let delta = EventBody::ModelDelta { call_id: "c".into(), text: "x".into() };
    let found: Vec<String> = pointers(vec![note("fine"), closed, delta]).await;
    assert_eq!(found, ["/events/1/type", "/events/2/type"]);
    assert_eq!(pointers(Vec::new()).await, ["/events"]);
    assert_eq!(pointers(vec![note("x"); 257]).await, ["/events"]);
    assert_eq!(pointers(vec![note("fine"), note(&"x".repeat(1 << 20))]).await, ["/events/1/payload"]);
    assert_eq!(mesh.job(lease.job_id).await.head.seq, 2);
    assert!(mesh.note(&lease, 1, &"x".repeat(1 << 19)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_last_words_may_be_said_twice_but_not_changed() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let first = mesh.succeed(&lease).await;
    let repeat = mesh.handle.finish(&mesh.agent, lease.job_id, succeeded(&lease, "done")).await.unwrap();
    assert_eq!(repeat, first);
    let changed = mesh.handle.finish(&mesh.agent, lease.job_id, succeeded(&lease, "something else")).await;
    assert_eq!(changed.unwrap_err().code(), ErrorCode::StaleAttempt);
    assert_eq!(mesh.types(lease.job_id).await, ["job.created", "job.leased", "closed"]);
}
