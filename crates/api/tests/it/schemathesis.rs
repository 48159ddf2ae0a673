//! What `/api/openapi.json` promises, tried by a program that has nothing but that document.
//!
//! `cargo xtask schemathesis` makes thousands of cases; an ordinary test run some hundred.

use crate::support::{self, TestApp};
use domain::Scope;
use reqwest::Method;
use serde_json::json;
use std::{process::Stdio, time::Duration};
use tokio::process::Command;

/// Cases of one operation in an ordinary run; `DEVMESH_SCHEMATHESIS_CASES` overrides it and tries the bounds of values and
/// sequences of requests too.
const CASES: u32 = 8;
/// So long takes a case at most, on a loaded machine; a run that hangs is ended.
const CASE: Duration = Duration::from_secs(2);
const OPERATIONS: u32 = 50;

#[tokio::test]
async fn a_person_finds_what_the_document_promises() {
    let app = TestApp::with(options()).await;
    let lease = app.leased_job().await;
    let put = support::artifact_path(&lease, "notes.txt");
    assert_eq!(app.request(Method::PUT, &put, Scope::Agent).body("notes").send().await.unwrap().status(), 200);
    app.finish(&lease).await;
    // A backup reads everything there is each time, a WebSocket is no answer, and those of models are their vendors'.
    let which = ["--exclude-tag", "gateway", "--exclude-operation-id-regex", "^(get_backup|open_websocket)$"];
    keeps_its_promises(&app, Scope::Admin, &which).await;
}

#[tokio::test]
async fn an_agent_finds_what_the_document_promises() {
    let app = TestApp::with(options()).await;
    app.leased(json!({"kind": "code", "task": "x", "approvals": {"run": "ask"}})).await;
    // Asking for work waits for it, for as long as the request likes.
    keeps_its_promises(&app, Scope::Agent, &["--include-tag", "leases", "--exclude-operation-id", "create_lease"])
        .await;
}

/// It tries every operation without a token, many times a minute.
fn options() -> api::Options {
    let mut options = support::options();
    options.rates.failed_authentications_per_minute = 1_000_000;
    options
}

async fn keeps_its_promises(app: &TestApp, scope: Scope, which: &[&str]) {
    let tool = match testkit::tool("schemathesis") {
        Ok(tool) => tool,
        Err(why) => return testkit::skipped(&why),
    };
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("openapi.json");
    std::fs::write(&document, api::openapi_json()).unwrap();
    #[expect(clippy::disallowed_methods, reason = "a test is told its length like this")]
    let long: Option<u32> = std::env::var("DEVMESH_SCHEMATHESIS_CASES").ok().and_then(|text| text.parse().ok());
    let cases = long.unwrap_or(CASES);
    // The bounds of every value alone are thousands of cases.
    let phases = if long.is_some() { "examples,coverage,fuzzing,stateful" } else { "examples,fuzzing" };
    let ours = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/schemathesis");
    let mut command = Command::new(tool.join("bin/st"));
    command
        .arg("--config-file")
        .arg(ours.join("schemathesis.toml"))
        .arg("run")
        .arg(&document)
        .args(["--url", &app.url(""), "--header", &format!("Authorization: Bearer {}", app.token(scope))])
        .args(["--max-examples", &cases.to_string(), "--seed", "1", "--request-timeout", "40"])
        .args(["--phases", phases, "--generation-database", "none", "--no-color", "--warnings", "off"])
        .args(which)
        .env("SCHEMATHESIS_HOOKS", ours.join("hooks.py"))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let ran = tokio::time::timeout(CASE * cases * OPERATIONS, command.output()).await;
    let ran = ran.expect("it ends in time").unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    // Shown with `--nocapture`: how many cases there were.
    println!("{said}");
}
