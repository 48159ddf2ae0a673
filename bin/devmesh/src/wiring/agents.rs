//! Agent processes beside the backend.
//!
//! ```text
//!            spawn                 exits
//!   Waiting ───────▶ Running ──────────────▶ Waiting (backoff: 1 s, doubling to 30 s, from 1 s again after a minute of life)
//!                       └── stop: its stdin is closed, it hands its job back; killed if it takes too long
//! ```
//! Each has an agent token of its own in a file only this user can read; no secret is in an argument or in the
//! environment. What `agents.*` says here is handed on; the files of the folder this process works in are none of its business.
//! Its stdin is a pipe from here: when this process dies, however it dies, the pipe closes and it ends too.

use super::private::{make_folder, write_file};
use crate::config::Config;
use api::App;
use std::{
    io,
    path::PathBuf,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    task::JoinSet,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

/// Tells an agent to end when its stdin does.
const LIFELINE_FLAG: &str = "--lifeline";
const URL_VARIABLE: &str = "DEVMESH_URL";
const TOKEN_FILE_VARIABLE: &str = "DEVMESH_TOKEN_FILE";

/// One folder for all agents of this machine: what one has copied, another can go on with.
const WORKSPACES: &str = "agents.workspaces";

/// How long an agent may take to hand its job back.
const STOP_WITHIN: Duration = Duration::from_secs(5);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An agent that lived this long did not fail at its start.
const LONG_LIFE: Duration = Duration::from_secs(60);

pub struct Agents {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Agents {
    /// Starts `count` of them. They wait for the backend by themselves.
    pub async fn start(config: &Config, url: &str, app: &Arc<App>, log_filter: &str) -> io::Result<Self> {
        let settings = &config.settings;
        let mut agents = Self { tasks: JoinSet::new(), stop: CancellationToken::new() };
        let folder = settings.data.join("agents");
        make_folder(&folder)?;
        for number in 1..=settings.agents.count {
            let name = format!("agent-{number}");
            let secret = app.mint_agent_token(&name).await.map_err(io::Error::other)?;
            let token_file = folder.join(format!("{name}.token"));
            write_file(&token_file, &secret.expose())?;
            let plan = Plan {
                executable: std::env::current_exe()?,
                name: settings.agents.name.as_ref().map_or_else(|| name.clone(), |own| format!("{own}-{number}")),
                url: url.to_owned(),
                token_file,
                data: settings.data.clone(),
                settings: handed_on(config),
                not_for_agents: config.environment.secret_variables(),
                log_filter: log_filter.to_owned(),
                log_format: if settings.log.json { "json" } else { "text" },
            };
            agents.tasks.spawn(plan.keep_running(agents.stop.clone()));
        }
        Ok(agents)
    }

    /// Ends all of them; each hands its job back first.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// What agents are to know of `agents.*`, wherever it was set here: a flag of this process is none of theirs.
fn handed_on(config: &Config) -> Vec<String> {
    let settings = &config.settings.agents;
    let resolved = &config.resolved;
    let own = ["agents.count", "agents.name", WORKSPACES];
    let set = resolved.names().filter(|name| name.starts_with("agents.") && !own.contains(name));
    let set = set.filter_map(|name| Some(format!("{name}={}", resolved.get(name)?)));
    set.chain([format!("{WORKSPACES}={}", settings.workspaces.display())]).collect()
}

/// How to start one agent.
struct Plan {
    executable: PathBuf,
    name: String,
    url: String,
    token_file: PathBuf,
    data: PathBuf,
    /// `key=value`, as this process resolved them.
    settings: Vec<String>,
    not_for_agents: Vec<String>,
    log_filter: String,
    log_format: &'static str,
}

impl Plan {
    async fn keep_running(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let started = Instant::now();
            match self.spawn() {
                Ok(child) => {
                    if self.watch(child, &stop).await {
                        return;
                    }
                }
                Err(error) => tracing::error!(agent = self.name, %error, "an agent could not be started"),
            }
            if started.elapsed() >= LONG_LIFE {
                pause = FIRST_PAUSE;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut command = Command::new(&self.executable);
        for name in &self.not_for_agents {
            command.env_remove(name);
        }
        command
            .args(["agent", LIFELINE_FLAG, "--data"])
            .arg(&self.data)
            .arg("--set")
            .arg(format!("agents.name={}", self.name))
            .args(self.settings.iter().flat_map(|setting| ["--set", setting]))
            .arg("--set")
            .arg(format!("log.filter={}", self.log_filter))
            .arg("--set")
            .arg(format!("log.format={}", self.log_format))
            .env(URL_VARIABLE, &self.url)
            .env(TOKEN_FILE_VARIABLE, &self.token_file)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            // Ctrl-C at the terminal is for the mesh as a whole, which then stops its agents in order.
            .process_group(0)
            .kill_on_drop(true);
        command.spawn()
    }

    /// Waits for the end of `child`. `true`: it was meant to end.
    async fn watch(&self, mut child: Child, stop: &CancellationToken) -> bool {
        // `wait` closes the child's stdin, which would end it: the pipe is held here.
        let lifeline = child.stdin.take();
        tokio::select! {
            ended = child.wait() => {
                drop(lifeline);
                match ended {
                    Ok(status) => tracing::warn!(agent = self.name, %status, "an agent ended and is started again"),
                    Err(error) => tracing::error!(agent = self.name, %error, "an agent cannot be watched"),
                }
                false
            }
            () = stop.cancelled() => {
                drop(lifeline);
                if tokio::time::timeout(STOP_WITHIN, child.wait()).await.is_err() {
                    tracing::warn!(agent = self.name, "an agent did not end in time and is killed; its job goes to another");
                    // It is gone either way.
                    let _ = child.kill().await;
                }
                true
            }
        }
    }
}
