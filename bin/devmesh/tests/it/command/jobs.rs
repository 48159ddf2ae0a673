//! From `run` to `rm`.

use super::Mesh;
use nix::sys::signal::Signal;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use testkit::{Gate, Script, Turn, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_on_stdout_and_the_talk_is_on_stderr() {
    let mesh = Mesh::start([Turn::text("The answer is 42.")]).await;
    let answer = mesh.run(&["run", "What is the answer?"]).await.good();
    assert_eq!(answer.stdout, "The answer is 42.\n");
    assert!(answer.stderr.contains("closed     succeeded"), "{}", answer.stderr);
    assert!(answer.stderr.contains("│ The answer is 42."), "{}", answer.stderr);
    assert!(!answer.stderr.contains('\u{1b}'), "no colour in a pipe");

    let listed = mesh.run(&["jobs", "list"]).await.good().stdout;
    let cells: Vec<_> = listed.trim_end().split('\t').collect();
    assert_eq!((cells[1], cells[2], cells[4]), ("succeeded", "ask", "What is the answer?"));
    let id = cells[0];
    let shown = mesh.run(&["jobs", "show", id, "--json"]).await.good().json();
    assert_eq!(shown["result"]["answer"], "The answer is 42.");
    assert_eq!(shown["result"]["models"][0], "ollama/scripted:latest");

    let log = mesh.run(&["logs", &id[..13]]).await.good().stdout;
    assert!(log.contains("The answer is 42.") && log.contains("closed     succeeded"), "{log}");
    let events = mesh.run(&["logs", id, "--json"]).await.good().lines();
    assert_eq!(events[0]["type"], "job.created");
    assert_eq!(events.last().unwrap()["type"], "closed");
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
    let tail = mesh.run(&["logs", id, "--json", "--tail", "2"]).await.good().lines();
    assert_eq!(tail[..], events[events.len() - 2..]);
    let cursor = events[3]["cursor"].as_str().unwrap();
    let after = mesh.run(&["logs", "-f", id, "--json", "--after", cursor]).await.good().lines();
    assert_eq!(after[..], events[4..]);

    for arguments in [&["verify", id][..], &["verify", id, "--here"]] {
        let verified = mesh.run(arguments).await.good().stdout;
        assert!(verified.starts_with(&format!("intact: {} events", events.len())), "{verified}");
    }
    assert!(mesh.model.violations().is_empty(), "{:?}", mesh.model.violations());
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_detaches_and_the_job_goes_on() {
    let gate = Gate::new();
    let mesh = Mesh::start([Turn::text("Done after all.").hold(&gate)]).await;
    let run = mesh.begin(&["run", "Take your time."]);
    mesh.model.wait_received(1).await;
    run.signal(Signal::SIGINT);
    let answer = run.end().await.with_code(130);
    let attach = answer
        .stderr
        .lines()
        .find_map(|line| line.trim().strip_prefix("next: devmesh attach "))
        .expect("how to come back");
    assert!(answer.stderr.contains("the job goes on"), "{}", answer.stderr);
    assert_eq!(mesh.state(attach).await, "running");

    // And `logs -f` only ends.
    let mut logs = mesh.begin(&["logs", "-f", attach]);
    logs.saw("attempt 1").await;
    logs.signal(Signal::SIGTERM);
    logs.end().await.with_code(130);

    gate.open();
    let answer = mesh.run(&["attach", attach]).await.good();
    assert_eq!(answer.stdout, "Done after all.\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_fails_the_command_that_waits_for_it() {
    let gate = Gate::new();
    let mesh = Mesh::start([Turn::text("Never.").hold(&gate)]).await;
    let run = mesh.begin(&["run", "Take your time."]);
    mesh.model.wait_received(1).await;
    let id = mesh.run(&["jobs", "list", "--state", "running", "--json"]).await.good().json()[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let cancelled = mesh.run(&["jobs", "cancel", &id, "-m", "enough"]).await.good();
    assert!(cancelled.stdout.starts_with(&id), "{}", cancelled.stdout);
    let answer = run.end().await.with_code(1);
    assert!(
        answer.stderr.contains("cancelling enough") && answer.stderr.contains("closed     cancelled"),
        "{}",
        answer.stderr
    );
    // The call reached the model and was taken back there.
    mesh.model.wait_abandoned(1).await;
    assert_eq!(mesh.state(&id).await, "cancelled");

    let removed = mesh.run(&["jobs", "rm", &id]).await.good();
    assert_eq!(removed.stdout.trim(), id);
    mesh.run(&["jobs", "show", &id]).await.with_code(5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_keeps_the_others_of_a_command_from_nothing() {
    let gate = Gate::new();
    let mesh = Mesh::start(Script::each(move |_| Turn::text("Never.").hold(&gate))).await;
    let (first, second) = (mesh.job(&["One."]).await, mesh.job(&["Two."]).await);
    let running = mesh.run(&["jobs", "rm", &first, "ffff", &second]).await.with_code(1);
    assert!(running.stdout.is_empty(), "{}", running.stdout);
    assert_eq!(running.stderr.matches("error:").count(), 3, "{}", running.stderr);
    let cancelled = mesh.run(&["jobs", "cancel", &first, "ffff", &second]).await.with_code(5);
    let told: Vec<_> = cancelled.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(told, [&first, &second]);
    assert!(cancelled.stderr.contains("no job's id begins with `ffff`"), "{}", cancelled.stderr);

    let token = |name: &'static str| {
        let mesh = &mesh;
        async move {
            let created = mesh.run(&["token", "create", name, "--json"]).await.good().json();
            created["id"].as_str().unwrap().to_owned()
        }
    };
    let (one, other) = (token("one").await, token("other").await);
    let removed = mesh.run(&["token", "rm", &one, "ffff", &other]).await.with_code(5);
    assert_eq!(removed.stdout.lines().collect::<Vec<_>>(), [&one, &other]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_a_new_job_with_the_same_words() {
    let broken = Arc::new(AtomicBool::new(true));
    let switch = broken.clone();
    let mesh = Mesh::start(Script::each(move |_| {
        if switch.load(Ordering::SeqCst) { Turn::error(400, "no such thing") } else { Turn::text("Better.") }
    }))
    .await;
    let failed = mesh.run(&["run", "Try."]).await.with_code(1);
    broken.store(false, Ordering::SeqCst);
    let id = failed.stderr.lines().find_map(|line| line.strip_prefix("job ")).unwrap().to_owned();
    let again = mesh.run(&["jobs", "retry", &id]).await.good();
    assert_eq!(again.stdout, "Better.\n");
    let jobs = mesh.run(&["jobs", "list", "--json"]).await.good().json();
    assert_eq!(jobs[0]["retry_of"], id.as_str());
    assert_eq!(jobs[0]["spec"]["task"], "Try.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_with_one_key_is_one_job() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Yes."))).await;
    let first = mesh.job(&["Once?", "--idempotency-key", "k1"]).await;
    let second = mesh.job(&["Once?", "--idempotency-key", "k1"]).await;
    assert_eq!(first, second);
    mesh.run(&["run", "-d", "Other words", "--idempotency-key", "k1"]).await.with_code(1);
    eventually("the job to end", async || (mesh.state(&first).await == "succeeded").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_as_json_are_one_document_per_line() {
    let mesh = Mesh::start([Turn::text("Hello.")]).await;
    let events = mesh.run(&["run", "--json", "Say hello."]).await.good().lines();
    assert_eq!(events.first().unwrap()["type"], "job.created");
    assert_eq!(events.last().unwrap()["payload"]["result"]["answer"], "Hello.");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_task_can_come_from_stdin() {
    let mesh = Mesh::start([Turn::text("Read.")]).await;
    let task = mesh.home.path("task.txt");
    std::fs::write(&task, "From a file.").unwrap();
    let mut command = mesh.home.command(&["run", "-d", "--json", "-"]);
    let output = command.stdin(std::fs::File::open(task).unwrap()).output().await.unwrap();
    let job: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(job["spec"]["task"], "From a file.");
}
