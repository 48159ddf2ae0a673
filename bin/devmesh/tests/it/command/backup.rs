//! `backup` and `restore`.

use super::{Home, Mesh, mesh::Up};
use std::os::unix::fs::PermissionsExt;
use testkit::{Script, Turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_folder_has_everything_and_says_that_it_is_another_one() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Kept."))).await;
    mesh.run(&["run", "--write", "KEPT.md", "Keep this."]).await.good();
    let before = mesh.run(&["jobs", "list", "--json"]).await.good().json();
    let (id, head) = (before[0]["id"].as_str().unwrap().to_owned(), before[0]["head"].as_str().unwrap().to_owned());
    let patch = mesh.run(&["diff", &id]).await.good().stdout;

    let file = mesh.home.path("mesh.tar");
    let name = file.to_str().unwrap();
    mesh.run(&["backup", name]).await.good();
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "it holds prompts and answers");
    let again = mesh.run(&["backup", name]).await.with_code(2);
    assert!(again.stderr.contains("exists already"), "{}", again.stderr);

    // Not over what is there.
    mesh.run(&["restore", name]).await.with_code(1);
    let (old, _) = mesh.stop().await;
    let mut new = Home::new();
    new.set("OLLAMA_BASE_URL", "http://127.0.0.1:9");
    new.run(&["restore", name]).await.good();
    std::fs::copy(old.data().join("admin-token"), new.data().join("admin-token")).unwrap();
    let up = Up::start(&new, &[]).await;
    let after = new.run(&["jobs", "list", "--json"]).await.good().json();
    assert_eq!(after[0]["id"], id.as_str());
    assert_eq!(new.run(&["diff", &id]).await.good().stdout, patch);
    assert!(new.run(&["verify", &id, "--here"]).await.good().stdout.starts_with("intact"));

    let told = new.run(&["audit", "--json"]).await.good().json();
    let told: Vec<_> = told.as_array().unwrap().iter().filter_map(|entry| entry["action"].as_str()).collect();
    let place = told.iter().position(|action| *action == "backup.restore").expect("it is told");
    assert_eq!(told[place + 1], "backup.read", "right after the last thing the original knew: {told:?}");
    assert!(new.run(&["audit", "--verify"]).await.good().stdout.starts_with("intact"));

    // A cursor from before is not silently taken for one of now.
    assert_ne!(after[0]["head"], head.as_str());
    let reset = new.run(&["logs", "-f", &id, "--json", "--after", &head]).await.good();
    assert!(reset.stderr.contains("restored from a backup"), "{}", reset.stderr);
    assert_eq!(reset.lines().last().unwrap()["type"], "closed");
    up.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_than_a_backup_is_refused() {
    let home = Home::new();
    let file = home.path("not-a-backup");
    std::fs::write(&file, "hello").unwrap();
    let answer = home.run(&["restore", file.to_str().unwrap()]).await.with_code(1);
    assert!(answer.stderr.contains("error:"), "{}", answer.stderr);
    let answer = home.run(&["restore", "nowhere.tar"]).await.with_code(1);
    assert!(answer.stderr.contains("nowhere.tar"), "{}", answer.stderr);
}
