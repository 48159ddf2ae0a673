//! One Ollama process with models of its own.

use embedded_model::{bill, fetch};
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use testkit::users_cache;
use tokio::process::{Child, Command};

const MODEL: &str = "smollm2-135m-instruct";
const START_DEADLINE: Duration = Duration::from_secs(60);

pub(crate) struct Ollama {
    program: PathBuf,
    folder: PathBuf,
    address: String,
    pub(crate) url: String,
    /// Leads a group of its own, which its runners are in too.
    group: Pid,
    _process: Child,
}

impl Ollama {
    /// Serves on a free port of 127.0.0.1, one request at a time, with nothing of the user's.
    pub(crate) async fn start(program: &Path, folder: &Path) -> Self {
        // One for the whole process: another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        std::fs::create_dir_all(folder).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let mut server = command(program, folder, &address);
        let log = std::fs::File::create(folder.join("log")).unwrap();
        server
            .arg("serve")
            .env("OLLAMA_MODELS", folder.join("models"))
            .env("OLLAMA_NUM_PARALLEL", "1")
            .env("OLLAMA_KEEP_ALIVE", "5m")
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .kill_on_drop(true);
        let process = server.spawn().unwrap();
        let group = Pid::from_raw(process.id().and_then(|id| i32::try_from(id).ok()).unwrap());
        let url = format!("http://{address}");
        let started = Instant::now();
        while reqwest::get(format!("{url}/api/version")).await.is_err() {
            assert!(started.elapsed() < START_DEADLINE, "Ollama does not answer");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self { program: program.into(), folder: folder.into(), address, url, group, _process: process }
    }

    pub(crate) async fn create(&self, name: &str, weights: &Path) {
        let recipe = self.folder.join("Modelfile");
        std::fs::write(&recipe, format!("FROM {}\n", weights.display())).unwrap();
        let mut create = command(&self.program, &self.folder, &self.address);
        let created = create.args(["create", name, "--file"]).arg(&recipe).output().await.unwrap();
        assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap()
    }

    /// How often a model was loaded.
    pub(crate) fn runners_started(&self) -> usize {
        self.log().lines().filter(|line| line.contains("starting runner") && line.contains("--model")).count()
    }

    /// The context of the model that is in memory.
    pub(crate) async fn loaded_context(&self) -> u64 {
        let loaded: Value = reqwest::get(format!("{}/api/ps", self.url)).await.unwrap().json().await.unwrap();
        loaded["models"][0]["context_length"].as_u64().unwrap_or_else(|| panic!("nothing is loaded: {loaded}"))
    }
}

impl Drop for Ollama {
    /// A runner outlives a server that is killed alone.
    fn drop(&mut self) {
        let _ = killpg(self.group, Signal::SIGKILL);
    }
}

fn command(program: &Path, folder: &Path, address: &str) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("HOME", folder).env("OLLAMA_HOST", address).stdin(Stdio::null());
    command
}

/// The small model's file, exactly the one that the bill of materials names.
pub(crate) fn weights() -> PathBuf {
    let entry = bill::entry(MODEL).unwrap();
    fetch::verify(entry, &users_cache()).unwrap();
    entry.file(bill::Kind::Weights).unwrap().path(&users_cache())
}
