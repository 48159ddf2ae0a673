//! Claude Code, over the Messages API.

use super::{
    run::{DEADLINE, MCP_SERVER, client, endless, killed, program, to_its_end},
    stage::{Stage, Tools, assert_done, route, works},
};
use futures_util::future::join_all;
use serde_json::json;
use testkit::{Wire, skipped_part};
use tokio::process::Command;

const TOOLS: Tools = Tools {
    file: |path, text| ("Write", json!({"file_path": path, "content": text})),
    note: "mcp__mesh__note",
    search: Some(|| ("ToolSearch", json!({"query": "select:mcp__mesh__note", "max_results": 1}))),
};

fn command(stage: &Stage, wire: Wire) -> Command {
    let program = program("@anthropic-ai/claude-code-", "claude").unwrap();
    let mut command = client(stage, &program, wire);
    command.env("ANTHROPIC_AUTH_TOKEN", &stage.token);
    let servers = json!({"mcpServers": {"mesh": {"command": "python3", "args": [MCP_SERVER]}}});
    command
        .args(["--print", "Make a file.", "--model", route(wire), "--mcp-config", &servers.to_string()])
        .args(["--allowedTools", "Write,ToolSearch,mcp__mesh__note"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_works_over_every_wire() {
    if let Err(why) = program("@anthropic-ai/claude-code-", "claude") {
        return skipped_part("claude_code_works_over_every_wire", &why);
    }
    let stage = Stage::start(|folder, received| works(&TOOLS, folder, received)).await;
    stage.launch("claude").await;
    join_all(Wire::ALL.map(|wire| to_its_end(command(&stage, wire), wire))).await;
    for wire in Wire::ALL {
        assert_done(&stage, wire);
    }
    stage.stop().await;
}

/// It asks once more for itself at most, and shows what the mesh says instead of asking again without a word.
#[tokio::test(flavor = "multi_thread")]
async fn claude_code_says_what_the_mesh_refuses() {
    if let Err(why) = program("@anthropic-ai/claude-code-", "claude") {
        return skipped_part("claude_code_says_what_the_mesh_refuses", &why);
    }
    let stage = Stage::start(|_, _| endless()).await;
    let made = stage.home.run(&["token", "create", "--scope", "model", "--route", "another", "narrow"]).await.good();
    stage.launch("claude").await;
    let mut command = command(&stage, Wire::Anthropic);
    command.env("ANTHROPIC_AUTH_TOKEN", made.stdout.trim());
    let output = tokio::time::timeout(DEADLINE, command.output()).await.expect("it does not end").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success() && said.contains("403"), "{}: {said}", output.status);
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn claude_code_that_is_killed_lets_the_model_go() {
    if let Err(why) = program("@anthropic-ai/claude-code-", "claude") {
        return skipped_part("claude_code_that_is_killed_lets_the_model_go", &why);
    }
    let stage = Stage::start(|_, _| endless()).await;
    stage.launch("claude").await;
    join_all(Wire::ALL.map(|wire| killed(&stage, command(&stage, wire), wire))).await;
    stage.stop().await;
}
