//! Cancel reaches a job wherever it is.

use crate::mesh::{LEASE, Mesh, ask, handed_back, pass, succeeded, worker};
use domain::{ErrorCode, JobState};
use jobs::{Error, Options};
use protocol::{CancelJob, Control, Decision, EventBody, FinishJob, JobResult, ListApprovals, Outcome};
use std::time::Duration;

fn because(message: &str) -> CancelJob {
    CancelJob { message: Some(message.into()) }
}

#[tokio::test(start_paused = true)]
async fn a_queued_job_is_closed_at_once() {
    let mesh = Mesh::new().await;
    let id = mesh.create(ask("x")).await.id;
    let job = mesh.handle.cancel(&mesh.user, id, because("not needed")).await.unwrap();
    assert_eq!((job.state, job.message.as_deref()), (JobState::Cancelled, Some("not needed")));
    assert_eq!(mesh.types(id).await, ["job.created", "job.cancel_requested", "closed"]);
    assert_eq!(mesh.try_lease().await, None);
    let again = mesh.handle.cancel(&mesh.user, id, because("twice")).await.unwrap();
    assert_eq!(again, job, "a repeat is harmless and changes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_running_job_is_told_and_ends_with_its_agent() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let attempt = mesh.handle.attempt(&mesh.agent, lease.job_id, (mesh.store.epoch(), 1)).await.unwrap();
    let job = mesh.handle.cancel(&mesh.user, lease.job_id, because("enough")).await.unwrap();
    assert_eq!((job.state, job.cancel_requested), (JobState::Running, true));
    assert!(attempt.cancelled().is_cancelled(), "a model call is stopped");
    assert_eq!(mesh.heartbeat(&lease).await.unwrap().control, Control::Cancel);
    mesh.note(&lease, 1, "the command was killed").await.unwrap();
    // Whatever the agent says, the job was cancelled; what it has to show is kept.
    let done = mesh.handle.finish(&mesh.agent, lease.job_id, succeeded(&lease, "half")).await.unwrap();
    assert_eq!((done.state, done.message.as_deref()), (JobState::Cancelled, Some("enough")));
    assert_eq!(done.result.unwrap().answer.as_deref(), Some("half"));
    assert_eq!(mesh.types(lease.job_id).await[2..], ["job.cancel_requested", "agent.note", "closed"]);
    let over = mesh.handle.cancel(&mesh.user, lease.job_id, because("again")).await.unwrap();
    assert_eq!(over.message.as_deref(), Some("enough"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_does_not_listen_is_not_waited_for() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    mesh.handle.cancel(&mesh.user, lease.job_id, Default::default()).await.unwrap();
    for _ in 0..19 {
        mesh.heartbeat(&lease).await.unwrap();
        pass(Duration::from_secs(1)).await;
    }
    assert_eq!(mesh.job(lease.job_id).await.state, JobState::Running, "lease + grace is not over");
    mesh.heartbeat(&lease).await.unwrap();
    pass(Duration::from_secs(1)).await;
    mesh.until(lease.job_id, JobState::Cancelled).await;
    let late = mesh.handle.finish(&mesh.agent, lease.job_id, succeeded(&lease, "late")).await;
    assert_eq!(late.unwrap_err().code(), ErrorCode::StaleAttempt);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_job_is_never_queued_again() {
    let mesh = Mesh::new().await;
    for failed in [false, true] {
        let lease = mesh.running(ask("released")).await;
        mesh.handle.cancel(&mesh.user, lease.job_id, Default::default()).await.unwrap();
        let job = mesh.handle.release(&mesh.agent, lease.job_id, handed_back(&lease, failed)).await.unwrap();
        assert_eq!(job.state, JobState::Cancelled);
    }
    let lease = mesh.running(ask("lost")).await;
    mesh.handle.cancel(&mesh.user, lease.job_id, Default::default()).await.unwrap();
    pass(LEASE).await;
    mesh.until(lease.job_id, JobState::Cancelled).await;
    let lease = mesh.running(ask("asks")).await;
    mesh.handle.cancel(&mesh.user, lease.job_id, Default::default()).await.unwrap();
    let request = crate::mesh::approval(&lease, serde_json::json!({}));
    let refused = mesh.handle.request_approval(&mesh.agent, lease.job_id, request).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::WrongState);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_for_a_person_is_closed_at_once() {
    let mesh = Mesh::new().await;
    let (lease, approval) = mesh.waiting().await;
    let job = mesh.handle.cancel(&mesh.user, lease.job_id, Default::default()).await.unwrap();
    assert_eq!(job.state, JobState::Cancelled);
    let types = mesh.types(lease.job_id).await;
    assert_eq!(types[2..], ["approval.requested", "job.cancel_requested", "approval.decided", "closed"]);
    let pending = ListApprovals { pending: Some(true), ..ListApprovals::default() };
    assert!(
        mesh.handle.approvals(&mesh.user, pending).await.unwrap().approvals.is_empty(),
        "nothing is left to decide"
    );
    let decide = protocol::DecideApproval {
        decision: Decision::Approved,
        arguments_sha256: approval.arguments_sha256,
        message: None,
    };
    let late = mesh.handle.decide(&mesh.user, approval.id, decide).await.unwrap_err();
    assert_eq!(late.code(), ErrorCode::WrongState);
    assert_eq!(mesh.types(lease.job_id).await.last().unwrap(), "closed");
}

#[tokio::test(start_paused = true)]
async fn what_is_over_cannot_be_cancelled_and_nobody_else_cancels() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let alone = Outcome::Cancelled { result: JobResult::default() };
    let finish = FinishJob { epoch: mesh.store.epoch(), attempt: 1, outcome: alone };
    let refused = mesh.handle.finish(&mesh.agent, lease.job_id, finish).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidRequest, "an agent does not cancel by itself");
    mesh.succeed(&lease).await;
    let late = mesh.handle.cancel(&mesh.user, lease.job_id, Default::default()).await.unwrap_err();
    assert!(matches!(late, Error::WrongState { state: JobState::Succeeded, .. }));
    let long = because(&"x".repeat(2049));
    let refused = mesh.handle.cancel(&mesh.user, lease.job_id, long).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidRequest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_that_meets_a_lease_is_never_lost() {
    let mesh = Mesh::with(Options::default()).await;
    for _ in 0..50 {
        let (handle, agent) = (mesh.handle.clone(), mesh.agent);
        let leasing = tokio::spawn(async move { handle.lease(&agent, worker("racing", 1_000)).await });
        let id = mesh.create(ask("x")).await.id;
        mesh.handle.cancel(&mesh.user, id, Default::default()).await.unwrap();
        if mesh.job(id).await.state == JobState::Cancelled {
            leasing.abort();
            let _ = leasing.await;
            continue;
        }
        let lease = leasing.await.unwrap().unwrap().expect("it runs, so somebody leased it");
        // Told within moments of its own lease, not when the lease runs out.
        mesh.told(&lease, Control::Cancel).await;
        mesh.succeed(&lease).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_says_who_wanted_it_and_why() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    mesh.handle.cancel(&mesh.user, lease.job_id, because("wrong branch")).await.unwrap();
    let log = mesh.log(lease.job_id).await;
    let last = log.last().unwrap();
    assert_eq!((last.actor, last.attempt), (protocol::Actor::User, 1));
    let message = Some("wrong branch".to_owned());
    assert_eq!(last.body(), Some(EventBody::JobCancelRequested { message }));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_cancels_all_the_same() {
    let mesh = Mesh::new().await;
    for polls in 1..6 {
        let lease = mesh.running(ask("x")).await;
        {
            let mut cancel = std::pin::pin!(mesh.handle.cancel(&mesh.user, lease.job_id, because("gone")));
            for _ in 0..polls {
                if futures_util::poll!(&mut cancel).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        mesh.told(&lease, Control::Cancel).await;
        mesh.succeed(&lease).await;
    }
}
