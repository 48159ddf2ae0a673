//! What is there after the backend went and came back, and what is gone when it is old enough.

use crate::mesh::{BACKOFF, LEASE, Mesh, approval, ask, eventually, handed_back, pass};
use domain::{Clock, ErrorCode, JobState, Timestamp};
use jobs::Options;
use protocol::{Control, DecideApproval, Decision, ListJobs};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

#[tokio::test(start_paused = true)]
async fn a_restart_in_every_state_changes_nothing() {
    let mesh = Mesh::new().await;
    let (waiting, asked) = mesh.waiting().await;
    let finished = mesh.running(ask("finished")).await;
    mesh.succeed(&finished).await;
    let running = mesh.running(ask("running")).await;
    mesh.note(&running, 1, "half-way").await.unwrap();
    let stopping = mesh.running(ask("stopping")).await;
    mesh.handle.cancel(&mesh.user, stopping.job_id, Default::default()).await.unwrap();
    let delayed = mesh.running(ask("delayed")).await;
    mesh.handle.release(&mesh.agent, delayed.job_id, handed_back(&delayed, true)).await.unwrap();
    let queued = mesh.create(ask("queued")).await;
    let cancelled = mesh.create(ask("cancelled")).await;
    mesh.handle.cancel(&mesh.user, cancelled.id, Default::default()).await.unwrap();

    let before = mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap();
    let log = mesh.log(running.job_id).await;
    let mesh = mesh.restart().await;
    let after = mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap();
    assert_eq!(after, before);
    assert_eq!(mesh.log(running.job_id).await, log);
    for job in &after.jobs {
        assert!(mesh.handle.verify(&mesh.user, job.id).await.unwrap().intact);
    }

    // Everybody goes on where they were.
    assert_eq!(mesh.note(&running, 1, "half-way").await.unwrap(), log.last().unwrap().cursor, "a repeat is one still");
    mesh.note(&running, 2, "on").await.unwrap();
    assert_eq!(mesh.heartbeat(&running).await.unwrap().control, Control::Continue);
    mesh.succeed(&running).await;
    assert_eq!(mesh.heartbeat(&stopping).await.unwrap().control, Control::Cancel, "it is told again");
    assert_eq!(mesh.succeed(&stopping).await.state, JobState::Cancelled);
    let decide = DecideApproval {
        decision: Decision::Approved,
        arguments_sha256: asked.arguments_sha256.clone(),
        message: None,
    };
    mesh.handle.decide(&mesh.user, asked.id, decide).await.unwrap();
    pass(BACKOFF).await;
    let mut left = vec![waiting.job_id, delayed.job_id, queued.id];
    while !left.is_empty() {
        let lease = mesh.lease().await;
        let position = left.iter().position(|job| *job == lease.job_id).expect("each once");
        left.remove(position);
        mesh.succeed(&lease).await;
    }
    assert_eq!(mesh.try_lease().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_running_job_gets_one_fresh_lease_after_a_restart() {
    let mesh = Mesh::new().await;
    let lost = mesh.running(ask("worker gone")).await;
    pass(LEASE - Duration::from_secs(1)).await;
    let mesh = mesh.restart().await;
    pass(LEASE - Duration::from_secs(1)).await;
    assert_eq!(mesh.job(lost.job_id).await.state, JobState::Running, "its worker has a whole lease to be heard of");
    pass(Duration::from_secs(1)).await;
    mesh.until(lost.job_id, JobState::Queued).await;
    pass(BACKOFF).await;
    let next = mesh.lease().await;
    assert_eq!((next.job_id, next.attempt), (lost.job_id, 2));
    let late = mesh.note(&lost, 1, "late").await.unwrap_err();
    assert_eq!(late.code(), ErrorCode::StaleAttempt, "fencing survives the restart");
}

#[tokio::test(start_paused = true)]
async fn time_that_was_used_stays_used() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(json!({"kind": "ask", "task": "x", "limits": {"total_timeout_ms": 60_000}})).await;
    for _ in 0..3 {
        pass(Duration::from_secs(10)).await;
        mesh.heartbeat(&lease).await.unwrap();
    }
    // What an agent spent is written down as it is spent, and the time with it.
    let usage = protocol::Usage { steps: 4, input_tokens: 100, ..Default::default() };
    let events = vec![protocol::EventBody::BudgetUpdated { usage }];
    let append = protocol::AppendEvents { epoch: mesh.store.epoch(), attempt: 1, producer_seq: 1, events };
    mesh.handle.append(&mesh.agent, lease.job_id, append).await.unwrap();
    let mesh = mesh.restart().await;
    mesh.handle.release(&mesh.agent, lease.job_id, handed_back(&lease, false)).await.unwrap();
    let next = mesh.lease().await;
    assert_eq!(next.time_left_ms, 30_000);
    assert_eq!(next.usage, usage);
}

#[tokio::test(start_paused = true)]
async fn a_backoff_goes_on_over_a_restart_even_if_the_clock_was_set_back() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    mesh.handle.release(&mesh.agent, lease.job_id, handed_back(&lease, true)).await.unwrap();
    // As a clock that was an hour fast when the backoff was written would leave it.
    let mesh = mesh
        .restart_after(|folder| {
            let database = rusqlite::Connection::open(folder.join(store::DATABASE_FILE)).unwrap();
            let ahead = Timestamp::from_millis(1_795_386_615_000).plus_millis(3_600_000).as_millis();
            let rows = database.execute("UPDATE jobs SET not_before = ?1", [ahead]).unwrap();
            assert_eq!(rows, 1);
        })
        .await;
    assert_eq!(mesh.try_lease().await, None);
    pass(Duration::from_secs(60)).await;
    let next = mesh.lease().await;
    assert_eq!(next.job_id, lease.job_id, "the longest backoff is over, whatever the wall clock says");
}

/// The agent knows what happened after the copy was made, and the log does not.
#[tokio::test(start_paused = true)]
async fn what_ran_when_a_folder_was_copied_is_queued_again_and_its_agent_is_turned_away() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let put_back_from_a_copy = |folder: PathBuf| {
        let (database, copy) = (folder.join(store::DATABASE_FILE), folder.join("copy"));
        std::fs::copy(&database, &copy).unwrap();
        std::fs::rename(&copy, &database).unwrap();
    };
    let mesh = mesh.restart_after(put_back_from_a_copy).await;
    assert_eq!(mesh.job(lease.job_id).await.state, JobState::Queued);
    let again = mesh.lease().await;
    assert_eq!(again.job_id, lease.job_id);
    assert_ne!(again.epoch, lease.epoch);
    assert_eq!(mesh.note(&lease, 1, "of before").await.unwrap_err().code(), ErrorCode::StaleAttempt);
    mesh.note(&again, 1, "of now").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn idempotency_survives_a_restart() {
    let mesh = Mesh::new().await;
    let key = || Some(jobs::IdempotencyKey::new("k").unwrap());
    let spec = crate::mesh::job(ask("x"));
    let first = mesh.handle.create(&mesh.user, spec.clone(), key()).await.unwrap();
    let mesh = mesh.restart().await;
    assert_eq!(mesh.handle.create(&mesh.user, spec, key()).await.unwrap().id, first.id);
}

#[tokio::test(start_paused = true)]
async fn old_jobs_go_and_young_and_unfinished_ones_stay() {
    let retention = Some(Duration::from_secs(3_600));
    let mesh = Mesh::with(Options { retention, ..Options::default() }).await;
    let mut old = Vec::new();
    for _ in 0..40 {
        let id = mesh.create(ask("old")).await.id;
        mesh.handle.cancel(&mesh.user, id, Default::default()).await.unwrap();
        old.push(id);
    }
    let (waiting, _) = mesh.waiting().await;
    pass(Duration::from_secs(3_000)).await;
    let young = mesh.running(ask("young")).await;
    let request = approval(&young, json!({}));
    mesh.handle.request_approval(&mesh.agent, young.job_id, request).await.unwrap();
    mesh.handle.cancel(&mesh.user, young.job_id, Default::default()).await.unwrap();
    pass(Duration::from_secs(700)).await;
    let only_two = async || {
        let left = mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap().jobs;
        let left: Vec<_> = left.into_iter().map(|job| job.id).collect();
        assert!(left.contains(&waiting.job_id) && left.contains(&young.job_id));
        (left.len() == 2).then_some(())
    };
    eventually("only the young and the unfinished job are left", only_two).await;
    assert_eq!(mesh.handle.get(&mesh.user, old[0]).await.unwrap_err().code(), ErrorCode::NotFound);
}

/// Set right within a day, a clock that was a year ahead has cost nothing.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_removes_nothing() {
    let retention = Some(Duration::from_secs(3_600));
    let mesh = Mesh::with(Options { retention, ..Options::default() }).await;
    let old = mesh.running(ask("old")).await;
    mesh.succeed(&old).await;
    mesh.clock.jump(365 * 24 * 3_600_000);
    pass(Duration::from_secs(1_800)).await;
    let young = mesh.running(ask("young")).await;
    mesh.succeed(&young).await;
    pass(Duration::from_secs(1_800)).await;
    assert_eq!(mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap().jobs.len(), 2);

    // The same at a start.
    let mesh = mesh.restart_after(|_| ()).await;
    mesh.clock.jump(365 * 24 * 3_600_000);
    let mesh = mesh.restart_after(|_| ()).await;
    pass(Duration::from_secs(3 * 3_600)).await;
    assert_eq!(mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap().jobs.len(), 2);
    // It was right: the day after, what is old goes.
    let none = async || {
        pass(Duration::from_secs(3_600)).await;
        mesh.handle.list(&mesh.user, ListJobs::default()).await.unwrap().jobs.is_empty().then_some(())
    };
    eventually("both are old", none).await;
}

#[tokio::test(start_paused = true)]
async fn old_audit_entries_go_and_the_rest_is_still_a_chain() {
    let audit_retention = Some(Duration::from_secs(3_600));
    let mesh = Mesh::with(Options { audit_retention, ..Options::default() }).await;
    // More than one transaction takes.
    for _ in 0..520 {
        mesh.create(ask("old")).await;
    }
    pass(Duration::from_secs(3_000)).await;
    let young = mesh.create(ask("young")).await;
    pass(Duration::from_secs(700)).await;
    let only_young = async || {
        let left = mesh.store.page_of_audit(store::AuditFilter::default()).await.unwrap().rows;
        (left.len() == 1 && left[0].row.object == young.id.to_string()).then_some(())
    };
    eventually("only the young entry is left", only_young).await;
    let report = store::verify_audit(&*mesh.store).await.unwrap();
    assert_eq!((report.entries, report.removed_through, report.broken), (1, 520, None));
}

#[tokio::test(start_paused = true)]
async fn records_of_old_model_calls_go_and_young_ones_stay() {
    let model_calls_retention = Some(Duration::from_secs(3_600));
    let mesh = Mesh::with(Options { model_calls_retention, ..Options::default() }).await;
    let batch = std::cell::Cell::new(0);
    let made = async |count: usize| {
        let rows: Vec<_> = (0..count).map(|_| model_call(mesh.clock.now())).collect();
        batch.set(batch.get() + 1);
        let number = store::BatchNumber { run: mesh.user.principal.0, batch: batch.get() };
        let books = store::BooksBatch { number, spend: Vec::new(), calls: rows, ledger: Vec::new() };
        assert!(mesh.store.book(books).await.unwrap());
    };
    // More than one transaction takes.
    made(1_100).await;
    pass(Duration::from_secs(3_000)).await;
    made(3).await;
    pass(Duration::from_secs(700)).await;
    let left = async || {
        let all = store::ModelCallFilter { principal: None, job: None, before: None, limit: 1_000 };
        let left = mesh.store.page_of_model_calls(all).await.unwrap();
        (left.rows.len() == 3).then_some(())
    };
    eventually("only the young calls are left", left).await;
}

fn model_call(at: Timestamp) -> store::ModelCallRow {
    store::ModelCallRow {
        id: domain::ModelCallId::new(at),
        at,
        principal: domain::PrincipalId::new(at),
        job: None,
        route: "fast".into(),
        provider: None,
        model: None,
        digest: None,
        state: "succeeded",
        input_tokens: None,
        output_tokens: None,
        cost_microusd: None,
        first_token_ms: None,
        total_ms: None,
        detail: "{}".into(),
    }
}

#[tokio::test(start_paused = true)]
async fn forgotten_keys_are_removed() {
    let mesh = Mesh::new().await;
    let key = Some(jobs::IdempotencyKey::new("k").unwrap());
    mesh.handle.create(&mesh.user, crate::mesh::job(ask("x")), key).await.unwrap();
    let stored = async || mesh.store.remembered_answer(mesh.user.principal, "k".to_owned()).await.unwrap().is_some();
    pass(Duration::from_secs(24 * 3_600 - 60)).await;
    assert!(stored().await);
    pass(Duration::from_secs(130)).await;
    eventually("the key is gone", async || (!stored().await).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn model_calls_are_counted_by_the_backend_whatever_becomes_of_the_agent() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let attempt = mesh.handle.attempt(&mesh.agent, lease.job_id, (mesh.store.epoch(), 1)).await.unwrap();
    let finished = protocol::EventBody::ModelFinished {
        call_id: "c".into(),
        route: "default".into(),
        provider: "embedded".into(),
        model: "small".into(),
        content: "answer".into(),
        tool_calls: Vec::new(),
        finish_reason: "stop".into(),
        input_tokens: 100,
        output_tokens: 7,
        cost_microusd: 3,
        first_token_ms: 5,
        total_ms: 40,
        fallbacks: Vec::new(),
    };
    attempt.record(vec![finished.clone()]).await.unwrap();
    attempt.record(vec![finished]).await.unwrap();
    pass(LEASE).await;
    mesh.until(lease.job_id, JobState::Queued).await;
    pass(BACKOFF).await;
    let next = mesh.lease().await;
    let used = protocol::Usage {
        steps: 2,
        input_tokens: 200,
        output_tokens: 14,
        cost_microusd: 6,
        model_ms: 80,
        ..Default::default()
    };
    assert_eq!(next.usage, used);
    assert_eq!(mesh.succeed(&next).await.result.unwrap().usage, used);
}
