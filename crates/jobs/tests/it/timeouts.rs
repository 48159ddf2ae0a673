//! Total and idle time, measured by the clock that never steps.

use crate::mesh::{BACKOFF, LEASE, Mesh, breathe, handed_back, pass, succeeded};
use domain::{FailureReason, JobState};
use protocol::{Control, EventBody, Lease};
use serde_json::{Value, json};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn limited(limits: Value) -> Value {
    json!({"kind": "ask", "task": "x", "limits": limits})
}

/// Time passes for an agent that is alive and says nothing.
async fn beat_for(mesh: &Mesh, lease: &Lease, seconds: u64) {
    for _ in 0..seconds {
        mesh.heartbeat(lease).await.unwrap();
        pass(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_out_of_time_is_told_and_then_closed() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(limited(json!({"total_timeout_ms": 30_000}))).await;
    assert_eq!(lease.time_left_ms, 30_000);
    let attempt = mesh.handle.attempt(&mesh.agent, lease.job_id, (mesh.store.epoch(), 1)).await.unwrap();
    beat_for(&mesh, &lease, 29).await;
    assert_eq!(mesh.heartbeat(&lease).await.unwrap().control, Control::Continue);
    pass(SECOND).await;
    mesh.told(&lease, Control::TimeOut).await;
    assert!(attempt.cancelled().is_cancelled());
    mesh.note(&lease, 1, "killed the build").await.unwrap();
    beat_for(&mesh, &lease, 20).await;
    let job = mesh.until(lease.job_id, JobState::Failed).await;
    assert_eq!(job.reason, Some(FailureReason::TimedOut));
    assert!(job.message.unwrap().contains("total time of 30s"));
}

#[tokio::test(start_paused = true)]
async fn total_time_is_counted_over_attempts_but_not_while_waiting() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(limited(json!({"total_timeout_ms": 60_000}))).await;
    beat_for(&mesh, &lease, 20).await;
    mesh.handle.release(&mesh.agent, lease.job_id, handed_back(&lease, false)).await.unwrap();
    pass(Duration::from_secs(1_000)).await;
    let lease = mesh.lease().await;
    assert_eq!(lease.time_left_ms, 40_000);
    // The worker vanishes: its time counts up to the moment it is given up.
    pass(LEASE).await;
    mesh.until(lease.job_id, JobState::Queued).await;
    pass(BACKOFF).await;
    let lease = mesh.lease().await;
    assert_eq!(lease.time_left_ms, 25_000);
    pass(LEASE).await;
    mesh.until(lease.job_id, JobState::Queued).await;
    pass(BACKOFF).await;
    let lease = mesh.lease().await;
    assert_eq!(lease.time_left_ms, 10_000);
    pass(LEASE).await;
    let job = mesh.until(lease.job_id, JobState::Failed).await;
    assert_eq!(job.reason, Some(FailureReason::TimedOut), "a fourth attempt would have no time");
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_job_and_any_event_breaks_it() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(limited(json!({"idle_timeout_ms": 10_000}))).await;
    let attempt = mesh.handle.attempt(&mesh.agent, lease.job_id, (mesh.store.epoch(), 1)).await.unwrap();
    beat_for(&mesh, &lease, 9).await;
    mesh.note(&lease, 1, "still here").await.unwrap();
    beat_for(&mesh, &lease, 9).await;
    let delta = EventBody::ModelDelta { call_id: "c".into(), text: "thinking".into() };
    attempt.record(vec![delta]).await.unwrap();
    beat_for(&mesh, &lease, 9).await;
    assert_eq!(mesh.heartbeat(&lease).await.unwrap().control, Control::Continue);
    pass(SECOND).await;
    mesh.told(&lease, Control::TimeOut).await;
    pass(LEASE).await;
    let job = mesh.until(lease.job_id, JobState::Failed).await;
    assert_eq!(job.reason, Some(FailureReason::TimedOut));
    assert!(job.message.unwrap().contains("nothing happened for 10s"));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_told_may_still_hand_in_what_it_has() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(limited(json!({"total_timeout_ms": 5_000}))).await;
    pass(5 * SECOND).await;
    mesh.told(&lease, Control::TimeOut).await;
    let job = mesh.handle.finish(&mesh.agent, lease.job_id, succeeded(&lease, "just in time")).await.unwrap();
    assert_eq!(job.state, JobState::Succeeded, "finished work is not thrown away for being late");
    breathe().await;
    pass(LEASE * 3).await;
    assert_eq!(mesh.types(lease.job_id).await.last().unwrap(), "closed");
}
