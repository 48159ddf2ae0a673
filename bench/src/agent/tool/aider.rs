//! Aider: it cannot look for files with a small model, so it gets the sources to edit and the rest to read, as its user would
//! name them. It runs the test after each change and shows the model what failed, three times at most; that is its own rule.

use crate::agent::{files, run::Stage};
use anyhow::Result;
use serde_json::json;
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Built things and manifests of languages are no reading for a model.
const NO_READING: &[&str] = &[".gitignore", "Cargo.lock", "Cargo.toml", "Makefile", "go.mod", "package.json"];

pub fn command(program: &Path, stage: &Stage<'_>, token: &str) -> Result<Command> {
    let name = format!("openai/{}", stage.mesh.model);
    // What the model holds, which Aider knows of vendors' models by itself.
    let about = json!({&name: {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_input_tokens": stage.mesh.context_tokens,
        "max_tokens": stage.mesh.context_tokens,
        "input_cost_per_token": 0,
        "output_cost_per_token": 0,
    }});
    let metadata = stage.home.join("model.json");
    fs::write(&metadata, about.to_string())?;

    let editable = &stage.exercise.about.editable;
    let is_editable = |file: &PathBuf| editable.iter().any(|editable| Path::new(editable) == file.as_path());
    let is_reading = |file: &PathBuf| !NO_READING.iter().any(|name| file.ends_with(name));
    let reading = files::all(&stage.repository)?.into_iter().filter(|file| !is_editable(file) && is_reading(file));
    let reading = reading.flat_map(|file| [OsString::from("--read"), file.into()]);

    let mut command = Command::new(program);
    command
        .env("OPENAI_API_BASE", stage.mesh.openai_url())
        .env("OPENAI_API_KEY", token)
        // Its list of prices would be fetched.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .args(["--model", &name, "--edit-format", "whole"])
        .arg("--model-metadata-file")
        .arg(metadata)
        .args(["--message", &stage.exercise.task])
        .args(["--test-cmd", &stage.exercise.about.test, "--auto-test"])
        .args(["--yes-always", "--no-check-update", "--analytics-disable", "--no-pretty", "--no-show-model-warnings"])
        // A message for each commit would be one more answer of the model, and nobody reads it.
        .args(["--no-auto-commits", "--no-gitignore", "--no-detect-urls", "--no-show-release-notes"])
        // One answer may take longer than its time here; the run's own limit ends it.
        .args(["--timeout", &stage.limit.as_secs().to_string()])
        .args(reading)
        .args(editable);
    Ok(command)
}
