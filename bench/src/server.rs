//! The release build of the program as a process of its own.

use anyhow::{Context, Result, ensure};
use client::{Client, Options};
use domain::{Scope, SystemClock, WorkerId};
use protocol::{CreateToken, LeaseRequest};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_DEADLINE: Duration = Duration::from_secs(60);

pub struct Server {
    child: Child,
    pub url: String,
    folder: PathBuf,
    pub ready_after: Duration,
}

impl Server {
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &[]).await
    }

    /// The same with more of its environment set.
    pub async fn start_with(folder: &Path, variables: &[(&str, &str)]) -> Result<Self> {
        Self::start_as(&Self::own_program()?, &["serve"], folder, variables, None).await
    }

    /// The one that was built with this benchmark.
    pub fn own_program() -> Result<PathBuf> {
        let program = std::env::current_exe()?.with_file_name("devmesh");
        ensure!(program.exists(), "{} is not built: use `cargo xtask bench`", program.display());
        Ok(program)
    }

    /// A program in a role, which tells the file `log` what it does.
    pub async fn start_as(
        program: &Path,
        role: &[&str],
        folder: &Path,
        variables: &[(&str, &str)],
        log: Option<&Path>,
    ) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let url = format!("http://127.0.0.1:{port}");
        let probe = Client::new(Options::new(&url, ""))?;
        let started = Instant::now();
        let child = Command::new(program)
            .env_clear()
            .env("HOME", folder)
            // Nothing listens there: no model takes part in these figures.
            .env("OLLAMA_BASE_URL", "http://127.0.0.1:9")
            .env("DEVMESH_METRICS__PORT", "0")
            // The client and the server are one machine; limits against strangers would measure themselves.
            .env("DEVMESH_SERVER__REQUESTS_PER_SECOND", "1000000")
            .envs(variables.iter().copied())
            .args(role)
            .arg("--data")
            .arg(folder)
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.map(File::create).transpose()?.map_or_else(Stdio::null, Stdio::from))
            .spawn()?;
        let mut server = Self { child, url, folder: folder.into(), ready_after: Duration::ZERO };
        while probe.ready().await.is_err() {
            if let Some(status) = server.child.try_wait()? {
                anyhow::bail!("the server ended with {status}");
            }
            ensure!(started.elapsed() < START_DEADLINE, "the server is not ready after {START_DEADLINE:?}");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.ready_after = started.elapsed();
        Ok(server)
    }

    pub fn admin_token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("admin-token")).context("no admin token")?.trim().into())
    }

    pub fn client(&self) -> Result<Client> {
        Ok(Client::new(Options::new(&self.url, self.admin_token()?))?)
    }

    pub async fn agent(&self) -> Result<Client> {
        let token = CreateToken::new("bench", Scope::Agent);
        Ok(Client::new(Options::new(&self.url, self.client()?.create_token(&token).await?.secret))?)
    }

    /// Resident memory in MiB; Linux only.
    pub fn resident_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn lease_request(wait_ms: u64) -> LeaseRequest {
    let worker_id = WorkerId::new(domain::Clock::now(&SystemClock));
    LeaseRequest { worker_id, worker_name: "bench".into(), wait_ms }
}

/// A folder on the same disk as the build, because a temporary file system in memory has no fsync to wait for.
pub fn folder() -> Result<tempfile::TempDir> {
    let beside = std::env::current_exe()?.parent().context("the program lies in a folder")?.join("bench-data");
    std::fs::create_dir_all(&beside)?;
    Ok(tempfile::tempdir_in(beside)?)
}
