//! Jobs with a check: named or found, before the work and after each change.

use crate::{
    code::{apply, failure, finish, run, runs},
    interruption::with_short_lease,
    mesh::{Mesh, ask, checked, code},
};
use domain::{FailureReason, JobId, JobState};
use protocol::{
    ApprovalPolicies, ApprovalPolicy, CheckOutcome, CheckResult, CreateJob, EventBody, Limits, Repository, Role,
};
use serde_json::json;
use testkit::{SampleRepository, Script, Turn, sample_repository};

const FOUND: &str = "python3 -m unittest";

fn write(path: &str, content: &str) -> Turn {
    Turn::tool("write_file", json!({"path": path, "content": content}))
}

fn mend() -> Turn {
    write(SampleRepository::BROKEN_FILE, &SampleRepository::fixed_text())
}

fn with_check(repository: &SampleRepository, check: &str) -> CreateJob {
    CreateJob { check: Some(check.into()), ..checked(repository, "Make the check pass.") }
}

/// How the checks of a job ended: outcome, tests that passed and failed, files put back.
pub async fn ends(mesh: &Mesh, id: JobId) -> Vec<(CheckOutcome, Option<u64>, Option<u64>, u64)> {
    let end = |body| match body {
        EventBody::CheckFinished { outcome, passed, failed, undone_files, .. } => {
            Some((outcome, passed, failed, undone_files))
        }
        _ => None,
    };
    mesh.bodies(id).await.into_iter().filter_map(end).collect()
}

use CheckOutcome::{Failed, Passed, TimedOut, Unusable};

#[tokio::test(flavor = "multi_thread")]
async fn a_found_check_runs_before_the_work_and_after_the_change_that_mends_it() {
    let repository = sample_repository();
    let mesh = Mesh::start([run("ls"), mend(), finish("Mended.")]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(checked(&repository, "Mend it.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert_eq!(ends(&mesh, id).await, [(Failed, Some(1), Some(1), 0), (Passed, Some(2), Some(0), 0)], "not after `ls`");
    let result = job.result.clone().unwrap();
    let expected =
        CheckResult { command: FOUND.into(), outcome: Passed, passed: Some(2), failed: Some(0), before: Some(Failed) };
    assert_eq!((result.check, result.answer.as_deref()), (Some(expected), Some("Mended.")));

    let received = mesh.model.received();
    let task = received[0].last("user");
    assert!(task.contains("The check of this job is `python3 -m unittest`. It runs by itself"), "{task}");
    assert!(task.contains("Now it fails (1 of 2 tests):") && task.contains("1650 != 1350"), "{task}");
    assert_eq!(received[1].last("user"), task, "the cache keeps what was said first");
    assert!(received[2].last("tool").ends_with("\n\nThe check passes now. 2 tests ran. If the task is done, finish."));
    let reason = |body| match body {
        EventBody::CheckStarted { why, .. } => Some(why),
        _ => None,
    };
    assert_eq!(mesh.bodies(id).await.into_iter().find_map(reason).as_deref(), Some("found by test_prices.py"));
    assert!(mesh.client.verify(id).await.unwrap().intact);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_goes_on_after_the_check_was_mended_is_stopped_before_it_does_harm() {
    let repository = sample_repository();
    let mesh = Mesh::start([mend(), run("cat prices.py"), write("prices.py", "prose")]).await;
    let _agent = mesh.agent().await;
    let job = mesh.ended(mesh.create(checked(&repository, "Mend it.")).await).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert_eq!(mesh.model.received().len(), 2);
    apply(&repository, &mesh.patch(&job).await);
    assert!(repository.test_passes());
    assert_eq!(job.result.unwrap().answer.as_deref(), Some("The check passes now."));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_step_may_be_the_one_that_mends() {
    let repository = sample_repository();
    let mesh = Mesh::start([mend(), finish("never asked")]).await;
    let _agent = mesh.agent().await;
    let limits = Limits { steps: 1, ..Limits::default() };
    let job = mesh.ended(mesh.create(CreateJob { limits, ..checked(&repository, "Mend it.") }).await).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_done_while_the_check_fails_is_asked_once_more_and_then_the_job_fails() {
    let repository = sample_repository();
    let other = |text: &str| write("notes.txt", text);
    let mesh = Mesh::start([other("a"), finish("Done."), finish("It cannot be mended.")]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(checked(&repository, "Mend it.")).await;
    let job = mesh.ended(id).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::CheckFailed));
    assert!(message.starts_with("check still fails: 1 of 2, as before the work (`python3 -m unittest`)"), "{message}");
    assert_eq!(job.result.as_ref().unwrap().check.as_ref().unwrap().to_string(), "check still fails: 1 of 2");
    assert!(mesh.patch(&job).await.contains("notes.txt"), "what was done is kept");
    let received = mesh.model.received();
    assert!(received[1].last("tool").ends_with("\n\nThe check still fails as before (1 of 2 tests)."));
    assert!(received[2].last("tool").starts_with("Not finished: the check still fails (1 of 2 tests)."));
    assert_eq!(ends(&mesh, id).await.len(), 2, "the same files are not checked again");

    let mesh = Mesh::start([finish("Nothing to do."), mend(), finish("Mended.")]).await;
    let _agent = mesh.agent().await;
    let job = mesh.ended(mesh.create(checked(&repository, "Mend it.")).await).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_passes_all_along_says_nothing_of_the_task() {
    let repository = sample_repository();
    let mesh = Mesh::start([write("a.txt", "a"), run("ls"), write("b.txt", "b"), finish("Both.")]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(with_check(&repository, "test -f README.md")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert_eq!(ends(&mesh, id).await.len(), 3, "before, and after each change");
    assert_eq!(job.result.unwrap().answer.as_deref(), Some("Both."));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_is_ended_with_all_it_started() {
    let repository = sample_repository();
    let mark = format!("sleep 65.{}", std::process::id());
    let mesh = Mesh::start([finish("a"), finish("b")]).await;
    let _agent = mesh.agent().await;
    let limits = Limits { check_timeout_ms: 1_000, ..Limits::default() };
    let id = mesh
        .create(CreateJob { limits, ..with_check(&repository, &format!("setsid {mark} & echo begun; {mark}")) })
        .await;
    let job = mesh.ended(id).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::CheckFailed));
    assert!(message.starts_with("check still takes too long"), "{message}");
    assert!(!runs(&mark));
    assert_eq!(ends(&mesh, id).await, [(TimedOut, None, None, 0)]);
    let task = mesh.model.received()[0].last("user").to_owned();
    assert!(task.ends_with("Now it takes too long and was stopped.\nbegun\n\n[stopped after 1 s]"), "{task}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_output_is_a_few_lines_for_the_model_and_the_log() {
    let repository = sample_repository();
    let mesh = Mesh::start([finish("a"), finish("b")]).await;
    let _agent = mesh.agent().await;
    let id =
        mesh.create(with_check(&repository, "yes | head -c 1000000000; echo; echo 'FAILED at last'; exit 3")).await;
    assert_eq!(failure(&mesh.ended(id).await).0, Some(FailureReason::CheckFailed));
    let finished = |body| match body {
        EventBody::CheckFinished { output, omitted_bytes, exit_code, .. } => Some((output, omitted_bytes, exit_code)),
        _ => None,
    };
    let (output, omitted, exit_code) = mesh.bodies(id).await.into_iter().find_map(finished).unwrap();
    assert!(output.len() < 4_000 && output.ends_with("FAILED at last"), "{} bytes", output.len());
    assert!(omitted > 990_000_000 && exit_code == Some(3), "{omitted}");
    let log: usize = mesh.events(id).await.iter().map(|event| event.payload.to_string().len()).sum();
    assert!(log < 100_000, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_check_changes_is_put_back() {
    let repository = sample_repository();
    let mesh = Mesh::start([write("a.txt", "a"), finish("Wrote a.")]).await;
    let _agent = mesh.agent().await;
    // Like a suite that writes what it expects, and like one that mends the code so that it passes.
    let check =
        "echo x >> test_prices.py; echo y > made.txt; rm README.md; mkdir -p __pycache__; touch __pycache__/kept";
    let id = mesh.create(with_check(&repository, check)).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert_eq!(ends(&mesh, id).await, [(Passed, None, None, 3), (Passed, None, None, 3)]);
    let patch = mesh.patch(&job).await;
    assert!(patch.contains("a.txt") && !patch.contains("made.txt") && !patch.contains("README"), "{patch}");
    let notes = mesh.notes(id).await;
    assert!(notes.iter().any(|note| note.starts_with("the check changed or made `made.txt`, ")), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_check_runs_where_nobody_allowed_it_or_it_cannot() {
    let repository = sample_repository();
    let write_file = Some("answer.md".to_owned());
    let approvals = ApprovalPolicies { run: ApprovalPolicy::Ask, ..Default::default() };
    let asking = CreateJob { approvals, ..checked(&repository, "x") };
    for (job, why) in [
        (code(&repository, "x"), "none"),
        (asking, "a person decides on commands"),
        (CreateJob { write_file, ..ask(&repository, "x") }, "an ask"),
    ] {
        let mesh = Mesh::start([finish("Done.")]).await;
        let mesh = if job.write_file.is_some() { Mesh::start([Turn::text("An answer.")]).await } else { mesh };
        let _agent = mesh.agent().await;
        let id = mesh.create(job).await;
        let job = mesh.ended(id).await;
        assert_eq!(job.state, JobState::Succeeded, "{why}: {job:?}");
        assert_eq!((ends(&mesh, id).await, job.result.unwrap().check), (vec![], None), "{why}");
    }

    let folder = tempfile::tempdir().unwrap();
    let package = r#"{"scripts": {"test": "no-such-runner"}}"#;
    std::fs::write(folder.path().join("package.json"), package).unwrap();
    let path = folder.path().display().to_string();
    let mesh = Mesh::start([write("a.txt", "a"), finish("Done.")]).await;
    let _agent = mesh.agent().await;
    let repository = Some(Repository { path, reference: None });
    let id = mesh.create(CreateJob { repository, ..checked(&sample_repository(), "x") }).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(ends(&mesh, id).await, [(Unusable, None, None, 0)]);
    assert_eq!(job.result.unwrap().check.unwrap().to_string(), "check cannot run here");
    let note = &mesh.notes(id).await[0];
    assert!(note.starts_with("`npm test` cannot run here, so this job has no check"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_changed_nothing_says_so() {
    let repository = sample_repository();
    let mesh = Mesh::start([finish("Nothing to do.")]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(with_check(&repository, "true")).await;
    assert_eq!(mesh.ended(id).await.state, JobState::Succeeded);
    assert_eq!(mesh.notes(id).await, ["nothing was changed, so there is no patch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_the_check() {
    let repository = sample_repository();
    let mark = format!("sleep 66.{}", std::process::id());
    let mesh = Mesh::start([finish("never")]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(with_check(&repository, &mark)).await;
    testkit::eventually("the check", async || runs(&mark).then_some(())).await;
    mesh.client.cancel_job(id, &Default::default()).await.unwrap();
    assert_eq!(mesh.ended(id).await.state, JobState::Cancelled);
    assert!(!runs(&mark));
    assert!(mesh.model.received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_an_agent_dies_the_check_comes_to_the_same_result() {
    let repository = sample_repository();
    // Slow enough to be killed in.
    let check = format!("sleep 0.3; {FOUND}");
    // Changes something else first, says that it is done, and mends it when that is refused.
    let turns = || [write("notes.txt", "a"), finish("Done."), mend(), finish("Mended.")];
    let script = || {
        Script::each(move |received| {
            let results = received.messages.iter().filter(|message| message.role == Role::Tool);
            let done = results.filter(|result| !result.content.starts_with("It was interrupted")).count();
            turns()[done].clone()
        })
    };
    let undisturbed = Mesh::start(script()).await;
    let _agent = undisturbed.agent().await;
    let id = undisturbed.create(with_check(&repository, &check)).await;
    let job = undisturbed.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", undisturbed.model.violations());
    let (expected, result) = (undisturbed.patch(&job).await, job.result.unwrap());
    let told = |mesh: &Mesh| mesh.model.received().last().unwrap().messages.clone();
    let length = undisturbed.events(id).await.len() as u64;
    // In the first check, after it, between an edit and its check, in that, after a finish that was refused, in the last one.
    let kinds: Vec<String> = undisturbed.events(id).await.into_iter().map(|event| event.event_type).collect();
    let mut moments: Vec<u64> = (5..length).filter(|at| kinds[*at as usize - 1].starts_with("check.")).collect();
    let edits = (5..length).filter(|at| matches!(kinds[*at as usize - 1].as_str(), "tool.started" | "model.finished"));
    moments.extend(edits.step_by(2));
    assert!(moments.len() > 8, "{kinds:?}");
    for events in moments {
        let mesh = Mesh::with(with_short_lease(), script()).await;
        let first = mesh.agent().await;
        let id = mesh.create(with_check(&repository, &check)).await;
        mesh.when(id, "the moment of death", |job| job.head.seq >= events || job.state.is_terminal()).await;
        first.vanish().await;
        let _second = mesh.agent().await;
        let job = mesh.ended(id).await;
        assert_eq!(job.state, JobState::Succeeded, "dead after {events}: {job:?} {:?}", mesh.model.violations());
        assert_eq!(mesh.patch(&job).await, expected, "dead after {events}");
        assert_eq!(job.result.unwrap().check, result.check, "dead after {events}");
        let (words, told) = (told(&mesh), told(&undisturbed));
        let is_whole = !words.iter().any(|message| message.content.starts_with("It was interrupted"));
        let text = |messages: &[protocol::ChatMessage]| -> Vec<String> {
            messages.iter().map(|message| without_times(&message.content)).collect()
        };
        assert!(!is_whole || text(&words) == text(&told), "dead after {events}: {words:?}");
        assert!(mesh.client.verify(id).await.unwrap().intact, "dead after {events}");
    }
}

/// How long tests took differs from run to run.
fn without_times(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with("Ran ")).collect::<Vec<_>>().join("\n")
}
