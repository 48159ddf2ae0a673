//! `code` jobs: a scripted model works on a real repository through the real loop, sandbox, API and store.

use crate::mesh::{Mesh, Setup, Speaks, code};
use domain::{FailureReason, JobState};
use protocol::{EventBody, Job, Limits, Role, ToolOutcome};
use serde_json::json;
use std::{path::Path, process::Command};
use testkit::{SampleRepository, Script, ScriptedModel, Turn, sample_repository};

pub fn run(command: &str) -> Turn {
    Turn::tool("run", json!({"command": command}))
}

pub fn finish(summary: &str) -> Turn {
    Turn::tool("finish", json!({"summary": summary}))
}

/// Looks, edits, runs the test, finishes.
pub fn mending() -> [Turn; 4] {
    let edit = json!({"path": SampleRepository::BROKEN_FILE, "content": SampleRepository::fixed_text()});
    [
        run("ls && cat prices.py"),
        Turn::tool("write_file", edit),
        run(SampleRepository::TEST_COMMAND),
        finish("The discount is taken off now; the tests pass."),
    ]
}

/// Applies a patch to the repository it was made from, as a user would.
pub fn apply(repository: &SampleRepository, patch: &str) {
    let file = repository.path().with_extension("diff");
    std::fs::write(&file, patch).unwrap();
    repository.git(&["apply", file.to_str().unwrap()]);
    std::fs::remove_file(file).unwrap();
}

pub fn failure(job: &Job) -> (Option<FailureReason>, &str) {
    assert_eq!(job.state, JobState::Failed, "{job:?}");
    (job.reason, job.message.as_deref().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_mends_a_repository_and_its_patch_makes_the_test_green() {
    let repository = sample_repository();
    let mesh = Mesh::start(mending()).await;
    let agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    assert!(!repository.test_passes(), "the user's own tree is never touched");
    apply(&repository, &mesh.patch(&job).await);
    assert!(repository.test_passes());

    let result = job.result.unwrap();
    assert_eq!(result.answer.as_deref(), Some("The discount is taken off now; the tests pass."));
    assert_eq!(result.base_commit.as_deref(), Some(repository.git(&["rev-parse", "HEAD"]).trim()));
    assert_eq!(result.models, [format!("ollama/{}", ScriptedModel::MODEL)]);
    assert_eq!((result.usage.steps, result.usage.input_tokens, result.usage.output_tokens), (4, 28, 12));

    let kinds: Vec<String> = mesh.events(id).await.into_iter().map(|event| event.event_type).collect();
    let position = |kind: &str| kinds.iter().position(|other| other == kind);
    assert_eq!(position("sandbox.ready"), position("job.leased").map(|leased| leased + 1), "{kinds:?}");
    assert!(position("workspace.prepared") < position("model.started"), "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| *kind == "workspace.checkpoint").count(), 4, "before, and after each call");
    let outcomes = mesh.outcomes(id).await;
    assert_eq!(outcomes.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["t1-1", "t2-1", "t3-1"]);
    assert!(mesh.client.verify(id).await.unwrap().intact);
    agent.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_calls_nobody_takes_out_is_read_in_the_form_it_was_trained_on() {
    let tag = |call: serde_json::Value| format!("<tool_call>\n{call}\n</tool_call>\n");
    let fixed = SampleRepository::fixed_text();
    let line = |text: &str| text.lines().find(|line| line.contains("discount_percent) //")).unwrap().to_owned();
    let broken = line(&fixed).replace("100 - ", "100 + ");
    let script = [
        Turn::text(
            tag(json!({"name": "read_file", "arguments": {"path": "prices.py", "from": 4}}))
                + &tag(json!({"name": "search", "arguments": {"pattern": "discount", "path": "test_prices.py"}})),
        ),
        Turn::text(format!(
            "<tool_call>\n<function=edit_file>\n<parameter=path>\nprices.py\n</parameter>\n<parameter=old>\n{}\n</parameter>\n\
             <parameter=new>\n{}\n</parameter>\n</function>\n</tool_call>",
            broken.trim(),
            line(&fixed).trim()
        )),
        Turn::text(format!(
            "```json\n{}\n```",
            json!({"name": "run", "arguments": {"command": SampleRepository::TEST_COMMAND}})
        )),
        Turn::text("{\"action\": \"finish\", \"summary\": \"Done.\"}"),
    ];
    let mesh = Mesh::with(Setup { dialect: Speaks::NoTools, ..Setup::default() }, script).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    apply(&repository, &mesh.patch(&job).await);
    assert!(repository.test_passes());
    let received = mesh.model.received();
    assert!(received.iter().all(|received| received.schema.is_none() && received.tools.is_empty()));
    let first = received[0].last("user");
    assert!(
        first.contains("prices.py:\n```\n") && first.contains("class TotalTest"),
        "small files are shown whole: {first}"
    );
    let looked = received[1].last("user");
    assert!(
        looked.contains("Call 1, read_file:\nprices.py, lines 4 to ")
            && looked.contains("Call 2, search:\ntest_prices.py:"),
        "{looked}"
    );
    let edited = received[2].last("user");
    assert!(
        edited.starts_with("Edited prices.py:\n@@ line ") && edited.contains("\n-    return sum(prices) * (100 + "),
        "{edited}"
    );
    assert_eq!(mesh.outcomes(id).await.iter().filter(|(_, outcome)| *outcome == ToolOutcome::Succeeded).count(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_model_writes_over_nothing_and_its_closing_words_are_not_run() {
    let prose = "To fix the tests, take the discount off in `total`.";
    let closing = "The tests pass now. To undo it:\n```bash\ngit checkout . && git clean -fdq\n```";
    let script = Script::each(move |received| match received.answers_so_far() {
        0 => Turn::text(format!("{{\"action\": \"write_file\", \"path\": \"prices.py\"}}\n```\n{prose}\n```")),
        1 => Turn::text(format!(
            "{{\"action\": \"write_file\", \"path\": \"prices.py\"}}\n```python\n{}```",
            SampleRepository::fixed_text()
        )),
        // The edit it was given.
        2 => Turn::text(
            received
                .last("user")
                .split_once("answer with it:\n\n")
                .map(|(_, edit)| edit.to_owned())
                .unwrap_or_default(),
        ),
        _ => Turn::text(closing),
    });
    let setup = Setup { dialect: Speaks::PlainText, model: Some("scripted-coder-7b"), ..Setup::default() };
    let mesh = Mesh::with(setup, script).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    apply(&repository, &mesh.patch(&job).await);
    assert!(repository.test_passes(), "neither the prose nor the closing words' command got anywhere");
    let outcomes: Vec<ToolOutcome> = mesh.outcomes(id).await.into_iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(outcomes, [ToolOutcome::Failed, ToolOutcome::Failed, ToolOutcome::Succeeded]);
    assert_eq!(mesh.model.received().len(), 5, "one reminder");
    let told = mesh.model.received()[1].last("user").to_owned();
    assert!(told.contains("prices.py exists already and has") && told.contains("with edit_file"), "{told}");
    let reminded = mesh.model.received()[4].last("user").to_owned();
    assert!(reminded.starts_with("Nothing was done: there is no action in your answer"), "{reminded}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_never_run_as_a_command() {
    let object = "{\"thought\": \"look\", \"action\": \"run\"}";
    let script = [
        Turn::text(object),
        Turn::text(format!("{object}\n```sh\n{object}\n```")),
        Turn::text(json!({"name": "run", "arguments": {"command": object}}).to_string()),
        Turn::text("{\"action\": \"finish\", \"summary\": \"Gave up.\"}"),
    ];
    let mesh = Mesh::with(Setup { dialect: Speaks::PlainText, ..Setup::default() }, script).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    assert_eq!(mesh.ended(id).await.state, JobState::Succeeded);
    assert_eq!(mesh.outcomes(id).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_with_neither_tools_nor_schemas_writes_object_and_block() {
    let script = [
        Turn::text("{\"thought\": \"look\", \"action\": \"run\"}\n```sh\ncat prices.py\n```"),
        Turn::text("I think the sign is wrong."),
        Turn::text(format!(
            "{{\"action\": \"write_file\", \"path\": \"prices.py\"}}\n```python\n{}```\n",
            SampleRepository::fixed_text()
        )),
        Turn::text("{\"action\": \"finish\", \"summary\": \"Done.\"}"),
    ];
    let mesh = Mesh::with(Setup { dialect: Speaks::PlainText, ..Setup::default() }, script).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    apply(&repository, &mesh.patch(&job).await);
    assert!(repository.test_passes());
    let received = mesh.model.received();
    assert!(received.iter().all(|received| received.schema.is_none() && received.tools.is_empty()));
    assert!(
        received[2].last("user").starts_with("Nothing was done: there is no action in your answer"),
        "{:?}",
        received[2]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_no_longer_fits_loses_old_outputs_and_says_so() {
    let too_long = || Turn::error(400, "the input length exceeds the context length");
    let repository = sample_repository();
    let script = [run("seq 1 500"), run("seq 500 1000"), too_long(), finish("Counted.")];
    let mesh = Mesh::start(script).await;
    let agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Count.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?} {:?}", mesh.model.violations());
    let last = mesh.model.received().pop().unwrap();
    let outputs: Vec<&str> = last
        .messages
        .iter()
        .filter(|message| message.role == Role::Tool)
        .map(|message| message.content.as_str())
        .collect();
    assert!(outputs[0].starts_with("[This output was dropped") && outputs[1].starts_with("Exit code 0.\n500\n"));
    assert!(mesh.notes(id).await[0].contains("oldest output"), "{:?}", mesh.notes(id).await);
    agent.shut_down().await;

    let mesh = Mesh::start(Script::each(move |_| too_long())).await;
    let _agent = mesh.agent().await;
    let job = mesh.ended(mesh.create(code(&repository, "Count.")).await).await;
    assert!(failure(&job).1.contains("there is nothing left to drop"), "{job:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_output_is_shown_in_part_and_kept_whole() {
    let mesh = Mesh::start([run("seq 1 20000; echo the end >&2"), finish("Counted.")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Count.")).await;
    assert_eq!(mesh.ended(id).await.state, JobState::Succeeded);
    let shown = mesh.model.received()[1].last("tool").to_owned();
    assert!(shown.starts_with("Exit code 0.\n1\n2\n3\n"), "{}", &shown[..60]);
    assert!(shown.contains("bytes left out here"));
    assert!(shown.len() < 10_200, "{} bytes", shown.len());
    let whole = String::from_utf8(mesh.artifact(id, "run-t1-1.txt").await).unwrap();
    let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert_eq!(whole.replace("the end\n", ""), numbers);
    let logged: usize = mesh
        .bodies(id)
        .await
        .iter()
        .map(|body| match body {
            EventBody::ToolOutput { text, .. } => text.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(logged, whole.len(), "all of it was there to follow live");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_of_output_drowns_nothing() {
    let print = "head -c 1073741824 /dev/zero | tr '\\0' x; echo; echo the end";
    let mesh = Mesh::start([run(print), finish("Printed.")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Print.")).await;
    let job = mesh.when(id, "the end of a long print", |job| job.state.is_terminal()).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    let shown = mesh.model.received()[1].last("tool").to_owned();
    assert!(shown.ends_with("xxx\nthe end\n"), "the end is always shown");
    assert!(shown.contains("of 1073741833 bytes left out here, the first 16777216 of them kept"), "{}", shown.len());
    assert_eq!(mesh.artifact(id, "run-t1-1.txt").await.len(), 16 << 20);
    let logged: usize = mesh.events(id).await.iter().map(|event| event.payload.to_string().len()).sum();
    assert!(logged < 400 * 1024, "{logged} bytes in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn going_in_circles_is_named_once_and_then_ends_the_job() {
    let mesh = Mesh::start(Script::each(|_| run("cat prices.py"))).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Make the tests pass.")).await;
    let job = mesh.ended(id).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::Stuck));
    assert!(message.contains("the same call with the same result 4 times in a row"), "{message}");
    assert_eq!(mesh.outcomes(id).await.len(), 8);
    assert!(mesh.model.received()[4].last("tool").contains("Repeating it will not change anything"));
    assert_eq!(mesh.notes(id).await.len(), 1, "{:?}", mesh.notes(id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_budget_of_steps_ends_the_job_and_keeps_its_patch() {
    let endless = Script::each(|received| run(&format!("echo {} >> log.txt", received.answers_so_far())));
    let mesh = Mesh::start(endless).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let limits = Limits { steps: 3, ..Limits::default() };
    let id = mesh.create(protocol::CreateJob { limits, ..code(&repository, "Go on for ever.") }).await;
    let job = mesh.ended(id).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::BudgetExhausted));
    assert!(message.contains("all of its 3 steps"), "{message}");
    assert!(mesh.patch(&job).await.contains("+2"), "what was done until then is handed back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_takes_too_long_is_stopped_and_the_model_told() {
    let mesh = Mesh::start([run("echo begun; sleep 600"), finish("It hangs.")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent().await;
    let limits = Limits { tool_timeout_ms: 1_000, ..Limits::default() };
    let id = mesh.create(protocol::CreateJob { limits, ..code(&repository, "Run it.") }).await;
    assert_eq!(mesh.ended(id).await.state, JobState::Succeeded);
    assert_eq!(mesh.outcomes(id).await, [("t1-1".to_owned(), ToolOutcome::TimedOut)]);
    let told = mesh.model.received()[1].last("tool").to_owned();
    assert!(told.starts_with("It took too long and was stopped.\nbegun\n"), "{told}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_takes_too_much_memory_is_stopped_and_the_model_told() {
    let greedy = "echo begun; python3 -c 'import time; x = bytearray(400 << 20); time.sleep(600)'";
    let mesh = Mesh::start([run(greedy), finish("It is greedy.")]).await;
    let repository = sample_repository();
    let _agent = mesh.agent_with(|options| options.limits.memory_bytes = 200 << 20).await;
    let id = mesh.create(code(&repository, "Run it.")).await;
    assert_eq!(mesh.ended(id).await.state, JobState::Succeeded);
    assert_eq!(mesh.outcomes(id).await, [("t1-1".to_owned(), ToolOutcome::Failed)]);
    let told = mesh.model.received()[1].last("tool").to_owned();
    assert!(told.contains("begun\n"), "{told}");
    assert!(told.contains("[stopped: it took more than 200 MiB of memory]"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_fails_for_a_moment_is_asked_again_and_one_that_keeps_failing_ends_the_job() {
    let repository = sample_repository();
    // The router asks the same model a second time by itself; the agent hears of it when that fails too.
    let failure_of = || Turn::error(500, "out of memory");
    let mesh = Mesh::start([failure_of(), failure_of(), finish("Nothing to do.")]).await;
    let agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Look.")).await;
    let job = mesh.ended(id).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    assert_eq!(job.result.unwrap().patch_artifact, None, "nothing changed, so there is no patch");
    assert!(mesh.notes(id).await[0].contains("out of memory"), "{:?}", mesh.notes(id).await);
    agent.shut_down().await;

    let mesh = Mesh::start(Script::each(|_| Turn::error(500, "out of memory"))).await;
    let _agent = mesh.agent().await;
    let id = mesh.create(code(&repository, "Look.")).await;
    let job = mesh.ended(id).await;
    let (reason, message) = failure(&job);
    assert_eq!(reason, Some(FailureReason::Error));
    assert!(message.contains("failed 4 times in a row") && message.contains("devmesh doctor"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_fails_at_once_with_its_name() {
    let mesh = Mesh::start([finish("never asked")]).await;
    let _agent = mesh.agent().await;
    let path = "/nowhere/at/all".to_owned();
    let repository = Some(protocol::Repository { path: path.clone(), reference: None });
    let job = protocol::CreateJob { repository, ..protocol::CreateJob::new(domain::JobKind::Code, "Work.") };
    let id = mesh.create(job).await;
    let job = mesh.ended(id).await;
    assert!(failure(&job).1.contains(&path), "{job:?}");
    assert!(mesh.model.received().is_empty());
    assert!(!Path::new(&path).exists());
}

/// Whether a process with this mark in its command line runs on this machine.
pub fn runs(mark: &str) -> bool {
    let listing = Command::new("ps").args(["-eo", "args"]).output().unwrap();
    String::from_utf8_lossy(&listing.stdout).lines().any(|line| line.contains(mark))
}
