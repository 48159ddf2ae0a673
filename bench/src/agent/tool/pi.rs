//! pi: four tools (read, write, edit, bash) over the vendors' tool calls, with the gateway as a provider of its own.

use crate::agent::run::Stage;
use anyhow::Result;
use serde_json::json;
use std::{fs, path::Path, process::Command};

pub const VERSION: &str = "0.73.1";
/// Of one answer: a file of an exercise and some words.
const ANSWER_TOKENS: u64 = 2048;

pub fn command(program: &Path, stage: &Stage<'_>, token: &str) -> Result<Command> {
    let settings = stage.home.join("pi");
    fs::create_dir_all(&settings)?;
    let models = json!({"providers": {"devmesh": {
        "baseUrl": stage.mesh.openai_url(),
        "api": "openai-completions",
        "apiKey": token,
        "compat": {"supportsDeveloperRole": false, "supportsReasoningEffort": false},
        "models": [{
            "id": stage.mesh.model,
            "contextWindow": stage.mesh.context_tokens,
            "maxTokens": ANSWER_TOKENS.min(stage.mesh.context_tokens / 2),
        }],
    }}});
    fs::write(settings.join("models.json"), models.to_string())?;
    let mut command = Command::new(program);
    command
        .env("PI_CODING_AGENT_DIR", settings)
        .env("PI_OFFLINE", "1")
        .env("PI_TELEMETRY", "0")
        .args(["--provider", "devmesh", "--model", &stage.mesh.model])
        // It prints its last words; all of them are in its session, which is kept beside them.
        .args(["--print", "--session-dir"])
        .arg(stage.said.with_extension("session"))
        .arg(&stage.exercise.task);
    Ok(command)
}
