//! Who gets which job, for how long, and what happens when a worker goes.

use crate::mesh::{
    BACKOFF, LEASE, Mesh, approval, ask, breathe, caller, eventually, handed_back, job, pass, succeeded, worker,
};
use domain::{FailureReason, JobState, Scope};
use jobs::{Error, Options};
use protocol::{Control, EventBody, FinishJob, Heartbeat, JobResult, Outcome, ReleaseJob, RequeueCause};
use serde_json::json;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_worker_that_vanishes_is_replaced_and_the_log_shows_it() {
    let mesh = Mesh::new().await;
    let lost = mesh.running(ask("x")).await;
    pass(LEASE - SECOND).await;
    mesh.heartbeat(&lost).await.unwrap();
    pass(LEASE - SECOND).await;
    assert_eq!(mesh.job(lost.job_id).await.state, JobState::Running, "it was heard of in time");
    pass(SECOND).await;
    mesh.until(lost.job_id, JobState::Queued).await;
    // Lease + 5 s is what is promised; the longest backoff after a lost lease is 4 s.
    let waiting = mesh.handle.clone();
    let agent = mesh.agent;
    let successor = tokio::spawn(async move { waiting.lease(&agent, worker("successor", 30_000)).await });
    pass(BACKOFF).await;
    let next = successor.await.unwrap().unwrap().expect("replaced within lease + 4 s");
    assert_eq!((next.job_id, next.attempt), (lost.job_id, 2));

    let log = mesh.log(lost.job_id).await;
    let bodies: Vec<_> = log.iter().map(|event| event.body().unwrap()).collect();
    let EventBody::JobRequeued { cause: RequeueCause::LeaseLost, message, .. } = &bodies[2] else { panic!("{log:?}") };
    assert_eq!(message, "no heartbeat from worker worker for 15s");
    assert!(matches!(&bodies[3], EventBody::JobLeased { worker_name, .. } if worker_name == "successor"));
    assert_eq!((log[2].attempt, log[3].attempt), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn lost_leases_use_up_attempts_and_the_end_says_so() {
    let mesh = Mesh::new().await;
    let spec = json!({"kind": "ask", "task": "poison", "limits": {"attempts": 3}});
    let id = mesh.create(spec).await.id;
    for attempt in 1..=3 {
        pass(BACKOFF).await;
        let lease = mesh.lease().await;
        assert_eq!((lease.job_id, lease.attempt), (id, attempt));
        pass(LEASE).await;
        mesh.until(id, if attempt < 3 { JobState::Queued } else { JobState::Failed }).await;
    }
    let failed = mesh.job(id).await;
    assert_eq!(failed.reason, Some(FailureReason::Error));
    let message = failed.message.unwrap();
    assert_eq!(message, "gave up after 3 of 3 allowed attempts; the last one: no heartbeat from worker worker for 15s");
    let types = mesh.types(id).await;
    assert_eq!(types.iter().filter(|name| *name == "job.leased").count(), 3);
    assert_eq!(types.last().unwrap(), "closed");
}

/// The message quotes what commands and models said; a job is not lost over a character nobody chose.
#[tokio::test(start_paused = true)]
async fn last_words_are_kept_whatever_is_in_them() {
    let mesh = Mesh::new().await;
    let foreign = format!("make said:\n\t\u{1b}[31merror\0\r\n{}", "é".repeat(20_000));
    let lease = mesh.running(ask("x")).await;
    let release = ReleaseJob { epoch: lease.epoch, attempt: lease.attempt, message: foreign.clone(), failed: true };
    let job = mesh.handle.release(&mesh.agent, lease.job_id, release).await.unwrap();
    let told = job.message.unwrap();
    assert!(told.starts_with("make said:\n\t\u{fffd}[31merror\u{fffd}\néé"), "{told}");
    assert!(told.len() <= 2048 && told.ends_with("bytes in all]"), "{told}");

    pass(BACKOFF).await;
    let lease = mesh.lease().await;
    let (reason, result) = (FailureReason::Error, JobResult::default());
    let outcome = Outcome::Failed { reason, message: foreign, result };
    let finish = FinishJob { epoch: lease.epoch, attempt: lease.attempt, outcome };
    let job = mesh.handle.finish(&mesh.agent, lease.job_id, finish.clone()).await.unwrap();
    let told = job.message.clone().unwrap();
    assert!(told.starts_with("make said:\n\t\u{fffd}[31merror\u{fffd}\néé"), "{told}");
    assert!(told.len() <= 16 << 10 && told.ends_with("bytes in all]"));
    assert_eq!(mesh.handle.finish(&mesh.agent, lease.job_id, finish).await.unwrap(), job, "said again, it is the same");
    assert!(mesh.handle.verify(&mesh.user, lease.job_id).await.unwrap().intact);
}

#[tokio::test(start_paused = true)]
async fn handing_back_costs_no_attempt_and_failing_does() {
    let mesh = Mesh::new().await;
    let spec = json!({"kind": "ask", "task": "x", "limits": {"attempts": 2}});
    let id = mesh.create(spec).await.id;
    for _ in 0..4 {
        let lease = mesh.lease().await;
        let job = mesh.handle.release(&mesh.agent, id, handed_back(&lease, false)).await.unwrap();
        assert_eq!(job.state, JobState::Queued);
    }
    let lease = mesh.lease().await;
    assert_eq!(lease.attempt, 5);
    let failed_once = mesh.handle.release(&mesh.agent, id, handed_back(&lease, true)).await.unwrap();
    assert_eq!(failed_once.state, JobState::Queued);
    let bodies: Vec<_> = mesh.log(id).await.into_iter().filter_map(|event| event.body()).collect();
    let Some(EventBody::JobRequeued { cause: RequeueCause::AttemptFailed, delay_ms, .. }) = bodies.last() else {
        panic!("{bodies:?}")
    };
    assert!(*delay_ms <= 1_000);
    pass(SECOND).await;
    let lease = mesh.lease().await;
    let failed = mesh.handle.release(&mesh.agent, id, handed_back(&lease, true)).await.unwrap();
    assert_eq!((failed.state, failed.reason), (JobState::Failed, Some(FailureReason::Error)));
    assert!(failed.message.unwrap().contains("gave up after 2 of 2 allowed attempts"));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_worker_hears_of_a_new_job_at_once() {
    let mesh = Mesh::new().await;
    let (handle, agent) = (mesh.handle.clone(), mesh.agent);
    let waiting = tokio::spawn(async move { handle.lease(&agent, worker("patient", 30_000)).await });
    breathe().await;
    assert!(!waiting.is_finished());
    let created = mesh.create(ask("x")).await;
    // Time stands still: only the commit can have woken it.
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().job_id, created.id);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waited_in_vain_is_told_so() {
    let mesh = Mesh::new().await;
    let (handle, agent) = (mesh.handle.clone(), mesh.agent);
    let waiting = tokio::spawn(async move { handle.lease(&agent, worker("patient", 60_000)).await });
    breathe().await;
    pass(Duration::from_secs(30)).await;
    assert_eq!(waiting.await.unwrap().unwrap(), None, "nobody waits for longer than 30 s");
    assert_eq!(mesh.try_lease().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_leaves_takes_no_job_with_it() {
    let mesh = Mesh::new().await;
    for round in 0..40 {
        let mut lease = Box::pin(mesh.handle.lease(&mesh.agent, worker("leaving", 30_000)));
        assert!(futures_util::poll!(&mut lease).is_pending(), "there is nothing to do yet");
        let created = mesh.create(ask("x")).await;
        if round % 2 == 0 {
            // The job was given to it, and it never looked.
            eventually("it is leased", async || {
                let running = mesh.job(created.id).await.state == JobState::Running;
                running.then_some(())
            })
            .await;
        }
        // Or somewhere between the commit of the job and that of the lease.
        for _ in 0..round % 7 {
            tokio::task::yield_now().await;
        }
        drop(lease);
        let lease = mesh.lease().await;
        assert_eq!(lease.job_id, created.id);
        assert!(mesh.heartbeat(&lease).await.is_ok());
        mesh.succeed(&lease).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_has_created_its_job_and_woken_a_worker() {
    let mesh = Mesh::new().await;
    for polls in 1..6 {
        let (handle, agent) = (mesh.handle.clone(), mesh.agent);
        let waiting = tokio::spawn(async move { handle.lease(&agent, worker("patient", 30_000)).await });
        {
            let mut create = std::pin::pin!(mesh.handle.create(&mesh.user, job(ask("x")), None));
            for _ in 0..polls {
                if futures_util::poll!(&mut create).is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        let lease = waiting.await.unwrap().unwrap().expect("time stands still, so the commit woke it");
        mesh.succeed(&lease).await;
    }
}

#[tokio::test(start_paused = true)]
async fn workers_are_served_in_the_order_they_came() {
    let mesh = Mesh::new().await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        let (handle, agent) = (mesh.handle.clone(), mesh.agent);
        let name = format!("worker-{number}");
        waiting.push(tokio::spawn(async move { handle.lease(&agent, worker(&name, 30_000)).await }));
        tokio::task::yield_now().await;
    }
    for waiting in waiting {
        let created = mesh.create(ask("x")).await;
        assert_eq!(waiting.await.unwrap().unwrap().unwrap().job_id, created.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_workers_and_a_hundred_jobs_meet_exactly_once() {
    let options = Options { running_per_principal: 100, ..Options::default() };
    let mesh = Mesh::with(options).await;
    let mut waiting = Vec::new();
    for number in 0..100 {
        let (handle, agent) = (mesh.handle.clone(), mesh.agent);
        let name = format!("worker-{number}");
        waiting.push(tokio::spawn(async move { handle.lease(&agent, worker(&name, 30_000)).await }));
    }
    let mut creating = Vec::new();
    for number in 0..100 {
        let (handle, user) = (mesh.handle.clone(), mesh.user);
        creating.push(tokio::spawn(async move { handle.create(&user, job(ask(&number.to_string())), None).await }));
    }
    let mut created = HashSet::new();
    for creating in creating {
        created.insert(creating.await.unwrap().unwrap().id);
    }
    let mut leased = HashMap::new();
    for waiting in waiting {
        let lease = waiting.await.unwrap().unwrap().expect("there is a job for everyone");
        assert_eq!(leased.insert(lease.job_id, lease.attempt), None, "leased twice");
    }
    assert_eq!(leased.keys().copied().collect::<HashSet<_>>(), created);
    assert!(leased.values().all(|attempt| *attempt == 1));
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_go_first_and_lower_ones_age() {
    let mesh = Mesh::new().await;
    let with = |priority: u8| json!({"kind": "ask", "task": "x", "priority": priority});
    let old_low = mesh.create(with(1)).await.id;
    pass(Duration::from_secs(150)).await;
    let high = mesh.create(with(9)).await.id;
    // Two levels above, but the low one has waited for two and a half minutes.
    let middle = mesh.create(with(3)).await.id;
    let same_level_later = mesh.create(with(3)).await.id;
    let mut order = Vec::new();
    for _ in 0..4 {
        order.push(mesh.lease().await.job_id);
    }
    assert_eq!(order, [high, old_low, middle, same_level_later]);
}

#[tokio::test(start_paused = true)]
async fn a_noisy_neighbour_leaves_workers_for_others() {
    let mesh = Mesh::with(Options { running_per_principal: 2, ..Options::default() }).await;
    let quiet = caller(Scope::User);
    for _ in 0..50 {
        mesh.create(ask("noise")).await;
    }
    let theirs = mesh.create_as(&quiet, ask("quiet")).await.id;
    let leases = [mesh.lease().await, mesh.lease().await, mesh.lease().await];
    assert!(leases.iter().any(|lease| lease.job_id == theirs), "it did not wait for fifty others");
    assert_eq!(mesh.try_lease().await, None, "both have what they may have: two running, and all there is");

    let noise = leases.iter().find(|lease| lease.job_id != theirs).unwrap();
    let (handle, agent) = (mesh.handle.clone(), mesh.agent);
    let waiting = tokio::spawn(async move { handle.lease(&agent, worker("patient", 30_000)).await });
    breathe().await;
    mesh.succeed(noise).await;
    let next = waiting.await.unwrap().unwrap().expect("the place that became free is used at once");
    assert_eq!(mesh.job(next.job_id).await.principal, mesh.user.principal);
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_waits_for_news_and_for_no_longer_than_a_third_of_the_lease() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let beat = |attempt| {
        let (handle, agent, job, epoch) = (mesh.handle.clone(), mesh.agent, lease.job_id, lease.epoch);
        tokio::spawn(async move { handle.heartbeat(&agent, job, Heartbeat { epoch, attempt, wait_ms: 60_000 }).await })
    };
    let waiting = beat(1);
    breathe().await;
    pass(Duration::from_secs(5)).await;
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!((answer.control, answer.lease_ms), (Control::Continue, 10_000));

    let waiting = beat(1);
    breathe().await;
    mesh.handle.cancel(&mesh.user, lease.job_id, Default::default()).await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().control, Control::Cancel, "it was told while it waited");

    let stale = beat(2).await.unwrap();
    assert!(matches!(stale, Err(Error::StaleAttempt { current: 1, .. })));
    mesh.handle.finish(&mesh.agent, lease.job_id, succeeded(&lease, "x")).await.unwrap();
    assert!(matches!(beat(1).await.unwrap(), Err(Error::StaleAttempt { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_that_waits_hears_that_its_attempt_ended() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let (handle, agent, job, epoch) = (mesh.handle.clone(), mesh.agent, lease.job_id, lease.epoch);
    let waiting =
        tokio::spawn(
            async move { handle.heartbeat(&agent, job, Heartbeat { epoch, attempt: 1, wait_ms: 5_000 }).await },
        );
    breathe().await;
    let request = approval(&lease, json!({"command": "make"}));
    mesh.handle.request_approval(&mesh.agent, job, request).await.unwrap();
    assert!(matches!(waiting.await.unwrap(), Err(Error::StaleAttempt { .. })));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_answers_everyone_who_waits() {
    let mesh = Mesh::new().await;
    let lease = mesh.running(ask("x")).await;
    let (handle, agent, user, job) = (mesh.handle.clone(), mesh.agent, mesh.user, lease.job_id);
    let mut reader = handle.events(&user, job, Some(mesh.job(job).await.head)).await.unwrap();
    let mut changes = handle.changed_jobs(&user).await.unwrap();
    let leasing = tokio::spawn({
        let handle = handle.clone();
        async move { handle.lease(&agent, worker("waits", 30_000)).await }
    });
    let beating = tokio::spawn({
        let (handle, epoch) = (handle.clone(), lease.epoch);
        async move { handle.heartbeat(&agent, job, Heartbeat { epoch, attempt: 1, wait_ms: 5_000 }).await }
    });
    let reading = tokio::spawn(async move { reader.next(10).await });
    let following = tokio::spawn(async move { changes.next().await });
    breathe().await;
    mesh.shut_down();
    assert_eq!(leasing.await.unwrap().unwrap(), None);
    assert_eq!(beating.await.unwrap().unwrap().control, Control::Continue);
    assert!(matches!(reading.await.unwrap().unwrap(), jobs::Read::Stopping));
    assert!(following.await.unwrap().unwrap().is_none());
    let late = mesh.handle.lease(&mesh.agent, worker("late", 0)).await;
    assert!(matches!(late, Err(Error::Stopping)));
    assert_eq!(mesh.job(job).await.state, JobState::Running, "it goes on with the backend that comes after");
}
