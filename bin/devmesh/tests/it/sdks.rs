//! The vendors' own client libraries against a mesh whose model follows a script: what people point at devmesh works.
//!
//! The checks are the Python scripts in `tests/sdk`; what the script answers here is what they look for.

use crate::command::{Home, Up};
use serde_json::json;
use std::{path::Path, process::Stdio, time::Duration};
use testkit::{Script, ScriptedModel, ServedModel, Turn, skipped_part, tool, users_cache};
use tokio::process::Command;

/// Python starts slowly on a loaded machine, and a real model answers slowly; a script that hangs is ended.
const DEADLINE: Duration = Duration::from_secs(240);

#[tokio::test(flavor = "multi_thread")]
async fn the_openai_library_works() {
    against_the_script("the_openai_library_works", "openai_sdk.py", "ollama/scripted:latest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_anthropic_library_works() {
    against_the_script("the_anthropic_library_works", "anthropic_sdk.py", "ollama/scripted:latest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ollama_library_works() {
    against_the_script("the_ollama_library_works", "ollama_sdk.py", "ollama/scripted:latest").await;
}

async fn against_the_script(test: &str, file: &str, model: &str) {
    if let Err(why) = tool("python-sdks") {
        skipped_part(test, &why);
        return;
    }
    let served = ServedModel::new(ScriptedModel::MODEL).capabilities(&["completion", "tools", "thinking"]);
    let scripted = ScriptedModel::serve([served], script()).await;
    let mut home = Home::new();
    home.set("OLLAMA_BASE_URL", &scripted.base_url());
    home.set("DEVMESH_EMBEDDED__CACHE", users_cache().to_str().unwrap());
    let mut variables = vec![("GATEWAY_MODEL", model), ("GATEWAY_SCRIPTED", "1")];
    let pulled = home.run(&["models", "pull", "all-minilm-l6-v2"]).await;
    if pulled.code == 0 {
        variables.push(("GATEWAY_EMBEDDING_MODEL", "embedded/all-minilm-l6-v2"));
    } else {
        skipped_part(&format!("embeddings of {test}"), &pulled.stderr);
    }
    let up = Up::start(&home, &["--agents", "0"]).await;
    let url = up.ready["url"].as_str().unwrap().to_owned();
    let token = std::fs::read_to_string(home.data().join("admin-token")).unwrap();
    run(file, &url, token.trim(), &variables).await;
    assert_eq!(scripted.violations(), Vec::<String>::new());
    up.stop().await.good();
}

/// Runs one of the scripts to its end; every check of it has to hold.
pub(crate) async fn run(file: &str, url: &str, token: &str, variables: &[(&str, &str)]) {
    let python = tool("python-sdks").unwrap().join("bin/python");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/sdk").join(file);
    let mut command = Command::new(python);
    command
        .arg(script)
        .env_clear()
        // No cache files in the tree, and no proxy of this machine between the library and the mesh.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs([("GATEWAY_URL", url), ("GATEWAY_TOKEN", token)])
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("the script ends").unwrap();
    let (said, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert!(output.status.success(), "{file}: {}\n{said}\n{complaints}", output.status);
    assert!(said.trim_end().ends_with("checks hold"), "{file} ended early: {said}");
}

fn script() -> Script {
    Script::each(|received| {
        let asked = received.last("user");
        if asked.starts_with("overflow") {
            // Ollama's own words, under its own status.
            Turn::error(400, "the input length exceeds the context length")
        } else if received.schema.is_some() {
            Turn::json(&json!({"name": "Ada", "age": 36}))
        } else if received.messages.last().is_some_and(|message| message.role == protocol::Role::Tool) {
            Turn::text("It is sunny.")
        } else if received.tools.iter().any(|name| name == "get_weather") {
            Turn::tool("get_weather", json!({"city": "Paris"}))
        } else if asked.starts_with("Please think") {
            Turn::text("Four.").thinking("Two and two, one after the other.")
        } else {
            Turn::text("Hello from the mesh, word by word.")
        }
    })
}
