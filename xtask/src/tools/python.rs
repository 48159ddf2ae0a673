//! Python programs in environments of their own, from pinned requirements.

use super::Tool;
use crate::shell::{root, run};
use anyhow::{Context, Result, ensure};
use std::{fs, path::Path, process::Command};

/// The vendors' own client libraries, for the tests in `tests/sdk`.
pub const SDKS: Tool = Tool {
    name: "python-sdks",
    works: |folder| works(folder, SDK_LIST),
    make: |folder| make(folder, SDK_LIST, ONLY_WHEELS),
};
/// Tries what the OpenAPI document promises.
pub const SCHEMATHESIS: Tool = Tool {
    name: "schemathesis",
    works: |folder| works(folder, SCHEMATHESIS_LIST),
    make: |folder| make(folder, SCHEMATHESIS_LIST, ONLY_WHEELS),
};
/// What people write code with, for the tests in `bin/devmesh`.
pub const AIDER: Tool = Tool {
    name: "aider",
    works: |folder| works(folder, AIDER_LIST),
    make: |folder| make(folder, AIDER_LIST, ONLY_WHEELS),
};
/// A gateway that the benchmark measures ours against.
pub const LITELLM: Tool = Tool {
    name: "litellm",
    works: |folder| works(folder, LITELLM_LIST),
    make: |folder| make(folder, LITELLM_LIST, ONLY_WHEELS),
};

/// The engine that the benchmark measures ours against.
pub const LLAMA_CPP: Tool = Tool {
    name: "llama-cpp",
    works: |folder| works(folder, LLAMA_CPP_LIST),
    make: |folder| make(folder, LLAMA_CPP_LIST, &["--prefer-binary"]),
};
/// A coding tool that the benchmark measures ours against.
pub const MINI_SWE_AGENT: Tool = Tool {
    name: "mini-swe-agent",
    works: |folder| works(folder, MINI_SWE_AGENT_LIST),
    make: |folder| make(folder, MINI_SWE_AGENT_LIST, ONLY_WHEELS),
};

const SDK_LIST: &str = "tests/sdk/requirements.txt";
const SCHEMATHESIS_LIST: &str = "tests/schemathesis/requirements.txt";
const AIDER_LIST: &str = "tests/clients/requirements.txt";
const LITELLM_LIST: &str = "bench/peers/litellm.txt";
const MINI_SWE_AGENT_LIST: &str = "bench/peers/mini-swe-agent.txt";
const LLAMA_CPP_LIST: &str = "bench/peers/llama-cpp.txt";
/// Nothing is built.
const ONLY_WHEELS: &[&str] = &["--only-binary", ":all:"];
/// What was installed, written last: an environment without it is a half-made one.
const INSTALLED: &str = "requirements.txt";

fn works(folder: &Path, list: &str) -> bool {
    let (wanted, installed) = (fs::read(root().join(list)), fs::read(folder.join(INSTALLED)));
    matches!((wanted, installed), (Ok(wanted), Ok(installed)) if wanted == installed)
        && Command::new(folder.join("bin/python")).arg("--version").output().is_ok_and(|said| said.status.success())
}

/// `sources`: what may be built rather than unpacked, as pip takes it.
fn make(folder: &Path, list: &str, sources: &[&str]) -> Result<()> {
    let list = root().join(list);
    let made = Command::new("python3").args(["-m", "venv"]).arg(folder).output();
    let made = made.context("python3 is missing: install Python 3.10 or newer with venv and pip")?;
    ensure!(
        made.status.success(),
        "`python3 -m venv` failed (on Debian it wants the package python3-venv): {}{}",
        String::from_utf8_lossy(&made.stdout).trim(),
        String::from_utf8_lossy(&made.stderr).trim()
    );
    let pip = folder.join("bin/python");
    run(Command::new(pip)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(sources)
        .arg("--requirement")
        .arg(&list))?;
    fs::copy(&list, folder.join(INSTALLED))?;
    Ok(())
}
