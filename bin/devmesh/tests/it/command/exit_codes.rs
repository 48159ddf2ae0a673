//! One number per kind of ending.

use super::{Home, Mesh};
use serde_json::json;
use testkit::{Gate, Script, Turn, sample_repository};

#[tokio::test(flavor = "multi_thread")]
async fn two_is_usage() {
    let home = Home::new();
    home.run(&["jobs", "lsit"]).await.with_code(2);
    home.run(&["run"]).await.with_code(2);
    let answer = home.run(&["config", "show", "--set", "server.prot=1", "--set", "jobs.lease_s=0"]).await.with_code(2);
    assert!(
        answer.stderr.contains("2 mistakes") && answer.stderr.contains("did you mean `server.port`?"),
        "{}",
        answer.stderr
    );
    home.run(&["run", "--code", "No repository."]).await.with_code(2);
    home.run(&["run", "--repo", "nowhere", "No such folder."]).await.with_code(2);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_is_no_backend() {
    let home = Home::new();
    let answer = home.run(&["jobs", "list"]).await.with_code(3);
    assert!(answer.stderr.contains("next: devmesh up"), "{}", answer.stderr);
    // Nothing listens on port 9.
    std::fs::write(home.path("token"), "dm_admin_x\n").unwrap();
    let answer = home.run(&["jobs", "list", "--url", "http://127.0.0.1:9", "--token-file", "token"]).await.with_code(3);
    assert!(answer.stderr.contains("http://127.0.0.1:9 does not answer"), "{}", answer.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_is_the_token_and_five_is_not_found() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Yes."))).await;
    let secret = mesh.run(&["token", "create", "reader", "--scope", "viewer"]).await.good().stdout;
    let file = mesh.home.path("viewer-token");
    std::fs::write(&file, &secret).unwrap();
    let viewer = file.to_str().unwrap();
    mesh.run(&["jobs", "list", "--token-file", viewer]).await.good();
    let refused = mesh.run(&["run", "May I?", "--token-file", viewer]).await.with_code(4);
    assert!(refused.stderr.contains("`viewer`"), "{}", refused.stderr);
    assert!(refused.stderr.contains("request "), "the request can be found in the log: {}", refused.stderr);

    let listed = mesh.run(&["token", "list"]).await.good().stdout;
    let row = listed.lines().find(|line| line.ends_with("\treader")).unwrap();
    assert!(!listed.contains(secret.trim()), "no list shows a secret");
    mesh.run(&["token", "rm", row.split('\t').next().unwrap()]).await.good();
    mesh.run(&["jobs", "list", "--token-file", viewer]).await.with_code(4);

    let missing = mesh.run(&["jobs", "show", "00000000"]).await.with_code(5);
    assert!(missing.stderr.contains("no job's id begins with `00000000`"), "{}", missing.stderr);
    mesh.run(&["attach", "01900000-0000-7000-8000-000000000000"]).await.with_code(5);
    mesh.run(&["jobs", "show", "not an id"]).await.with_code(2);

    mesh.job(&["One."]).await;
    mesh.job(&["Two."]).await;
    let ambiguous = mesh.run(&["jobs", "show", "0"]).await.with_code(2);
    assert!(ambiguous.stderr.contains("more than one job"), "{}", ambiguous.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn six_is_a_budget() {
    let repository = sample_repository();
    let mesh = Mesh::start(Script::each(|_| Turn::tool("run", json!({"command": "date +%N"})))).await;
    let path = repository.path().to_str().unwrap();
    let answer = mesh.run(&["run", "--code", "--repo", path, "--max-steps", "2", "Go on for ever."]).await.with_code(6);
    assert!(answer.stderr.contains("budget_exhausted"), "{}", answer.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_hundred_and_twenty_four_is_time() {
    let gate = Gate::new();
    let mesh = Mesh::start([Turn::text("Too late.").hold(&gate)]).await;
    let answer = mesh.run(&["run", "--timeout", "1", "Hurry."]).await.with_code(124);
    assert!(answer.stderr.contains("timed_out"), "{}", answer.stderr);
}
