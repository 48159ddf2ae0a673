//! What stands in a job's way: people who cancel or have to decide, agents that vanish or shut down.

use crate::{
    code::{apply, failure, finish, mending, run, runs},
    mesh::{Mesh, Setup, code},
};
use domain::{FailureReason, JobState};
use protocol::{ApprovalPolicies, ApprovalPolicy, CreateJob, Decision, EventBody, Limits, Role, ToolOutcome};
use std::time::Duration;
use testkit::{Fault, Gate, Script, eventually, eventually_within, sample_repository};
use tokio::time::Instant;

pub fn with_short_lease() -> Setup {
    let jobs = jobs::Options {
        lease: Duration::from_secs(2),
        backoff: jobs::Backoff { lost_lease_cap: Duration::from_millis(50), ..Default::default() },
        ..Default::default()
    };
    Setup { jobs, ..Setup::default() }
}

fn asking(repository: &testkit::SampleRepository) -> CreateJob {
    let approvals = ApprovalPolicies { run: ApprovalPolicy::Ask, ..Default::default() };
    CreateJob { approvals, ..code(repository, "Do it.") }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_tool_that_runs() {
    let mark = format!("sleep 61.{}", std::process::id());
    let mesh = Mesh::start([run(&mark), finish("never")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Sleep.")).await;
    eventually("the tool", async || runs(&mark).then_some(())).await;
    let asked_at = Instant::now();
    mesh.client.cancel_job(id, &Default::default()).await.unwrap();
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Cancelled);
    assert!(asked_at.elapsed() < Duration::from_secs(5), "{:?}", asked_at.elapsed());
    eventually("the end of the tool", async || (!runs(&mark)).then_some(())).await;
    assert_eq!(mesh.outcomes(id).await, [("t1-1".to_owned(), ToolOutcome::Cancelled)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_model_that_thinks() {
    let gate = Gate::new();
    let mesh = Mesh::start([finish("too late").hold(&gate)]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Think.")).await;
    gate.reached().await;
    mesh.client.cancel_job(id, &Default::default()).await.unwrap();
    assert_eq!(mesh.ended(id).await.state, JobState::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_up_ends_the_job_while_a_tool_runs() {
    let mesh = Mesh::start([run("sleep 600"), finish("never")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let limits = Limits { total_timeout_ms: 3_000, ..Limits::default() };
    let id = mesh.create(CreateJob { limits, ..code(&repository, "Sleep.") }).await;
    assert_eq!(failure(&mesh.ended(id).await).0, Some(FailureReason::TimedOut));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_is_carried_out_as_it_was_shown() {
    let mesh = Mesh::start(Script::by_conversation([run("echo yes > said.txt"), finish("Said.")])).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(asking(&repository)).await;
    mesh.decide(id, Decision::Approved, None).await;
    let job = mesh.ended(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 2), "{job:?}");
    assert_eq!(mesh.model.received().len(), 2, "the model is not asked again for what it asked for already");
    apply(&repository, &mesh.patch(&job).await);
    assert_eq!(std::fs::read_to_string(repository.file("said.txt")).unwrap(), "yes\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_is_not_carried_out_and_the_model_is_told_why() {
    let mesh = Mesh::start(Script::by_conversation([run("echo no > said.txt"), finish("Left it.")])).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(asking(&repository)).await;
    mesh.decide(id, Decision::Denied, Some("use write_file instead")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(job.result.unwrap().patch_artifact, None, "nothing was done");
    let told = mesh.model.received()[1].last("tool").to_owned();
    assert_eq!(told, "It was not done: a person refused it.\nuse write_file instead");
    assert_eq!(mesh.outcomes(id).await, [("t1-1".to_owned(), ToolOutcome::Denied)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_vanishes_half_way_is_replaced_and_the_patch_is_the_same() {
    let repository = sample_repository();
    let undisturbed = Mesh::start(Script::by_conversation(mending())).await;
    let _agent = undisturbed.agent().await;
    let job = undisturbed.ended(undisturbed.create(code(&repository, "Make the tests pass.")).await).await;
    let expected = undisturbed.patch(&job).await;

    // The agent dies while the model thinks about its third turn, after the edit.
    let gate = Gate::new();
    let [look, edit, test, done] = mending();
    let mesh = Mesh::with(with_short_lease(), Script::by_conversation([look, edit, test.hold(&gate), done])).await;
    let first = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    gate.reached().await;
    first.vanish().await;
    gate.open();
    let _second = mesh.agent().await;
    let job = mesh.ended(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 2), "{job:?} {:?}", mesh.model.violations());
    assert_eq!(mesh.patch(&job).await, expected);
    let outcomes = mesh.outcomes(id).await;
    assert_eq!(outcomes.len(), 3, "nothing was done twice: {outcomes:?}");
    let resumed = |body: &EventBody| matches!(body, EventBody::WorkspacePrepared { resumed_from: Some(_), .. });
    assert!(mesh.bodies(id).await.iter().any(resumed));
    assert!(mesh.client.verify(id).await.unwrap().intact);
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_an_agent_dies_the_patch_is_the_same() {
    let repository = sample_repository();
    let undisturbed = Mesh::start(Script::by_conversation(mending())).await;
    let _agent = undisturbed.agent().await;
    let job = undisturbed.ended(undisturbed.create(code(&repository, "Make the tests pass.")).await).await;
    let expected = undisturbed.patch(&job).await;
    // How far the log got when the agent dies: leased, prepared, and here and there in its turns.
    for events in [2, 6, 10, 14, 18, 22] {
        // Like a model that does again what was interrupted.
        let script = Script::each(|received| {
            let results = received.messages.iter().filter(|message| message.role == Role::Tool);
            let done = results.filter(|result| !result.content.starts_with("It was interrupted")).count();
            mending()[done].clone()
        });
        let mesh = Mesh::with(with_short_lease(), script).await;
        let first = mesh.agent().await;
        let id = mesh.create(code(&repository, "Make the tests pass.")).await;
        mesh.when(id, "the moment of death", |job| job.head.seq >= events || job.state.is_terminal()).await;
        first.vanish().await;
        let _second = mesh.agent().await;
        let job = mesh.ended(id).await;
        assert_eq!(job.state, JobState::Succeeded, "dead after {events}: {job:?} {:?}", mesh.model.violations());
        assert_eq!(mesh.patch(&job).await, expected, "dead after {events}");
        assert!(mesh.client.verify(id).await.unwrap().intact, "dead after {events}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_under_way_when_its_agent_vanishes_is_interrupted() {
    let mark = format!("sleep 62.{}", std::process::id());
    let script = Script::by_conversation([run(&format!("echo half > half.txt; {mark}")), finish("Gave up.")]);
    let mesh = Mesh::with(with_short_lease(), script).await;
    let repository = sample_repository();
    let first = mesh.agent().await;
    let id = mesh.create(code(&repository, "Sleep.")).await;
    eventually("the tool", async || runs(&mark).then_some(())).await;
    first.vanish().await;
    eventually("the end of the tool", async || (!runs(&mark)).then_some(())).await;
    let _second = mesh.agent().await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert_eq!(mesh.outcomes(id).await, [("t1-1".to_owned(), ToolOutcome::Interrupted)]);
    let told = mesh.model.received().last().unwrap().last("tool").to_owned();
    assert!(told.starts_with("It was interrupted.\nThe agent stopped while this ran."), "{told}");
    assert_eq!(job.result.unwrap().patch_artifact, None, "half a step is no step");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_shuts_down_hands_its_job_back_at_once() {
    let mark = format!("sleep 63.{}", std::process::id());
    let mesh = Mesh::start(Script::by_conversation([run(&mark), finish("Left it.")])).await;
    let repository = sample_repository();
    let first = mesh.agent().await;
    let id = mesh.create(code(&repository, "Sleep.")).await;
    eventually("the tool", async || runs(&mark).then_some(())).await;
    first.shut_down().await;
    assert!(!runs(&mark));
    let job = mesh.client.job(id).await.unwrap();
    assert_eq!(job.state, JobState::Queued, "{job:?}");
    let _second = mesh.agent().await;
    let job = eventually_within(Duration::from_secs(10), "the second agent", async || {
        Some(mesh.client.job(id).await.unwrap()).filter(|job| job.state.is_terminal())
    })
    .await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_cut_off_for_a_moment_goes_on_as_if_nothing_had_been() {
    let gate = Gate::new();
    let script = [run("echo one > one.txt"), run("echo two > two.txt").hold(&gate), finish("Done.")];
    let mesh = Mesh::start(Script::by_conversation(script)).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Count.")).await;
    gate.reached().await;
    mesh.line.set(Fault::Refuse).await;
    // The answer under way is lost with the line, so the model is asked again.
    mesh.model.wait_abandoned(1).await;
    gate.open();
    mesh.line.set(Fault::Pass).await;
    let job = mesh.ended(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 1), "{job:?} {:?}", mesh.model.violations());
    let patch = mesh.patch(&job).await;
    assert!(patch.contains("one.txt") && patch.contains("two.txt"), "{patch}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_cut_off_for_longer_than_its_lease_stops_and_writes_nothing_more() {
    let mark = format!("sleep 64.{}", std::process::id());
    let script = Script::by_conversation([run(&mark), finish("Went on.")]);
    let mesh = Mesh::with(with_short_lease(), script).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Sleep.")).await;
    eventually("the tool", async || runs(&mark).then_some(())).await;
    mesh.line.set(Fault::Stall).await;
    eventually("the end of the tool", async || (!runs(&mark)).then_some(())).await;
    mesh.when(id, "the loss of the lease", |job| job.state == JobState::Queued).await;
    mesh.line.set(Fault::Refuse).await;
    mesh.line.set(Fault::Pass).await;
    let job = mesh.ended(id).await;
    assert_eq!((job.state, job.attempt), (JobState::Succeeded, 2), "{job:?} {:?}", mesh.model.violations());
    let events = mesh.events(id).await;
    let lost = events.iter().position(|event| event.event_type == "job.requeued").unwrap();
    let late = events[lost..].iter().filter(|event| event.attempt == 1 && event.event_type != "job.requeued");
    assert_eq!(late.count(), 0, "nothing is written for an attempt that is over");
}
