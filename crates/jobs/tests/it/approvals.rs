//! A person decides: once, on exactly what was shown, however long it takes.

use crate::mesh::{BACKOFF, LEASE, Mesh, approval, ask, caller, eventually, pass, worker};
use domain::{ErrorCode, JobState, Scope};
use jobs::{Error, arguments_sha256};
use protocol::{
    AppendEvents, Approval, ApprovalRequestedAnswer, DecideApproval, Decision, EventBody, Lease, ListApprovals,
    RequestApproval, RequeueCause,
};
use serde_json::json;
use std::time::Duration;

fn decide(approval: &Approval, decision: Decision) -> DecideApproval {
    DecideApproval { decision, arguments_sha256: approval.arguments_sha256.clone(), message: Some("as agreed".into()) }
}

#[tokio::test(start_paused = true)]
async fn a_job_asks_waits_and_goes_on_with_the_answer() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let job = mesh.job(lease.job_id).await;
    assert_eq!((job.state, job.message.as_deref()), (JobState::WaitingApproval, Some("waits for a decision on `run`")));
    assert_eq!((asked.tool.as_str(), &asked.arguments), ("run", &json!({"command": "make"})));
    assert_eq!(asked.arguments_sha256, arguments_sha256("run", &json!({"command": "make"})).unwrap());
    assert_eq!(mesh.try_lease().await, None, "nobody works on it meanwhile");
    // For as long as it takes: no lease is lost and no time is counted.
    pass(Duration::from_secs(7 * 24 * 3600)).await;
    assert_eq!(mesh.job(lease.job_id).await.state, JobState::WaitingApproval);

    let decided = mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap();
    assert_eq!((decided.decision, decided.message.as_deref()), (Some(Decision::Approved), Some("as agreed")));
    let next = mesh.lease().await;
    assert_eq!((next.job_id, next.attempt), (lease.job_id, 2));
    assert_eq!(next.time_left_ms, lease.time_left_ms);
    let request = approval(&next, json!({"command": "make"}));
    let answer = mesh.handle.request_approval(&mesh.agent, next.job_id, request).await.unwrap();
    assert_eq!((answer.approval_id, answer.decision), (asked.id, Some(Decision::Approved)));
    assert_eq!(answer.message.as_deref(), Some("as agreed"));
    assert_eq!(mesh.job(next.job_id).await.state, JobState::Running, "the attempt goes on");
    mesh.succeed(&next).await;

    let log = mesh.log(lease.job_id).await;
    let types: Vec<_> = log.iter().map(|event| event.event_type.as_str()).collect();
    assert_eq!(
        types,
        ["job.created", "job.leased", "approval.requested", "approval.decided", "job.requeued", "job.leased", "closed"]
    );
    let EventBody::JobRequeued { cause: RequeueCause::Decided, delay_ms: 0, .. } = log[4].body().unwrap() else {
        panic!("{log:?}")
    };
}

#[tokio::test(start_paused = true)]
async fn a_decision_is_made_once() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let deny = decide(&asked, Decision::Denied);
    let first = mesh.handle.decide(&mesh.user, asked.id, deny.clone()).await.unwrap();
    let again = mesh.handle.decide(&mesh.user, asked.id, deny.clone()).await.unwrap();
    assert_eq!(again, first, "the same answer again is harmless");
    let changed = mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap_err();
    assert!(matches!(changed, Error::WrongState { .. }));
    let other_words = DecideApproval { message: None, ..deny };
    let changed = mesh.handle.decide(&mesh.user, asked.id, other_words).await.unwrap_err();
    assert_eq!(changed.code(), ErrorCode::WrongState);
    let decided = mesh.types(lease.job_id).await.into_iter().filter(|name| name == "approval.decided").count();
    assert_eq!(decided, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_decide_at_once_one_is_heard() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let deciding: Vec<_> = (0..20)
        .map(|number| {
            let decision = if number % 2 == 0 { Decision::Approved } else { Decision::Denied };
            let mut decide = decide(&asked, decision);
            decide.message = Some(number.to_string());
            let (handle, user) = (mesh.handle.clone(), mesh.user);
            tokio::spawn(async move { handle.decide(&user, asked.id, decide).await })
        })
        .collect();
    let mut heard = 0;
    for deciding in deciding {
        heard += usize::from(deciding.await.unwrap().is_ok());
    }
    assert_eq!(heard, 1);
    let log = mesh.types(lease.job_id).await;
    assert_eq!(log.iter().filter(|name| *name == "approval.decided").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_decision_holds_for_the_arguments_that_were_shown() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let other = arguments_sha256("run", &json!({"command": "rm -rf /"})).unwrap();
    let mut blind = decide(&asked, Decision::Approved);
    blind.arguments_sha256 = other.clone();
    let Err(Error::Invalid(mistakes)) = mesh.handle.decide(&mesh.user, asked.id, blind).await else { panic!() };
    assert_eq!(mistakes[0].pointer, "/arguments_sha256");
    assert!(mistakes[0].detail.contains(&asked.arguments_sha256), "{mistakes:?}");
    assert!(mistakes[0].detail.contains(&other[..64]), "{mistakes:?}");
    assert_eq!(mesh.job(lease.job_id).await.state, JobState::WaitingApproval);

    mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap();
    let next = mesh.lease().await;
    let swapped = approval(&next, json!({"command": "rm -rf /"}));
    let Err(Error::Invalid(mistakes)) = mesh.handle.request_approval(&mesh.agent, next.job_id, swapped).await else {
        panic!()
    };
    assert_eq!(mistakes[0].pointer, "/call_id");
    assert!(mistakes[0].detail.contains(&other), "{mistakes:?}");
    let mut another_call = approval(&next, json!({"command": "make -B"}));
    another_call.call_id = "call-2".into();
    let answer = mesh.handle.request_approval(&mesh.agent, next.job_id, another_call).await.unwrap();
    assert_eq!(answer.decision, None, "other arguments are asked about by themselves");
}

/// What `run` with `make` is answered under this call id.
async fn asks(mesh: &Mesh, lease: &Lease, call_id: &str) -> ApprovalRequestedAnswer {
    let request = RequestApproval { call_id: call_id.into(), ..approval(lease, json!({"command": "make"})) };
    mesh.handle.request_approval(&mesh.agent, lease.job_id, request).await.unwrap()
}

async fn tool_begins(mesh: &Mesh, lease: &Lease, call_id: &str) {
    let (tool, arguments) = ("run".into(), json!({"command": "make"}));
    let events = vec![EventBody::ToolStarted { call_id: call_id.into(), tool, arguments }];
    let append = AppendEvents { epoch: lease.epoch, attempt: lease.attempt, producer_seq: 1, events };
    mesh.handle.append(&mesh.agent, lease.job_id, append).await.unwrap();
}

/// The lease of an agent that vanished, taken by another.
async fn taken_over(mesh: &Mesh, lost: &Lease) -> Lease {
    pass(LEASE).await;
    mesh.until(lost.job_id, JobState::Queued).await;
    pass(BACKOFF).await;
    let next = mesh.lease().await;
    assert_eq!((next.job_id, next.attempt), (lost.job_id, lost.attempt + 1));
    next
}

#[tokio::test(start_paused = true)]
async fn a_decision_outlives_the_agent_that_was_told_of_it_and_is_used_once() {
    for decision in [Decision::Approved, Decision::Denied] {
        let mesh = Mesh::new().await;
        let (_, asked) = mesh.waiting().await;
        mesh.handle.decide(&mesh.user, asked.id, decide(&asked, decision)).await.unwrap();
        // Told, and killed before the call began. The model, asked again, chooses the same under another name.
        let told = mesh.lease().await;
        assert_eq!(asks(&mesh, &told, "call-1").await.decision, Some(decision));
        let next = taken_over(&mesh, &told).await;
        let answer = asks(&mesh, &next, "call-9").await;
        assert_eq!((answer.approval_id, answer.decision), (asked.id, Some(decision)), "nobody is asked twice");
        assert_eq!(answer.message.as_deref(), Some("as agreed"));
        assert_eq!(asks(&mesh, &next, "call-9").await, answer, "an answer that got lost is given again");
        let log = mesh.log(next.job_id).await;
        let EventBody::ApprovalDecided { call_id, .. } = log.last().unwrap().body().unwrap() else { panic!("{log:?}") };
        assert_eq!(call_id, "call-9", "the log says what the call was answered with");

        // Once it has begun, the decision is spent, for this agent and every later one.
        tool_begins(&mesh, &next, "call-9").await;
        assert_eq!(asks(&mesh, &next, "call-9").await, answer, "a late repeat of the question ends nothing");
        let last = taken_over(&mesh, &next).await;
        assert_eq!(asks(&mesh, &last, "call-10").await.decision, None, "it is asked about again");
    }
}

#[tokio::test(start_paused = true)]
async fn two_calls_of_one_attempt_need_two_decisions() {
    let mesh = Mesh::new().await;
    let (_, asked) = mesh.waiting().await;
    mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap();
    let next = mesh.lease().await;
    assert_eq!(asks(&mesh, &next, "call-1").await.decision, Some(Decision::Approved));
    // Before the first has begun: both could begin after this.
    assert_eq!(asks(&mesh, &next, "call-2").await.decision, None);
}

#[tokio::test(start_paused = true)]
async fn a_decision_that_was_carried_over_is_not_its_first_calls_any_more() {
    let mesh = Mesh::new().await;
    let (_, asked) = mesh.waiting().await;
    mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap();
    let next = mesh.lease().await;
    assert_eq!(asks(&mesh, &next, "call-2").await.decision, Some(Decision::Approved));
    assert_eq!(asks(&mesh, &next, "call-1").await.decision, None);
}

/// Two agents: the one that had the job gets it back, and the other one when it does not come.
#[tokio::test(start_paused = true)]
async fn a_decided_job_goes_to_the_agent_that_had_it_and_else_to_anybody() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let other = caller(Scope::Agent);
    // Both wait, the other one first.
    let waits = |agent: jobs::Caller, name: &'static str| {
        let handle = mesh.handle.clone();
        tokio::spawn(async move { handle.lease(&agent, worker(name, 30_000)).await.unwrap() })
    };
    let others = waits(other, "other");
    pass(Duration::ZERO).await;
    let own = waits(mesh.agent, "own");
    pass(Duration::ZERO).await;
    mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap();
    let back = own.await.unwrap().unwrap();
    assert_eq!((back.job_id, back.attempt), (lease.job_id, 2));
    assert!(!others.is_finished(), "the other one waits on");

    // It hands the job back and does not come again: kept for a moment, then anybody's.
    mesh.handle.release(&mesh.agent, back.job_id, crate::mesh::handed_back(&back, false)).await.unwrap();
    pass(Duration::from_millis(4_900)).await;
    crate::mesh::breathe().await;
    assert!(!others.is_finished(), "it is kept for its own agent");
    pass(Duration::from_millis(200)).await;
    let taken = others.await.unwrap().expect("nobody waits for ever");
    assert_eq!((taken.job_id, taken.attempt), (lease.job_id, 3));
}

#[tokio::test(start_paused = true)]
async fn a_decided_job_is_not_kept_for_an_agent_that_is_gone() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    pass(Duration::from_secs(60)).await;
    mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap();
    let other = caller(Scope::Agent);
    let taken = eventually("the job is anybody's at once", async || {
        mesh.handle.lease(&other, worker("other", 0)).await.unwrap()
    });
    assert_eq!(taken.await.job_id, lease.job_id);
}

#[tokio::test(start_paused = true)]
async fn a_question_asked_twice_is_one_question() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let request = approval(&lease, json!({"command": "make"}));
    let again = mesh.handle.request_approval(&mesh.agent, lease.job_id, request).await.unwrap();
    assert_eq!((again.approval_id, again.decision), (asked.id, None));
    let requested = mesh.types(lease.job_id).await.into_iter().filter(|name| name == "approval.requested").count();
    assert_eq!(requested, 1);
}

#[tokio::test(start_paused = true)]
async fn approvals_survive_restarts_on_both_sides_of_the_decision() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let mesh = mesh.restart().await;
    pass(LEASE * 2).await;
    assert_eq!(mesh.job(lease.job_id).await.state, JobState::WaitingApproval);
    let pending = ListApprovals { pending: Some(true), ..ListApprovals::default() };
    let waiting = mesh.handle.approvals(&mesh.user, pending.clone()).await.unwrap().approvals;
    assert_eq!(waiting, std::slice::from_ref(&asked));
    mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Denied)).await.unwrap();

    let mesh = mesh.restart().await;
    assert!(mesh.handle.approvals(&mesh.user, pending).await.unwrap().approvals.is_empty());
    let next = mesh.lease().await;
    let request = approval(&next, json!({"command": "make"}));
    let answer = mesh.handle.request_approval(&mesh.agent, next.job_id, request).await.unwrap();
    assert_eq!((answer.decision, answer.message.as_deref()), (Some(Decision::Denied), Some("as agreed")));
    assert!(mesh.handle.verify(&mesh.user, lease.job_id).await.unwrap().intact);
}

#[tokio::test(start_paused = true)]
async fn a_decided_job_goes_before_those_that_came_later() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    pass(Duration::from_secs(60)).await;
    let later = mesh.create(ask("later")).await;
    mesh.handle.decide(&mesh.user, asked.id, decide(&asked, Decision::Approved)).await.unwrap();
    assert_eq!(mesh.lease().await.job_id, lease.job_id);
    assert_eq!(mesh.lease().await.job_id, later.id);
}

#[tokio::test(start_paused = true)]
async fn people_decide_on_their_own_jobs_only() {
    let mesh = Mesh::new().await;
    let (lease, asked) = mesh.waiting().await;
    let other = caller(Scope::User);
    assert!(mesh.handle.approvals(&other, ListApprovals::default()).await.unwrap().approvals.is_empty());
    let approve = || decide(&asked, Decision::Approved);
    assert_eq!(mesh.handle.decide(&other, asked.id, approve()).await.unwrap_err().code(), ErrorCode::NotFound);
    for scope in [Scope::Viewer, Scope::Agent] {
        let refused = mesh.handle.decide(&caller(scope), asked.id, approve()).await.unwrap_err();
        assert_eq!(refused.code(), ErrorCode::Forbidden);
    }
    let refused = mesh.handle.decide(&mesh.agent, asked.id, approve()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Forbidden, "an agent does not approve itself");
    assert_eq!(mesh.job(lease.job_id).await.state, JobState::WaitingApproval);
    assert!(mesh.handle.decide(&caller(Scope::Admin), asked.id, approve()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_list_is_newest_first_and_filtered() {
    let mesh = Mesh::new().await;
    let (first, first_asked) = mesh.waiting().await;
    let (_, second_asked) = mesh.waiting().await;
    mesh.handle.decide(&mesh.user, first_asked.id, decide(&first_asked, Decision::Approved)).await.unwrap();
    let list = async |job_id, pending| {
        let page = mesh
            .handle
            .approvals(&mesh.user, ListApprovals { job_id, pending, ..ListApprovals::default() })
            .await
            .unwrap();
        page.approvals.into_iter().map(|approval| approval.id).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None).await, [second_asked.id, first_asked.id]);
    assert_eq!(list(None, Some(true)).await, [second_asked.id]);
    assert_eq!(list(None, Some(false)).await, [first_asked.id]);
    assert_eq!(list(Some(first.job_id), None).await, [first_asked.id]);
}
