//! Other gateways, from their packages, as their own documentation starts them.

use super::{
    alone,
    process::{Running, free_port},
};
use crate::tools;
use anyhow::{Context, Result, ensure};
use std::{collections::hash_map::RandomState, fs, hash::BuildHasher, path::Path, process::Command, time::Duration};

/// Python and a few hundred modules.
const LITELLM_START: Duration = Duration::from_secs(90);
/// Node and one file.
const PORTKEY_START: Duration = Duration::from_secs(30);

pub struct Peer {
    pub port: u16,
    pub token: String,
    _process: Running,
}

/// LiteLLM's proxy with one worker and one key, without a database or logs: the least it can do, as it refuses to start
/// without a key.
pub fn litellm(folder: &Path, upstream: u16) -> Result<Peer> {
    let program = tools::folder()?.join("litellm/bin/litellm");
    ensure!(program.exists(), "{} is not there: `cargo xtask bench gateway` installs it", program.display());
    fs::create_dir_all(folder)?;
    let configuration = folder.join("config.yaml");
    let text = format!(
        "model_list:\n  - model_name: {model}\n    litellm_params:\n      model: openai/{model}\n      \
         api_base: http://127.0.0.1:{upstream}/v1\n      api_key: none\n\
         litellm_settings:\n  telemetry: false\n  drop_params: true\n",
        model = super::http::MODEL
    );
    fs::write(&configuration, text)?;
    let token =
        format!("sk-{}", (0..4).map(|_| format!("{:016x}", RandomState::new().hash_one(0))).collect::<String>());
    let (port, log) = (free_port()?, fs::File::create(folder.join("log"))?);
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", folder)
        .env("PATH", "/usr/bin:/bin")
        // Its price table comes with the package; without this it would ask the network first.
        .env("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        .env("LITELLM_LOG", "ERROR")
        .env("LITELLM_MASTER_KEY", &token)
        .arg("--config")
        .arg(&configuration)
        .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--num_workers", "1"])
        .args(["--telemetry", "False"])
        .stderr(log);
    let mut process = Running::start(&mut command)?;
    if let Err(error) = process.listens(port, LITELLM_START) {
        let said = fs::read_to_string(folder.join("log")).unwrap_or_default();
        return Err(error.context(format!("LiteLLM's proxy said: {}", said.trim())));
    }
    Ok(Peer { port, token, _process: process })
}

/// Portkey's gateway. It listens on every interface, so only in a network of our own.
pub fn portkey(folder: &Path) -> Result<Peer> {
    ensure!(alone::is_inside(), "it listens on every interface of the machine, and no network of our own is to be had");
    let program = tools::folder()?.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js");
    ensure!(program.exists(), "{} is not there: `cargo xtask bench gateway` installs it", program.display());
    fs::create_dir_all(folder)?;
    let (port, log) = (free_port()?, fs::File::create(folder.join("log"))?);
    let mut command = Command::new("node");
    command
        .env_clear()
        .env("HOME", folder)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("NODE_ENV", "production")
        // Upstreams on this machine are refused otherwise.
        .env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1")
        .arg(program)
        .args([&format!("--port={port}"), "--headless"])
        .stderr(log);
    let mut process = Running::start(&mut command).context("Portkey needs Node 20 or newer")?;
    process.listens(port, PORTKEY_START).context("Portkey's gateway")?;
    Ok(Peer { port, token: "none".to_owned(), _process: process })
}

/// Who answers through Portkey's gateway is said with each request.
pub fn portkey_headers(upstream: u16) -> [(String, String); 2] {
    [
        ("x-portkey-provider".to_owned(), "openai".to_owned()),
        ("x-portkey-custom-host".to_owned(), format!("http://127.0.0.1:{upstream}/v1")),
    ]
}
