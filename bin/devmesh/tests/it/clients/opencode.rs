//! OpenCode, over chat completions.

use super::{
    run::{MCP_SERVER, client, endless, killed, program, to_its_end},
    stage::{Stage, Tools, assert_done, route, works},
};
use futures_util::future::join_all;
use serde_json::json;
use testkit::{Wire, skipped_part};
use tokio::process::Command;

const TOOLS: Tools =
    Tools { file: |path, text| ("write", json!({"filePath": path, "content": text})), note: "mesh_note", search: None };

/// Of the folder it works in.
fn configure(stage: &Stage) {
    let settings = json!({
        "autoupdate": false,
        "mcp": {"mesh": {"type": "local", "command": ["python3", MCP_SERVER], "enabled": true}},
    });
    for wire in Wire::ALL {
        std::fs::write(stage.folder(wire).join("opencode.json"), settings.to_string()).unwrap();
    }
}

fn command(stage: &Stage, wire: Wire) -> Command {
    let program = program("opencode-", "bin/opencode").unwrap();
    let mut command = client(stage, &program, wire);
    // Its database does not stand several of it starting at once.
    for name in ["XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"] {
        command.env(name, stage.home.path("opencode").join(route(wire)));
    }
    command.args(["run", "--auto", "--model", &format!("devmesh/{}", route(wire)), "Make a file."]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_works_over_every_wire() {
    if let Err(why) = program("opencode-", "bin/opencode") {
        return skipped_part("opencode_works_over_every_wire", &why);
    }
    let stage = Stage::start(|folder, received| works(&TOOLS, folder, received)).await;
    stage.launch("opencode").await;
    configure(&stage);
    join_all(Wire::ALL.map(|wire| to_its_end(command(&stage, wire), wire))).await;
    for wire in Wire::ALL {
        assert_done(&stage, wire);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn opencode_that_is_killed_lets_the_model_go() {
    if let Err(why) = program("opencode-", "bin/opencode") {
        return skipped_part("opencode_that_is_killed_lets_the_model_go", &why);
    }
    let stage = Stage::start(|_, _| endless()).await;
    stage.launch("opencode").await;
    configure(&stage);
    join_all(Wire::ALL.map(|wire| killed(&stage, command(&stage, wire), wire))).await;
    stage.stop().await;
}
