//! The exam over a whole mesh: what a model answers decides what is found, question by question.

use crate::mesh::{Mesh, Setup, Speaks};
use agent::exam::{self, Progress};
use domain::FailureReason;
use protocol::{
    Calls, EditForm, Egress, Exam, ExamOutcome, ExamQuestion, FinishReason, KnownBy, ModelProfile, ProfileSource,
    PutModelProfile, WorkMode,
};
use serde_json::json;
use testkit::{Received, Script, ScriptedModel, Turn};

const MODEL: &str = "ollama/scripted:latest";

/// Which question a request belongs to, by what it says.
fn question(received: &Received) -> ExamQuestion {
    let (task, rules) = (received.messages[1].content.as_str(), received.messages[0].content.as_str());
    let is_settled = received.messages.iter().any(|message| message.content.contains("Ran 4 tests"));
    match task {
        task if task.contains("shipping") => ExamQuestion::NativeCall,
        task if task.contains("Describe the function") => ExamQuestion::Schema,
        task if task.contains("wrong port") => ExamQuestion::TwoFiles,
        task if task.contains("cellar door") => ExamQuestion::Context,
        _ if is_settled => ExamQuestion::Stops,
        _ if rules.contains("Answer with one block") => ExamQuestion::EditBlocks,
        _ if rules.contains("You write one file") => ExamQuestion::WholeFile,
        _ => ExamQuestion::EditTool,
    }
}

/// The file that a prompt shows, as it is there.
fn shown(received: &Received) -> String {
    let text = &received.messages[1].content;
    text.split("```\n").nth(1).unwrap().to_owned()
}

/// What a model answers that can do everything. `is_native` is whether it calls tools.
fn right(received: &Received, is_native: bool) -> Turn {
    let edit = |path: &str, old: &str, new: &str| match is_native {
        true => Turn::tool("edit_file", json!({"path": path, "old": old, "new": new})),
        false => Turn::text(format!(
            "{{\"thought\": \"change it\", \"action\": \"edit_file\", \"path\": \"{path}\"}}\n```\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n```"
        )),
    };
    match question(received) {
        ExamQuestion::NativeCall => Turn::tool("search", json!({"pattern": "shipping"})),
        ExamQuestion::Schema => Turn::json(&json!({"name": "label", "parameters": 2})),
        ExamQuestion::EditTool => edit("prices.py", "RATE = 0.19", "RATE = 0.21"),
        ExamQuestion::EditBlocks => {
            Turn::text("```\n<<<<<<< SEARCH\nRATE = 0.19\n=======\nRATE = 0.21\n>>>>>>> REPLACE\n```")
        }
        ExamQuestion::WholeFile => Turn::text(format!("```python\n{}```", shown(received).replace("0.19", "0.21"))),
        ExamQuestion::TwoFiles => {
            let line = |port: u16| format!("    connection = http.client.HTTPConnection(\"127.0.0.1\", {port})");
            edit("client.py", &line(8000), &line(8413))
        }
        ExamQuestion::Stops if is_native => Turn::tool("finish", json!({"summary": "done"})),
        ExamQuestion::Stops => Turn::text("{\"thought\": \"all done\", \"action\": \"finish\", \"summary\": \"done\"}"),
        ExamQuestion::Context => Turn::text("amber falcon").usage(1_500, 4),
    }
}

/// A mesh whose model answers everything rightly but for one question.
async fn mesh(speaks: Speaks, other: Option<(ExamQuestion, Turn)>) -> Mesh {
    let is_native = matches!(speaks, Speaks::Tools) && !matches!(other, Some((ExamQuestion::NativeCall, _)));
    let script = Script::each(move |received| match &other {
        Some((of, turn)) if *of == question(received) => turn.clone(),
        _ => right(received, is_native),
    });
    Mesh::with(Setup { dialect: speaks, ..Setup::default() }, script).await
}

async fn examined(mesh: &Mesh) -> Result<Exam, exam::Error> {
    let route = mesh.client.route(MODEL, Egress::LocalOnly).await.unwrap();
    exam::take(&mesh.client, &route.targets[0], Egress::LocalOnly, |_| {}).await
}

fn outcomes(exam: &Exam) -> Vec<(ExamQuestion, ExamOutcome)> {
    exam.answers.iter().map(|answer| (answer.question, answer.outcome)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_does_everything_passes_everything_in_either_dialect() {
    for (speaks, skipped, calls) in
        [(Speaks::Tools, None, Calls::Native), (Speaks::NoTools, Some(ExamQuestion::NativeCall), Calls::Text)]
    {
        let mesh = mesh(speaks, None).await;
        let exam = examined(&mesh).await.unwrap();
        let outcome = |question| if Some(question) == skipped { ExamOutcome::Skipped } else { ExamOutcome::Passed };
        let expected: Vec<_> = ExamQuestion::ALL.map(|question| (question, outcome(question))).to_vec();
        assert_eq!(outcomes(&exam), expected, "{:#?}", exam.answers);
        let found = exam::profile(&exam, None);
        assert_eq!((found.calls, found.edits, found.mode), (calls, EditForm::Tool, WorkMode::Free));
        assert_eq!((exam.kept_tokens, exam.cut_answers), (Some(1_500), 0));
        let asked = mesh.model.received();
        assert!(asked.iter().all(|received| received.body["options"]["temperature"] == 0.0), "left nothing to chance");
        assert!(asked.iter().all(|received| received.body["options"]["seed"] == 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_question_can_be_failed_and_says_why() {
    let cut = || Turn::text("and so on and so on").finish_reason(FinishReason::Length);
    let elsewhere = "<<<<<<< SEARCH\nRATE = 19\n=======\nRATE = 21\n>>>>>>> REPLACE";
    for (question, turn, why) in [
        (ExamQuestion::NativeCall, Turn::text("{\"name\": \"search\"}"), "it wrote words in place of a call"),
        (ExamQuestion::NativeCall, Turn::tool("browse", json!({})), "its call of `browse` cannot be carried out"),
        (ExamQuestion::Schema, Turn::text("It takes two."), "it is no JSON object: It takes two."),
        (ExamQuestion::Schema, Turn::text("{\"name\": 2, \"parameters\": 2}"), "the object is not as the schema says"),
        (ExamQuestion::EditTool, Turn::text("I would change the rate."), "not right after 2 answers"),
        (ExamQuestion::EditTool, Turn::tool("finish", json!({"summary": "done"})), "it finished before"),
        (ExamQuestion::EditTool, cut(), "did not end within"),
        (ExamQuestion::EditBlocks, Turn::text("RATE = 0.21"), "there is no block in its answer"),
        (ExamQuestion::EditBlocks, Turn::text(elsewhere), "the edit cannot be made"),
        (ExamQuestion::WholeFile, Turn::text("RATE = 0.21"), "the file is another one"),
        (
            ExamQuestion::TwoFiles,
            Turn::tool("edit_file", json!({"path": "settings.py", "old": "8413", "new": "8000"})),
            "not right after 4 answers",
        ),
        (
            ExamQuestion::Stops,
            Turn::tool("edit_file", json!({"path": "prices.py", "old": "2)", "new": "3)"})),
            "it went on to change files",
        ),
        (ExamQuestion::Stops, Turn::tool("run", json!({"command": "ls"})), "it went on: run"),
        (ExamQuestion::Context, Turn::text("I do not know.").usage(900, 5), "lost in 900"),
    ] {
        let mesh = mesh(Speaks::Tools, Some((question, turn))).await;
        let exam = examined(&mesh).await.unwrap();
        let failed: Vec<_> = exam.answers.iter().filter(|answer| answer.outcome != ExamOutcome::Passed).collect();
        let [answer] = &failed[..] else { panic!("{question:?}: {failed:#?}") };
        assert_eq!((answer.question, answer.outcome), (question, ExamOutcome::Failed));
        assert!(answer.why.contains(why), "{question:?}: {}", answer.why);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_says_nothing_of_the_model() {
    let mesh = mesh(Speaks::Tools, Some((ExamQuestion::Stops, Turn::error(400, "not today")))).await;
    let exam = examined(&mesh).await.unwrap();
    let answer = exam.answers.iter().find(|answer| answer.question == ExamQuestion::Stops).unwrap();
    assert_eq!(answer.outcome, ExamOutcome::Skipped);
    assert!(answer.why.starts_with("the call failed: ") && answer.why.contains("not today"), "{}", answer.why);
    assert_eq!(exam::profile(&exam, None).mode, WorkMode::Guided, "who was not seen to stop is not left alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_asked_has_no_exam() {
    let mesh = mesh(Speaks::Tools, None).await;
    let route = mesh.client.route(MODEL, Egress::LocalOnly).await.unwrap();
    let absent = protocol::Model::new("ollama", "absent", protocol::Location::Local);
    let mut asked = Vec::new();
    let tell = |progress: Progress<'_>| {
        if let Progress::Asking(question) = progress {
            asked.push(question);
        }
    };
    let error = exam::take(&mesh.client, &absent, Egress::LocalOnly, tell).await.unwrap_err();
    assert!(matches!(error, exam::Error::NotAsked { .. }), "{error}");
    assert_eq!(asked.len(), 2, "a model without tools is asked for a schema first, and then nothing more");
    let broken = Mesh::start(Script::each(|_| Turn::error(400, "broken"))).await;
    let error = exam::take(&broken.client, &route.targets[0], Egress::LocalOnly, |_| {}).await.unwrap_err();
    assert!(error.to_string().contains("gave no whole answer to any question"), "{error}");
}

/// What is found decides how the next job works with the model.
#[tokio::test(flavor = "multi_thread")]
async fn the_profile_that_is_kept_is_what_a_job_goes_by() {
    let mesh = mesh(Speaks::Tools, Some((ExamQuestion::NativeCall, Turn::text("I would search.")))).await;
    let exam = examined(&mesh).await.unwrap();
    let model = mesh.client.route(MODEL, Egress::LocalOnly).await.unwrap().targets.remove(0);
    let profile = ModelProfile { answer_tokens: Some(321), ..exam::profile(&exam, None) };
    let put = PutModelProfile { digest: model.digest, profile, exam };
    let found = mesh.client.put_model_profile(MODEL, Egress::LocalOnly, &put).await.unwrap();
    assert_eq!((found.known_by, found.profile.source), (KnownBy::Digest, ProfileSource::Exam));
    let before = mesh.model.received().len();
    let repository = testkit::sample_repository();
    let agent = mesh.agent().await;
    let id = mesh.create(crate::mesh::code(&repository, "In prices.py, change RATE from 0.19 to 0.21.")).await;
    let job = mesh.ended(id).await;
    assert_ne!(job.reason, Some(FailureReason::Error), "{job:?}");
    let asked = &mesh.model.received()[before];
    assert_eq!(asked.tools, Vec::<String>::new(), "its words are read, although its provider would hand it tools");
    assert_eq!(asked.body["options"]["num_predict"], 321);
    agent.shut_down().await;
    assert_eq!(mesh.model.received()[0].model, ScriptedModel::MODEL);
}
