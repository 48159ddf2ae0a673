//! mini-swe-agent: a shell is its one tool, and the model writes a block with one command in each answer. Its configuration
//! for models without tool calls, with the limits on money off, as there are no prices.

use crate::agent::run::Stage;
use anyhow::Result;
use std::{path::Path, process::Command};

pub const VERSION: &str = "2.4.6";
/// As long as devmesh's own tool calls; thirty seconds are too short for a compiler on two cores.
const COMMAND_SECONDS: u64 = 120;

pub fn command(program: &Path, stage: &Stage<'_>, token: &str) -> Result<Command> {
    let mut command = Command::new(program);
    command
        .env("OPENAI_API_KEY", token)
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("MSWEA_COST_TRACKING", "ignore_errors")
        // Otherwise it asks for a model and a key at its first start.
        .env("MSWEA_CONFIGURED", "true")
        .env("MSWEA_GLOBAL_CONFIG_DIR", stage.home.join("mini"))
        .args(["--config", "mini_textbased.yaml"])
        .args(["--config", &format!("model.model_kwargs.api_base={}", stage.mesh.openai_url())])
        .args(["--config", &format!("environment.timeout={COMMAND_SECONDS}")])
        .args(["--model", &format!("openai/{}", stage.mesh.model), "--model-class", "litellm_textbased"])
        .args(["--yolo", "--exit-immediately", "--cost-limit", "0"])
        .arg("--output")
        .arg(stage.home.join("trajectory.json"))
        .args(["--task", &stage.exercise.task]);
    Ok(command)
}
