//! `try`, with a scripted model in place of the small one it fetches, and once with the real one.

use super::{Home, Mesh, Up};
use testkit::{Script, ScriptedModel, Turn, sample_repository};

const MODEL: &str = "ollama/scripted:latest";

#[tokio::test(flavor = "multi_thread")]
async fn one_command_goes_from_nothing_to_a_patch() {
    let model = ScriptedModel::start(Script::each(|_| Turn::text("It times tea."))).await;
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", &model.base_url());
    let answer = home.run(&["try", "--port", "0", "--model", MODEL]).await.good();
    assert!(answer.stdout.contains("+++ b/NOTES.md") && answer.stdout.contains("+It times tea."), "{}", answer.stdout);
    for wanted in ["attempt 1", "sandbox", "closed     succeeded", "succeeded by ollama/scripted:latest"] {
        assert!(answer.stderr.contains(wanted), "{wanted}: {}", answer.stderr);
    }
    // It is all down again, and what it did is kept.
    home.run(&["jobs", "list"]).await.with_code(3);
    let again = home.run(&["try", "--port", "0", "--model", MODEL, "--json"]).await.good().lines();
    let (last, events) = again.split_last().unwrap();
    assert_eq!(events.last().unwrap()["type"], "closed");
    assert_eq!(last["job"]["state"], "succeeded");
    assert!(last["patch"].as_str().unwrap().contains("NOTES.md"));
    let up = Up::start(&home, &["--agents", "0"]).await;
    assert_eq!(home.run(&["jobs", "list"]).await.good().stdout.lines().count(), 2);
    up.stop().await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mesh_that_runs_already_is_used_and_left_running() {
    let mesh = Mesh::start(Script::each(|_| Turn::text("Prices, added up."))).await;
    let repository = sample_repository();
    let path = repository.path().to_str().unwrap();
    let answer = mesh.run(&["try", "--repo", path, "--model", MODEL, "What is it?"]).await.good();
    assert!(answer.stderr.contains("using the mesh at"), "{}", answer.stderr);
    assert!(answer.stdout.contains("+Prices, added up."), "{}", answer.stdout);
    assert_eq!(repository.git(&["status", "--porcelain"]), "", "the user's tree is untouched");
    mesh.run(&["jobs", "list"]).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_fails_fails_the_command() {
    let model = ScriptedModel::start(Script::each(|_| Turn::error(400, "not today"))).await;
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", &model.base_url());
    let answer = home.run(&["try", "--port", "0", "--model", MODEL]).await.with_code(1);
    assert!(answer.stderr.contains("not today"), "{}", answer.stderr);
}

/// The real thing: the small model, fetched through the package client into the user's own cache, writes a file.
#[tokio::test(flavor = "multi_thread")]
async fn the_small_model_answers_and_is_called_what_it_is() {
    let Some(home) = Home::with_small_model().await else { return };
    let answer = home.run(&["try", "--port", "0"]).await.good();
    assert!(answer.stdout.contains("+++ b/NOTES.md"), "{}", answer.stdout);
    assert!(answer.stderr.contains("smoke-test model"), "{}", answer.stderr);
    assert!(answer.stderr.contains("embedded/smollm2-135m-instruct"), "{}", answer.stderr);
    assert!(!answer.stderr.contains("fetching"), "it is there already: {}", answer.stderr);
    let deep = home.run(&["doctor", "--deep", "--json"]).await.good().lines();
    let completion = deep.iter().find(|finding| finding["check"] == "completion").unwrap();
    assert_eq!(completion["verdict"], "good", "{completion}");
}
