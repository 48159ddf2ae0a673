//! Decisions of people.

use super::Mesh;
use serde_json::json;
use testkit::{Script, ScriptedModel, Turn, sample_repository};

/// Runs a command that has to be asked for, then says how it went.
fn asking() -> Script {
    Script::by_conversation([
        Turn::tool("run", json!({"command": "touch made-by-the-command"})),
        Turn::tool("finish", json!({"summary": "That was all."})),
    ])
}

/// A job that waits for a decision, left behind with exit code 6.
async fn waiting() -> (Mesh, String) {
    let repository = sample_repository();
    let mesh = Mesh::start(asking()).await;
    let path = repository.path().to_str().unwrap();
    let answer = mesh.run(&["run", "--code", "--repo", path, "--ask-run", "Do it."]).await.with_code(6);
    assert!(answer.stderr.contains("the job waits for a decision"), "{}", answer.stderr);
    let id = answer.stderr.lines().find_map(|line| line.strip_prefix("job ")).unwrap().to_owned();
    assert_eq!(mesh.state(&id).await, "waiting_approval");
    (mesh, id)
}

fn tool_outputs(model: &ScriptedModel) -> String {
    let received = model.received();
    received.last().map(|request| request.last("tool").to_owned()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_runs_and_the_job_goes_on() {
    let (mesh, id) = waiting().await;
    let listed = mesh.run(&["approvals", "--json"]).await.good().json();
    assert_eq!(listed[0]["arguments"]["command"], "touch made-by-the-command");
    let approval = listed[0]["id"].as_str().unwrap().to_owned();
    let row = mesh.run(&["approvals"]).await.good().stdout;
    assert!(row.starts_with(&format!("{approval}\t{id}\t")), "{row}");

    let approved = mesh.run(&["approve", &approval]).await.good();
    assert_eq!(approved.stdout, format!("{approval}\tapproved\n"));
    assert!(approved.stderr.contains("touch made-by-the-command"), "what is approved is shown: {}", approved.stderr);
    let answer = mesh.run(&["attach", &id]).await.good();
    assert_eq!(answer.stdout, "That was all.\n");
    assert!(mesh.run(&["diff", &id]).await.good().stdout.contains("made-by-the-command"));

    assert_eq!(mesh.run(&["approvals", "--json"]).await.good().json(), json!([]));
    assert_eq!(mesh.run(&["approvals", "--all", "--json"]).await.good().json()[0]["decision"], "approved");
    mesh.run(&["approve", &approval]).await.with_code(5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_call_does_not_run_and_the_model_hears_why() {
    let (mesh, id) = waiting().await;
    // By the job it belongs to.
    mesh.run(&["deny", &id, "-m", "write it by hand instead"]).await.good();
    mesh.run(&["attach", &id]).await.good();
    assert!(tool_outputs(&mesh.model).contains("write it by hand instead"), "{}", tool_outputs(&mesh.model));
    mesh.run(&["diff", &id]).await.with_code(5);
}
