//! A job's check as a user names and reads it.

use super::Mesh;
use serde_json::json;
use testkit::{Turn, sample_repository};

fn finish(summary: &str) -> Turn {
    Turn::tool("finish", json!({"summary": summary}))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_still_fails_is_told_wherever_the_job_is() {
    let repository = sample_repository();
    let mesh = Mesh::start([finish("Done."), finish("It cannot be done.")]).await;
    let path = repository.path().to_str().unwrap();
    let check = "python3 -m unittest -q";
    let answer = mesh.run(&["run", "--code", "--repo", path, "--check", check, "Look."]).await.with_code(1);
    for line in
        ["check      python3 -m unittest -q (named by the job)", "1 of 2 fail after ", "\ncheck still fails: 1 of 2\n"]
    {
        assert!(answer.stderr.contains(line), "{line}: {}", answer.stderr);
    }
    assert!(
        answer.stderr.contains("failed (check_failed): check still fails: 1 of 2, as before the work"),
        "{}",
        answer.stderr
    );
    let id = mesh.run(&["jobs", "list"]).await.good().stdout.split('\t').next().unwrap().to_owned();
    let shown = mesh.run(&["jobs", "show", &id]).await.good().stdout;
    assert!(shown.contains(check) && shown.contains("check still fails: 1 of 2"), "{shown}");
    let json = mesh.run(&["jobs", "show", &id, "--json"]).await.good().json();
    assert_eq!((&json["reason"], &json["result"]["check"]["failed"]), (&json!("check_failed"), &json!(1)), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_changed_nothing_and_one_without_a_check_say_so() {
    let repository = sample_repository();
    let mesh = Mesh::start([finish("Nothing to do.")]).await;
    let path = repository.path().to_str().unwrap();
    let answer = mesh.run(&["run", "--code", "--repo", path, "--check", "none", "Look."]).await.good();
    assert!(
        answer.stderr.contains("\nnothing was changed\n") && !answer.stderr.contains("check "),
        "{}",
        answer.stderr
    );
    mesh.run(&["run", "--check", "true", "Ask."]).await.with_code(2);
}
