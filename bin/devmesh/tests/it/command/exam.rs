//! `models test` and what it leaves, with a scripted model and once with a real one.

use super::{Home, Mesh, Up};
use nix::sys::signal::Signal;
use serde_json::Value;
use testkit::{Gate, Script, Turn};

const MODEL: &str = "ollama/scripted:latest";

/// Answers everything with the same words: fails whatever can be failed.
fn talker() -> Script {
    Script::each(|_| Turn::text("I would be glad to help.").usage(600, 8))
}

fn outcome(exam: &Value, question: &str) -> String {
    let answers = exam["answers"].as_array().unwrap();
    answers.iter().find(|answer| answer["question"] == question).unwrap()["outcome"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_found_is_shown_kept_and_listed() {
    let mesh = Mesh::start(talker()).await;
    let tried = mesh.run(&["models", "test", MODEL, "--dry-run", "--json"]).await.good().json();
    assert_eq!(outcome(&tried["exam"], "native_call"), "failed");
    let shown = mesh.run(&["models", "show", MODEL, "--json"]).await.good().json();
    assert!(shown["profile"].is_null(), "nothing was kept: {shown}");

    let answer = mesh.run(&["models", "test", MODEL]).await.good();
    let lines: Vec<_> = answer.stdout.lines().collect();
    assert!(lines[0].starts_with("failed\tcalls a tool by itself\t"), "{}", answer.stdout);
    assert!(lines[0].ends_with("it wrote words in place of a call: I would be glad to help."), "{}", answer.stdout);
    for wanted in ["calls\ttext", "edits\twhole_file", "mode\tguided"] {
        assert!(lines.contains(&wanted), "{wanted}: {}", answer.stdout);
    }
    let shown = mesh.run(&["models", "show", MODEL]).await.good().stdout;
    assert!(shown.contains("an exam of 20") && shown.contains("of the weights scripted:la"), "{shown}");
    let listed = mesh.run(&["models", "list"]).await.good().stdout;
    assert!(listed.contains("\ttext guided*\t"), "{listed}");
    mesh.run(&["models", "test", "ollama/absent"]).await.with_code(5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exam_that_is_interrupted_keeps_nothing() {
    let gate = Gate::new();
    let held = gate.clone();
    let mesh = Mesh::start(Script::each(move |_| Turn::text("later").hold(&held))).await;
    let exam = mesh.begin(&["models", "test", MODEL]);
    mesh.model.wait_received(1).await;
    exam.signal(Signal::SIGINT);
    exam.end().await.with_code(130);
    mesh.model.wait_abandoned(1).await;
    let shown = mesh.run(&["models", "show", MODEL, "--json"]).await.good().json();
    assert!(shown["profile"].is_null(), "{shown}");
}

/// The real thing: the small model is asked everything, and found to need leading.
#[tokio::test(flavor = "multi_thread")]
async fn the_small_model_is_examined() {
    let Some(home) = Home::with_small_model().await else { return };
    let up = Up::start(&home, &["--agents", "0"]).await;
    let model = "embedded/smollm2-135m-instruct";
    let before = home.run(&["models", "show", model, "--json"]).await.good().json();
    assert_eq!(before["profile"]["known_by"], "family", "{before}");
    let found = home.run(&["models", "test", model, "--json"]).await.good().json();
    assert_eq!(found["known_by"], "digest", "{found}");
    assert_eq!(found["exam"]["answers"].as_array().unwrap().len(), 8, "{found}");
    assert_eq!(outcome(&found["exam"], "native_call"), "skipped", "it runs in this process, which hands out no tools");
    assert_eq!((&found["profile"]["calls"], &found["profile"]["mode"]), (&"text".into(), &"guided".into()), "{found}");
    assert!(found["exam"]["output_tokens_per_second"].as_f64().unwrap() > 0., "{found}");
    up.stop().await.good();
}
