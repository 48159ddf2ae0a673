//! One real backend process on a folder of its own, to be killed and started again.

use anyhow::{Context, Result, ensure};
use client::{Client, Options};
use domain::JobId;
use protocol::{Event, Job, ListEvents, ListJobs};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// The longest a start may take before the test gives up: far above the two seconds promised, because the machine may
/// be building something else.
const START_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Backend {
    child: Child,
    folder: PathBuf,
    port: u16,
    model_url: String,
    /// From exec to the first answer of `/readyz`.
    pub(crate) ready_after: Duration,
}

/// When a start counts as done.
#[derive(Clone, Copy)]
enum Until {
    /// `/readyz` says ok.
    Ready,
    /// `/healthz` does.
    Answers,
}

impl Backend {
    /// Starts `devmesh serve` on a free port, with a lease of three seconds so that takeovers are quick.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        // Nothing listens on port 9: a backend without any model.
        Self::start_with_model(folder, "http://127.0.0.1:9").await
    }

    /// The same with an Ollama server at `model_url`.
    pub(crate) async fn start_with_model(folder: &Path, model_url: &str) -> Result<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Self::start_on(folder, port, model_url, Until::Ready).await
    }

    async fn start_on(folder: &Path, port: u16, model_url: &str, until: Until) -> Result<Self> {
        let started = Instant::now();
        let child =
            command(folder, port).env("OLLAMA_BASE_URL", model_url).spawn().context("cannot start the backend")?;
        let mut backend =
            Self { child, folder: folder.into(), port, model_url: model_url.into(), ready_after: Duration::ZERO };
        let probe = Client::new(Options::new(backend.url(), ""))?;
        let answers = async || match until {
            Until::Ready => probe.ready().await.is_ok(),
            Until::Answers => probe.health().await.is_ok(),
        };
        while !answers().await {
            if let Some(status) = backend.child.try_wait()? {
                let log = std::fs::read_to_string(log_file(folder))?;
                anyhow::bail!("the backend ended with {status} instead of starting: {log}");
            }
            ensure!(started.elapsed() < START_DEADLINE, "not ready after {START_DEADLINE:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        backend.ready_after = started.elapsed();
        Ok(backend)
    }

    /// SIGKILL, then a new process on the same folder and port.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<()> {
        self.kill()?;
        self.start_again(Until::Ready).await
    }

    /// The same where it cannot be ready, but must answer.
    pub(crate) async fn kill_and_restart_degraded(&mut self) -> Result<()> {
        self.kill()?;
        self.start_again(Until::Answers).await
    }

    async fn start_again(&mut self, until: Until) -> Result<()> {
        *self = Self::start_on(&self.folder.clone(), self.port, &self.model_url.clone(), until).await?;
        Ok(())
    }

    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid fits")
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn admin_token(&self) -> Result<String> {
        let file = self.folder.join("admin-token");
        Ok(std::fs::read_to_string(&file).with_context(|| format!("no token in {}", file.display()))?.trim().into())
    }

    pub(crate) fn client(&self) -> Result<Client> {
        self.client_with(&self.admin_token()?)
    }

    pub(crate) fn client_with(&self, token: &str) -> Result<Client> {
        Ok(Client::new(Options::new(self.url(), token))?)
    }

    /// A fresh token of an agent.
    pub(crate) async fn agent_secret(&self) -> Result<String> {
        let request = protocol::CreateToken::new("test agent", domain::Scope::Agent);
        Ok(self.client()?.create_token(&request).await?.secret)
    }

    /// A client that works as an agent and makes each call once: the test decides what to repeat.
    pub(crate) async fn agent_client(&self) -> Result<Client> {
        Ok(self.client_with(&self.agent_secret().await?)?.retrying_for(Duration::ZERO))
    }
}

/// The whole log of a job, page by page.
pub(crate) async fn all_events(client: &Client, job: JobId) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut query = ListEvents { limit: Some(1_000), ..ListEvents::default() };
    loop {
        let page = client.events_page(job, &query).await?;
        let more = !page.events.is_empty();
        events.extend(page.events);
        query.after = Some(page.next_cursor.to_string());
        if !more {
            return Ok(events);
        }
    }
}

/// Every job there is, oldest first.
pub(crate) async fn all_jobs(client: &Client) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let mut query = ListJobs { limit: Some(200), ..ListJobs::default() };
    loop {
        let page = client.jobs(&query).await?;
        jobs.extend(page.jobs);
        query.cursor = page.next_cursor;
        if query.cursor.is_none() {
            jobs.reverse();
            return Ok(jobs);
        }
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

pub(crate) fn command(folder: &Path, port: u16) -> Command {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log_file(folder)).expect("a log file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_devmesh"));
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", folder)
        .env("DEVMESH_JOBS__LEASE_S", "3")
        .env("DEVMESH_METRICS__PORT", "0")
        // The tests read everything back as fast as they can.
        .env("DEVMESH_SERVER__REQUESTS_PER_SECOND", "100000")
        .arg("serve")
        .arg("--data")
        .arg(folder)
        .args(["--port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command
}

/// Beside the data folder, so that the folder holds only what the backend put there.
pub(crate) fn log_file(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}
