//! Guided jobs: a scripted weak model writes files, and the agent does the rest, through the real sandbox, API and store.

use crate::{
    check::ends,
    code::{apply, failure, runs},
    interruption::with_short_lease,
    mesh::{Mesh, Setup, Speaks, checked, code},
};
use domain::{FailureReason, JobState};
use futures_util::{StreamExt, stream};
use protocol::{
    CheckOutcome::{Failed, Passed, TimedOut},
    CreateJob, EventBody, Limits, WorkMode,
};
use testkit::{SampleRepository, Script, Turn, sample_repository};

/// Deaths at once: more than two cores have time for, and fewer than make a lease run out by itself.
const AT_ONCE: usize = 4;

/// A model whose name says that it is weak.
fn weak() -> Setup {
    Setup { dialect: Speaks::PlainText, model: Some("scripted-coder-1.5b"), ..Setup::default() }
}

fn file(path: &str, text: &str) -> String {
    format!("{path}\n```python\n{text}```\n")
}

fn with_total(expression: &str) -> Turn {
    let text = SampleRepository::fixed_text();
    let line = text.lines().find(|line| line.contains("return sum(prices)")).unwrap();
    Turn::text(format!(
        "It is the total.\n\n{}",
        file("prices.py", &text.replace(line.trim(), &format!("return {expression}")))
    ))
}

fn mended() -> Turn {
    Turn::text(format!("The sign is wrong.\n\n{}", file("prices.py", &SampleRepository::fixed_text())))
}

/// Candidate, round and temperature of each answer that was asked for.
async fn tried(mesh: &Mesh, id: domain::JobId) -> Vec<(u32, u32, Option<f64>)> {
    let begun = |body| match body {
        EventBody::CandidateStarted { candidate, round, temperature, .. } => Some((candidate, round, temperature)),
        _ => None,
    };
    mesh.bodies(id).await.into_iter().filter_map(begun).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_model_only_writes_and_the_first_candidate_that_passes_wins() {
    let repository = sample_repository();
    let mesh = Mesh::with(weak(), [with_total("0"), with_total("sum(prices)"), mended()]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(checked(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    apply(&repository, &mesh.patch(&job).await);
    assert!(repository.test_passes());
    assert_eq!(tried(&mesh, id).await, [(1, 1, Some(0.0)), (2, 1, Some(0.0)), (2, 2, Some(0.0))]);
    let result = job.result.clone().unwrap();
    assert_eq!(result.answer.as_deref(), Some("Changed prices.py. The check passes now. It is candidate 2 of 6."));
    assert_eq!(result.check.map(|check| (check.outcome, check.failed)), Some((Passed, Some(0))));

    let shown = mesh.bodies(id).await.into_iter().find_map(|body| match body {
        EventBody::GuidedStarted { files, candidates: 6, .. } => Some(files),
        _ => None,
    });
    let shown: Vec<(String, bool)> = shown.unwrap().into_iter().map(|file| (file.path, file.may_change)).collect();
    assert!(
        shown.contains(&("prices.py".into(), true)) && shown.contains(&("test_prices.py".into(), false)),
        "{shown:?}"
    );
    let received = mesh.model.received();
    let anew = received[0].last("user");
    assert!(anew.contains("# to be written") && !anew.contains("return sum(prices)"), "without its body: {anew}");
    assert!(anew.contains("Only `total` in prices.py is missing"), "{anew}");
    let whole = received[1].last("user");
    assert!(whole.contains("prices.py\n```python\n") && whole.contains("1650 != 1350"), "{whole}");
    assert_eq!(received[1].messages.len(), 2, "a fresh candidate knows nothing of the one before");
    assert_eq!(received[2].messages[..2], received[1].messages[..2], "the cache keeps what was said first");
    let handed_back = received[2].last("user");
    assert!(handed_back.contains("check fails (") || handed_back.contains("check still fails ("), "{handed_back}");
    assert!(mesh.client.verify(id).await.unwrap().intact);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_none_passes_the_one_that_fails_least_is_handed_in_and_the_job_says_so() {
    let repository = sample_repository();
    // Breaks both tests, then one, the other one, and goes on with what was seen.
    let answers = [with_total("0"), with_total("1350"), with_total("sum(prices)"), with_total("0")];
    let script = Script::each(move |received| answers[received.messages.len() % answers.len()].clone());
    let mesh = Mesh::with(weak(), script).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(checked(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::CheckFailed));
    assert!(message.starts_with("check still fails: 1 of 2 (`python3 -m unittest`): "), "{message}");
    assert!(message.contains("the patch is that of candidate"), "{message}");
    let patch = mesh.patch(&job).await;
    assert!(patch.contains("+    return sum(prices)"), "{patch}");
    assert_eq!(job.result.unwrap().check.unwrap().failed, Some(1), "of what is handed in");
}

#[tokio::test(flavor = "multi_thread")]
async fn tests_stay_and_the_model_is_told_so() {
    let repository = sample_repository();
    let cheat = Turn::text(format!("Wrong test.\n\n{}", file("test_prices.py", "import unittest\n")));
    let mesh = Mesh::with(weak(), [cheat.clone(), cheat, mended()]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(checked(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert!(!mesh.patch(&job).await.contains("test_prices.py"));
    let told = mesh.model.received()[2].last("user").to_owned();
    assert!(told.starts_with("Not done: test_prices.py is a test and was not changed"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_model_answers_the_job_ends_with_a_reason() {
    let repository = sample_repository();
    let call = |name: &str| {
        format!("{{\"name\": \"{name}\", \"arguments\": {{\"path\": \"prices.py\", \"content\": \"x\"}}}}\n")
    };
    for (answer, what) in [
        ("x".repeat(1 << 20), "a megabyte"),
        ("again and again\n".repeat(20_000), "repetition"),
        ("{\"name\": \"write_file\", \"arguments\": {\"path\": \"pri".into(), "half a call"),
        (call("browse"), "a tool that is not there"),
        (call("browse").repeat(10), "ten of them"),
        ("prices.py\n```python\ndef total(".into(), "half a file"),
        ("<think>".into(), "a thought without an end"),
        (" ".into(), "nothing"),
    ] {
        let mesh = Mesh::with(weak(), Script::each(move |_| Turn::text(answer.clone()).piece_bytes(64 << 10))).await;
        let _agent = mesh.agent().await;
        let job = mesh.ended(mesh.create(checked(&repository, "Make the tests pass.")).await).await;
        let (reason, message) = failure(&job);
        assert!(matches!(reason, Some(FailureReason::CheckFailed | FailureReason::Error)), "{what}: {message}");
        assert!(mesh.model.received().len() <= 8 * 4, "{what}");
    }
    let ten = Turn::text(format!("{}{}", call("browse").repeat(9), file("prices.py", &SampleRepository::fixed_text())));
    let mesh = Mesh::with(weak(), [ten]).await;
    let _agent = mesh.agent().await;
    let job = mesh.ended(mesh.create(checked(&repository, "Make the tests pass.")).await).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_hangs_prints_without_end_or_rewrites_the_tests_decides_all_the_same() {
    let repository = sample_repository();
    let mark = format!("sleep 67.{}", std::process::id());
    let passes = "python3 -B -m unittest -q";
    for (check, expected) in [
        (format!("grep -q '100 - disc' prices.py || {mark}"), [TimedOut, Passed]),
        (format!("yes | head -c 1000000000; {passes}"), [Failed, Passed]),
        (format!("{passes}; code=$?; echo 'import unittest' > test_prices.py; exit $code"), [Failed, Passed]),
    ] {
        let mesh = Mesh::with(weak(), [mended()]).await;
        let _agent = mesh.agent().await;
        let limits = Limits { check_timeout_ms: 20_000, ..Limits::default() };
        let limits = if check.contains(&mark) { Limits { check_timeout_ms: 1_000, ..limits } } else { limits };
        let id =
            mesh.create(CreateJob { check: Some(check.clone()), limits, ..checked(&repository, "Mend it.") }).await;
        let job = mesh.when(id, "the end of the job", |job| job.state.is_terminal()).await;
        assert_eq!(job.state, JobState::Succeeded, "{check}: {job:?} {:?}", mesh.model.violations());
        let outcomes: Vec<_> = ends(&mesh, id).await.into_iter().map(|(outcome, ..)| outcome).collect();
        assert_eq!(outcomes, expected, "{check}");
        assert!(!runs(&mark));
        assert!(!mesh.patch(&job).await.contains("test_prices.py"), "{check}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_check_one_candidate_is_written_and_it_is_said_what_nobody_looked_at() {
    let repository = sample_repository();
    let broken = Turn::text(file("prices.py", "def total(prices, discount_percent=0):\n    return (\n"));
    let mesh = Mesh::with(weak(), [broken, mended()]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Take the discount off in prices.py.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    let answer = job.result.clone().unwrap().answer.unwrap();
    assert!(answer.starts_with("Changed prices.py. Nothing checked what it does; its form was looked at"), "{answer}");
    assert_eq!((ends(&mesh, id).await, job.result.unwrap().check), (vec![], None));
    assert!(mesh.model.received()[1].last("user").contains("SyntaxError"), "the form was told");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_job_chooses_who_decides() {
    let repository = sample_repository();
    let mesh = Mesh::with(Setup { dialect: Speaks::PlainText, ..Setup::default() }, [mended()]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(CreateJob { mode: Some(WorkMode::Guided), ..checked(&repository, "Mend it.") }).await;
    assert_eq!(mesh.ended(id).await.state, JobState::Succeeded, "{:?}", mesh.model.violations());
    assert_eq!(tried(&mesh, id).await.len(), 1);

    let free = Turn::text("{\"action\": \"finish\", \"summary\": \"Nothing to do.\"}");
    let mesh = Mesh::with(weak(), [free]).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(CreateJob { mode: Some(WorkMode::Free), ..code(&repository, "Look.") }).await;
    assert_eq!(mesh.ended(id).await.state, JobState::Succeeded, "{:?}", mesh.model.violations());
    assert_eq!(tried(&mesh, id).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_of_the_job_end_it_with_the_best_state() {
    let repository = sample_repository();
    let answers = [with_total("sum(prices)"), with_total("0"), with_total("1")];
    let mesh = Mesh::with(weak(), answers).await;
    let _agent = mesh.agent().await;
    let limits = Limits { steps: 2, ..Limits::default() };
    let id = mesh.create(CreateJob { limits, ..checked(&repository, "Mend it.") }).await;
    let job = mesh.ended(id).await;
    assert_eq!(failure(&job).0, Some(FailureReason::BudgetExhausted));
    assert!(mesh.patch(&job).await.contains("+    return sum(prices)"), "not the worse one that came after");
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_an_agent_dies_guided_work_comes_to_the_same_result() {
    let repository = sample_repository();
    // Slow enough to be killed in.
    let check = "sleep 0.3; python3 -B -m unittest -q";
    let job = || CreateJob { check: Some(check.into()), ..checked(&repository, "Mend it.") };
    let script = || {
        Script::each(|received| match received.messages.len() {
            4 => with_total("sum(prices)"),
            _ if received.body["temperature"] == 0.0 && received.last("user").contains("to be written") => {
                with_total("0")
            }
            _ if received.body["temperature"] == 0.0 => with_total("1"),
            _ => mended(),
        })
    };
    let undisturbed = Mesh::with(weak(), script()).await;
    let _agent = undisturbed.agent().await;
    let id = undisturbed.create(job()).await;
    let ended = undisturbed.ended(id).await;
    assert_eq!(ended.state, JobState::Succeeded, "{ended:?} {:?}", undisturbed.model.violations());
    let (expected, result) = (undisturbed.patch(&ended).await, ended.result.unwrap());
    let course = tried(&undisturbed, id).await;
    assert_eq!(course.len(), 4, "{course:?}");
    let told = |mesh: &Mesh| mesh.model.received().last().unwrap().messages.len();
    let kinds: Vec<String> = undisturbed.events(id).await.into_iter().map(|event| event.event_type).collect();
    let is_moment = |kind: &str| {
        kind.starts_with("check.")
            || kind.starts_with("candidate.")
            || matches!(kind, "guided.started" | "tool.started" | "tool.finished" | "model.finished" | "model.started")
    };
    let moments: Vec<u64> = (1..kinds.len() as u64).filter(|at| is_moment(&kinds[*at as usize - 1])).collect();
    assert!(moments.len() > 20, "{kinds:?}");
    // Nearly all of it is waiting for leases to run out.
    let deaths = stream::iter(moments).map(async |events| {
        let mesh = Mesh::with(Setup { jobs: with_short_lease().jobs, ..weak() }, script()).await;
        let first = mesh.agent().await;
        let id = mesh.create(job()).await;
        mesh.when(id, "the moment of death", |job| job.head.seq >= events || job.state.is_terminal()).await;
        first.vanish().await;
        let _second = mesh.agent().await;
        let ended = mesh.ended(id).await;
        let after = &kinds[events as usize - 1];
        assert_eq!(
            ended.state,
            JobState::Succeeded,
            "dead after {events} {after}: {ended:?} {:?}",
            mesh.model.violations()
        );
        assert_eq!(mesh.patch(&ended).await, expected, "dead after {events} {after}");
        let came = ended.result.unwrap();
        assert_eq!(
            (came.check, came.answer),
            (result.check.clone(), result.answer.clone()),
            "dead after {events} {after}"
        );
        let mut begun = tried(&mesh, id).await;
        begun.dedup();
        assert_eq!(begun, course, "dead after {events} {after}");
        assert_eq!(told(&mesh), told(&undisturbed));
        assert!(mesh.client.verify(id).await.unwrap().intact, "dead after {events} {after}");
    });
    deaths.buffer_unordered(AT_ONCE).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_up_in_the_middle_hands_in_what_was_best() {
    let repository = sample_repository();
    let slow = with_total("0");
    let gate = testkit::Gate::new();
    let mesh = Mesh::with(weak(), [with_total("sum(prices)"), slow.hold(&gate)]).await;
    let _agent = mesh.agent().await;
    let limits = Limits { total_timeout_ms: 6_000, ..Limits::default() };
    let id = mesh.create(CreateJob { limits, ..checked(&repository, "Mend it.") }).await;
    let job = mesh.ended(id).await;
    assert_eq!(failure(&job).0, Some(FailureReason::TimedOut));
    assert!(mesh.patch(&job).await.contains("+    return sum(prices)"));
}
