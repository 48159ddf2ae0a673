//! One real agent process.

use super::Backend;
use anyhow::Result;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// One agent process, killed when dropped.
pub(crate) struct Agent(Child);

impl Agent {
    /// Agents with one folder share their workspaces, as agents of one machine do.
    pub(crate) async fn start(folder: &Path, backend: &Backend, name: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let token_file = folder.join(format!("{name}.token"));
        std::fs::write(&token_file, backend.agent_secret().await?)?;
        let log = std::fs::File::create(folder.with_file_name(format!("{name}.log")))?;
        let child = Command::new(env!("CARGO_BIN_EXE_devmesh"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .env("DEVMESH_URL", backend.url())
            .env("DEVMESH_TOKEN_FILE", &token_file)
            .args(["agent", "--name", name, "--data"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Self(child))
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill(Pid::from_raw(i32::try_from(self.0.id())?), signal)?)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
