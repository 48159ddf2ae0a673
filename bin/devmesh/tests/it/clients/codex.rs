//! Codex, over the Responses API: with its patches as a custom tool and its MCP tools in a namespace.

use super::{
    run::{MCP_SERVER, client, endless, killed, program, to_its_end},
    stage::{Stage, Tools, assert_done, route, works},
};
use serde_json::{Value, json};
use std::path::Path;
use testkit::{Wire, skipped_part};
use tokio::process::Command;

const TOOLS: Tools = Tools { file: patch, note: "mcp__mesh__note", search: None };

fn patch(path: &Path, text: &str) -> (&'static str, Value) {
    let input = format!("*** Begin Patch\n*** Add File: {}\n+{text}\n*** End Patch\n", path.display());
    ("apply_patch", json!({"input": input}))
}

fn codex() -> Result<std::path::PathBuf, String> {
    program("@openai/codex-", "vendor/*/bin/codex")
}

/// Codex offers `apply_patch` to models that its catalogue says can do it, so the mesh's routes get entries there.
async fn configure(stage: &Stage) {
    stage.launch("codex").await;
    let mut command = client(stage, &codex().unwrap(), Wire::OpenAiChat);
    let listed = command.args(["debug", "models"]).output().await.unwrap();
    let mut catalogue: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let models = catalogue["models"].as_array().unwrap();
    let mut entry = models.iter().find(|model| model["slug"] == "gpt-5.5").unwrap().clone();
    // Otherwise MCP tools are looked for at OpenAI.
    entry["supports_search_tool"] = json!(false);
    let entries = Wire::ALL.map(|wire| {
        entry["slug"] = json!(route(wire));
        entry.clone()
    });
    catalogue["models"] = json!(entries);
    std::fs::write(stage.home.path("models.json"), catalogue.to_string()).unwrap();
}

fn command(stage: &Stage, wire: Wire) -> Command {
    let mut command = client(stage, &codex().unwrap(), wire);
    let settings = [
        format!("model_catalog_json={:?}", stage.home.path("models.json")),
        "model_providers.devmesh.supports_websockets=true".to_owned(),
        "mcp_servers.mesh.command=\"python3\"".to_owned(),
        format!("mcp_servers.mesh.args=[{MCP_SERVER:?}]"),
        "mcp_servers.mesh.env_vars=[\"NOTES\"]".to_owned(),
    ];
    command.args(["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]);
    for setting in settings {
        command.args(["--config", &setting]);
    }
    command.args(["--model", route(wire), "Make a file."]);
    command
}

/// How its tools reach the model: over its own wire as they are, over others as plain functions.
fn assert_offered(stage: &Stage, wire: Wire) {
    let offered = stage.model(wire).received()[0].tools();
    let is_its_own = wire == Wire::OpenAiResponses;
    let found = |name: &str| offered.iter().find(|tool| tool.name == name).unwrap();
    assert_eq!(found("apply_patch").is_custom, is_its_own, "{wire:?}");
    assert_eq!(found(TOOLS.note).namespace.is_some(), is_its_own, "{wire:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_works_over_every_wire() {
    if let Err(why) = codex() {
        return skipped_part("codex_works_over_every_wire", &why);
    }
    let stage = Stage::start(|folder, received| works(&TOOLS, folder, received)).await;
    configure(&stage).await;
    // One after the other: they share a database.
    for wire in Wire::ALL {
        let complaint = to_its_end(command(&stage, wire), wire).await;
        assert_done(&stage, wire);
        assert_offered(&stage, wire);
        // It was told to try a WebSocket, did so once, and went on without.
        assert_eq!(complaint.matches("failed to connect to Responses WebSocket").count(), 1, "{complaint}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codex_that_is_killed_lets_the_model_go() {
    if let Err(why) = codex() {
        return skipped_part("codex_that_is_killed_lets_the_model_go", &why);
    }
    let stage = Stage::start(|_, _| endless()).await;
    configure(&stage).await;
    for wire in Wire::ALL {
        killed(&stage, command(&stage, wire), wire).await;
    }
    stage.stop().await;
}
