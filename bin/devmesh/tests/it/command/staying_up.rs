//! `up`: starting, stopping, being killed, and the processes it takes care of.

use super::{Home, Mesh, mesh::Up};
use nix::sys::signal::Signal;
use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};
use testkit::{Gate, Script, Turn, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_shows_the_token_once() {
    let home = Home::new();
    let first = Up::start(&home, &["--agents", "0"]).await;
    assert_eq!(first.ready["first_start"], true);
    let token_file = home.data().join("admin-token");
    let token = std::fs::read_to_string(&token_file).unwrap();
    assert_eq!(token_file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(home.data().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(home.run(&["token", "path"]).await.good().stdout.trim(), token_file.to_str().unwrap());
    assert_eq!(home.run(&["version", "--json"]).await.good().json()["backend"]["name"], "devmesh");
    first.stop().await.good();
    let second = Up::start(&home, &["--agents", "0"]).await;
    assert_eq!(second.ready["first_start"], false);
    assert_eq!(std::fs::read_to_string(&token_file).unwrap(), token);
    second.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let answer = home.run(&["serve", "--port", &port]).await.with_code(1);
    assert!(answer.stderr.contains(&format!("port {port} on 127.0.0.1 is in use")), "{}", answer.stderr);
    assert!(answer.stderr.contains("--port") && answer.stderr.contains(&format!(":{port}")), "{}", answer.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_has_one_mesh() {
    let home = Home::new();
    let up = Up::start(&home, &["--agents", "0"]).await;
    let answer = home.run(&["serve", "--port", "0"]).await.with_code(1);
    assert!(answer.stderr.contains("in use by process"), "{}", answer.stderr);
    // The one that was there is unharmed, and still found.
    home.run(&["jobs", "list"]).await.good();
    up.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_hands_jobs_back_and_starting_goes_on_with_them() {
    let gate = Gate::new();
    let turn = Turn::text("Done by the second mesh.");
    let mesh = Mesh::start([turn.clone().hold(&gate), turn]).await;
    let job = mesh.job(&["Take your time."]).await;
    mesh.model.wait_received(1).await;
    let asked = Instant::now();
    let (home, model) = mesh.interrupt().await;
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let up = Up::start(&home, &[]).await;
    let answer = home.run(&["attach", &job]).await.good();
    assert_eq!(answer.stdout, "Done by the second mesh.\n");
    assert!(answer.stderr.contains("handed it back"), "the log says what happened: {}", answer.stderr);
    assert_eq!(model.received().len(), 2);
    up.stop().await.good();
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_dies_is_replaced_and_none_outlives_the_mesh() {
    use nix::{errno::Errno, sys::signal::kill};
    let mesh = Mesh::start(Script::each(|_| Turn::text("Still here."))).await;
    let up = mesh.up();
    let first = eventually("the agent", async || up.children().first().copied()).await;
    kill(first, Signal::SIGKILL).unwrap();
    eventually("another agent", async || up.children().first().copied().filter(|agent| *agent != first)).await;
    mesh.run(&["run", "Are you there?"]).await.good();

    let agent = up.children()[0];
    let (home, model) = mesh.kill().await;
    eventually("the agent to notice", async || (kill(agent, None) == Err(Errno::ESRCH)).then_some(())).await;

    // A killed mesh leaves its address behind; the next one still starts, and is found.
    let up = Up::start(&home, &[]).await;
    assert_eq!(home.run(&["run", "And now?"]).await.good().stdout, "Still here.\n");
    up.stop().await.good();
    drop(model);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_an_agents_arguments_or_environment() {
    let model = testkit::ScriptedModel::start(Script::each(|_| Turn::text("x"))).await;
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", &model.base_url());
    home.set("OPENAI_API_KEY", "sk-do-not-pass-on");
    home.set("DEVMESH_PROVIDERS__MINE__API_KEY", "sk-do-not-pass-on");
    home.set("DEVMESH_PROVIDERS__MINE__BASE_URL", "http://127.0.0.1:9/v1");
    let up = Up::start(&home, &[]).await;
    let agent = eventually("the agent", async || up.children().first().copied()).await;
    let token = std::fs::read_to_string(home.data().join("agents/agent-1.token")).unwrap();
    // Between fork and exec a child still looks like its parent.
    let arguments = eventually("the agent's own arguments", async || {
        let text = std::fs::read_to_string(format!("/proc/{agent}/cmdline")).ok()?;
        text.contains("--lifeline").then_some(text)
    })
    .await;
    let environment = String::from_utf8_lossy(&std::fs::read(format!("/proc/{agent}/environ")).unwrap()).into_owned();
    for secret in ["do-not-pass-on", token.trim()] {
        assert!(!arguments.contains(secret) && !environment.contains(secret));
    }
    assert!(environment.contains("agent-1.token"), "only the name of the file: {environment}");
    up.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tells_what_works_and_mends_the_rest() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Fine."))).await;
    let findings = mesh.run(&["doctor", "--json"]).await.good().lines();
    let verdict = |check: &str| {
        findings
            .iter()
            .find(|finding| finding["check"] == check)
            .map(|finding| finding["verdict"].as_str().unwrap().to_owned())
    };
    for check in ["git", "data folder", "disk space", "admin token", "backend", "sqlite", "writes", "ollama"] {
        assert_eq!(verdict(check).as_deref(), Some("good"), "{check}: {findings:#?}");
    }
    assert_eq!(verdict("embedded model").as_deref(), Some("careful"), "none was fetched in this home");

    let token = mesh.home.data().join("admin-token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
    let answer = mesh.run(&["doctor"]).await.with_code(1);
    let row = answer.stdout.lines().find(|line| line.starts_with("bad\tadmin token")).unwrap();
    assert!(row.contains(&format!("chmod 600 {}", token.display())), "{row}");
}
