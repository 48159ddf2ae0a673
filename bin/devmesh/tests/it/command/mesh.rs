//! One `devmesh up` with a scripted model, and a shell to type commands into.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{path::PathBuf, process::Stdio, time::Duration};
use tempfile::TempDir;
use testkit::{Script, ScriptedModel};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::watch,
    task::JoinHandle,
};

/// Longer than anything here takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A user's home and the commands they type there. Nothing of the machine's own configuration gets in.
pub(crate) struct Home {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Answer {
    /// The answer of a command that was meant to succeed.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Stdout as one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Stdout as one JSON document per line.
    #[track_caller]
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), variables: Vec::new() }
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.into(), value.into()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes the user's own configuration file.
    pub(crate) fn configure(&self, text: &str) {
        let folder = self.path(".config/devmesh");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("devmesh.toml"), text).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_devmesh"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().env("HOME", self.folder.path());
        // The programs a user has, and nothing else of the environment the tests run in.
        for name in ["PATH", "TMPDIR"] {
            #[expect(clippy::disallowed_methods, reason = "the commands under test need the programs of this machine")]
            if let Ok(value) = std::env::var(name) {
                command.env(name, value);
            }
        }
        // Many meshes run at once; those tests that are about metrics choose a port themselves.
        command.env("DEVMESH_METRICS__PORT", "0");
        command.env("DEVMESH_DATA", self.data()).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Types a command and waits for its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Answer {
        Running::start(self.command(arguments)).end().await
    }
}

impl Home {
    /// With the small model, fetched into the user's own cache; `None`, and the test is named as skipped, where it cannot be had.
    pub(crate) async fn with_small_model() -> Option<Self> {
        let mut home = Self::new();
        home.set("DEVMESH_EMBEDDED__CACHE", testkit::users_cache().to_str().unwrap());
        let pulled = home.run(&["models", "pull"]).await;
        if pulled.code != 0 {
            testkit::skipped(&pulled.stderr);
            return None;
        }
        Some(home)
    }

    /// Types a command in another working folder of this home.
    pub(crate) async fn run_in(&self, folder: &str, arguments: &[&str]) -> Answer {
        let mut command = self.command(arguments);
        command.current_dir(self.path(folder));
        Running::start(command).end().await
    }

    /// Types a command that goes on.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Running {
        Running::start(self.command(arguments))
    }
}

/// A command that has not ended yet.
pub(crate) struct Running {
    child: Child,
    stdout: JoinHandle<()>,
    stderr: JoinHandle<()>,
    /// What it has printed so far.
    printed: [watch::Receiver<String>; 2],
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let (out, err) = (watch::Sender::default(), watch::Sender::default());
        let printed = [out.subscribe(), err.subscribe()];
        let stdout = tokio::spawn(collect(child.stdout.take().unwrap(), out));
        let stderr = tokio::spawn(collect(child.stderr.take().unwrap(), err));
        Self { child, stdout, stderr, printed }
    }

    /// Returns once `text` stands on stdout.
    pub(crate) async fn saw(&mut self, text: &str) {
        self.printed_on(0, text).await;
    }

    /// Returns once `text` stands on stderr.
    pub(crate) async fn said(&mut self, text: &str) {
        self.printed_on(1, text).await;
    }

    async fn printed_on(&mut self, stream: usize, text: &str) {
        let seen = self.printed[stream].wait_for(|printed| printed.contains(text));
        let seen = tokio::time::timeout(DEADLINE, seen).await.expect("it prints");
        assert!(seen.is_ok(), "it ended without printing {text}");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid(&self.child), signal).unwrap();
    }

    /// Of a command that was sent SIGKILL.
    pub(crate) async fn killed(mut self) {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("the command ends").unwrap();
        assert_eq!(status.code(), None, "{status}");
    }

    pub(crate) async fn end(mut self) -> Answer {
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("the command ends").unwrap();
        let code = status.code().unwrap_or_else(|| panic!("{status}"));
        self.stdout.await.unwrap();
        self.stderr.await.unwrap();
        let [stdout, stderr] = self.printed.map(|printed| printed.borrow().clone());
        Answer { code, stdout, stderr }
    }
}

async fn collect(stream: impl AsyncRead + Unpin, printed: watch::Sender<String>) {
    let mut lines = BufReader::new(stream);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.unwrap() > 0 {
        printed.send_modify(|printed| printed.push_str(std::str::from_utf8(&line).unwrap()));
        line.clear();
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id().expect("it runs")).unwrap())
}

/// A mesh that stays up, and the home it lives in.
pub(crate) struct Mesh {
    pub(crate) home: Home,
    pub(crate) model: ScriptedModel,
    up: Up,
}

/// The process of `devmesh up`.
pub(crate) struct Up {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<()>,
    /// What it has logged so far.
    logged: watch::Receiver<String>,
    /// The line it printed when it was ready.
    pub(crate) ready: serde_json::Value,
}

impl Mesh {
    pub(crate) async fn start(script: impl Into<Script>) -> Self {
        Self::start_with(script, &[]).await
    }

    pub(crate) async fn start_with(script: impl Into<Script>, arguments: &[&str]) -> Self {
        let model = ScriptedModel::start(script).await;
        let mut home = Home::new();
        home.set("OLLAMA_BASE_URL", &model.base_url());
        let up = Up::start(&home, arguments).await;
        Self { home, model, up }
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Answer {
        self.home.run(arguments).await
    }

    /// Types a command that goes on.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Running {
        self.home.begin(arguments)
    }

    /// Creates a job and gives its id.
    pub(crate) async fn job(&self, arguments: &[&str]) -> String {
        let answer = self.run(&[&["run", "-d"], arguments].concat()).await.good();
        answer.stdout.trim().to_owned()
    }

    pub(crate) async fn state(&self, job: &str) -> String {
        let shown = self.run(&["jobs", "show", job, "--json"]).await.good().json();
        shown["state"].as_str().unwrap().to_owned()
    }

    pub(crate) fn up(&self) -> &Up {
        &self.up
    }

    /// Ctrl-C, and waits until everything is down. The model goes on.
    pub(crate) async fn interrupt(self) -> (Home, ScriptedModel) {
        self.up.end(Signal::SIGINT).await.good();
        (self.home, self.model)
    }

    /// SIGKILL: nobody gets to clean up.
    pub(crate) async fn kill(mut self) -> (Home, ScriptedModel) {
        self.up.child.kill().await.unwrap();
        (self.home, self.model)
    }

    /// Asks it to stop and waits until everything is down.
    pub(crate) async fn stop(self) -> (Home, Answer) {
        (self.home, self.up.stop().await)
    }
}

impl Up {
    pub(crate) async fn start(home: &Home, arguments: &[&str]) -> Self {
        Self::start_in(home, ".", arguments).await
    }

    /// In another working folder of this home.
    pub(crate) async fn start_in(home: &Home, folder: &str, arguments: &[&str]) -> Self {
        let mut command = home.command(&[&["up", "--json", "--port", "0"], arguments].concat());
        command.current_dir(home.path(folder));
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let log = watch::Sender::default();
        let logged = log.subscribe();
        let stderr = tokio::spawn(collect(child.stderr.take().unwrap(), log));
        let mut line = String::new();
        tokio::time::timeout(DEADLINE, stdout.read_line(&mut line)).await.expect("it becomes ready").unwrap();
        if line.is_empty() {
            stderr.await.unwrap();
            panic!("it ended: {}", *logged.borrow());
        }
        Self { child, stdout, stderr, logged, ready: serde_json::from_str(&line).unwrap() }
    }

    /// Returns once it has logged `text`.
    pub(crate) async fn logs(&mut self, text: &str) {
        let seen = self.logged.wait_for(|logged| logged.contains(text));
        let seen = tokio::time::timeout(DEADLINE, seen).await.expect("it logs");
        assert!(seen.is_ok(), "it ended without logging {text}");
    }

    pub(crate) async fn stop(self) -> Answer {
        self.end(Signal::SIGTERM).await
    }

    async fn end(mut self, signal: Signal) -> Answer {
        kill(pid(&self.child), signal).unwrap();
        let status = tokio::time::timeout(DEADLINE, self.child.wait()).await.expect("it stops").unwrap();
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).await.unwrap();
        self.stderr.await.unwrap();
        let stderr = self.logged.borrow().clone();
        Answer { code: status.code().unwrap(), stdout, stderr }
    }

    /// The processes it started, as /proc tells.
    #[cfg(target_os = "linux")]
    pub(crate) fn children(&self) -> Vec<Pid> {
        // Each thread lists those it started itself.
        let tasks = std::fs::read_dir(format!("/proc/{}/task", pid(&self.child))).into_iter().flatten().flatten();
        let lists = tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
        lists
            .flat_map(|list| list.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap())).collect::<Vec<_>>())
            .collect()
    }
}
