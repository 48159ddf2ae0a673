//! Aider, over chat completions. It has no tools: the model writes files into its answer.

use super::{
    run::{client, endless, killed, to_its_end},
    stage::{END, FILE, HELLO, Stage, route},
};
use futures_util::future::join_all;
use testkit::{Reply, Wire, skipped_part, tool};
use tokio::process::Command;

fn command(stage: &Stage, wire: Wire) -> Command {
    let program = tool("aider").unwrap().join("bin/aider");
    let mut command = client(stage, &program, wire);
    command
        // Its list of prices would be fetched.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .args(["--model", &format!("openai/{}", route(wire)), "--message", "Make a file.", "--yes-always"])
        .args(["--no-git", "--no-check-update", "--analytics-disable"]);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn aider_works_over_every_wire() {
    if let Err(why) = tool("aider") {
        return skipped_part("aider_works_over_every_wire", &why);
    }
    let stage = Stage::start(|_, _| Reply::text(format!("{FILE}\n```\n{HELLO}\n```\n\n{END}"))).await;
    stage.launch("aider").await;
    join_all(Wire::ALL.map(|wire| to_its_end(command(&stage, wire), wire))).await;
    for wire in Wire::ALL {
        assert_eq!(stage.file(wire), HELLO, "{wire:?}");
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aider_that_is_killed_lets_the_model_go() {
    if let Err(why) = tool("aider") {
        return skipped_part("aider_that_is_killed_lets_the_model_go", &why);
    }
    let stage = Stage::start(|_, _| endless()).await;
    stage.launch("aider").await;
    // It starts slowly, and one wire tells.
    killed(&stage, command(&stage, Wire::OpenAiChat), Wire::OpenAiChat).await;
    stage.stop().await;
}
