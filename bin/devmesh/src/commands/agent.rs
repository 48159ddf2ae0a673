//! `devmesh agent`: one worker.

use crate::{
    config::{Environment, Flags, Settings},
    context::{Access, Context},
    output::{Exit, Failure, Result},
    wiring::{Signals, folders, start_logging},
};
use client::Client;
use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};
use tokio_util::sync::CancellationToken;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "It needs the backend's address (--url or DEVMESH_URL) and a token of scope `agent` (--token-file or DEVMESH_TOKEN_FILE)."
)]
pub struct Arguments {
    /// Name people see in a job's log
    #[arg(long)]
    name: Option<String>,
    /// End when stdin ends: how the program that started this agent takes it along
    #[arg(long, hide = true)]
    lifeline: bool,
}

impl Arguments {
    pub fn flags(&self) -> Flags {
        self.name.iter().map(|name| ("agents.name".to_owned(), name.clone(), "--name".to_owned())).collect()
    }
}

/// How long handing a job back may take once the agent was told to end. Under the 10 s that container runtimes wait.
const HAND_BACK: Duration = Duration::from_secs(8);

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let settings = &context.config.settings;
    start_logging(settings, None)?;
    let mut signals = Signals::catch()?;
    let Access { url, token } = context.access()?;
    let client = Client::new(client::Options::new(&url, token))?;
    let name = settings.agents.name.clone().unwrap_or_else(default_name);
    let agent = start(settings, &client, &name).await.map_err(failure)?;
    for protection in agent.protections().iter().filter(|protection| !protection.active) {
        tracing::warn!(protection = protection.name, "not in force here: {}", protection.detail);
    }
    tracing::info!(agent = name, backend = url, "ready for work");
    let shutdown = CancellationToken::new();
    let mut work = std::pin::pin!(agent.run(shutdown.clone()));
    tokio::select! {
        ended = &mut work => return ended.map(|()| Exit::Done).map_err(failure),
        () = signals.next() => {}
        () = end_of_stdin(), if arguments.lifeline => {}
    }
    shutdown.cancel();
    tokio::select! {
        ended = work => ended.map(|()| Exit::Done).map_err(failure),
        // Asked twice: the lease runs out by itself.
        () = signals.next() => Ok(Exit::Interrupted),
        // The backend is gone as well, so there is nobody to hand the job back to.
        () = tokio::time::sleep(HAND_BACK) => Ok(Exit::Interrupted),
    }
}

/// Where nobody chose a folder and commands cannot reach the one in the data folder, it works in another.
async fn start(settings: &Settings, client: &Client, name: &str) -> Result<agent::Agent, agent::Error> {
    let begun = agent::Agent::start(options(settings, &settings.agents.workspaces, client, name)).await;
    let (error, workspaces) = match begun {
        Err(agent::Error::Sandbox(error)) => match folders::workspaces_elsewhere(settings, &error) {
            Some(workspaces) => (error, workspaces),
            None => return Err(error.into()),
        },
        begun => return begun,
    };
    // Others may pass through to what they own further down, and see nothing on the way.
    let pass_through = std::fs::Permissions::from_mode(0o711);
    let made = std::fs::create_dir_all(&workspaces).and_then(|()| std::fs::set_permissions(&workspaces, pass_through));
    if made.is_err() {
        return Err(error.into());
    }
    let agent = agent::Agent::start(options(settings, &workspaces, client, name)).await?;
    tracing::warn!("workspaces are in {}: {error}", workspaces.display());
    Ok(agent)
}

fn options(settings: &Settings, workspaces: &Path, client: &Client, name: &str) -> agent::Options {
    let agents = &settings.agents;
    let mut sandbox = agent::sandbox::Options::new(workspaces.to_owned(), Environment::inherited());
    sandbox.require.clone_from(&agents.require);
    sandbox.readable.clone_from(&agents.readable);
    sandbox.pass_environment.clone_from(&agents.pass_environment);
    sandbox.caches = agents.caches;
    sandbox.limits.processes = agents.processes;
    sandbox.limits.open_files = agents.open_files;
    sandbox.limits.file_bytes = agents.file_bytes;
    if let Some(memory_bytes) = agents.memory_bytes {
        sandbox.limits.memory_bytes = memory_bytes;
    }
    let access = agent::workspace::Access {
        roots: agents.roots.iter().map(|root| root.canonicalize().unwrap_or_else(|_| root.clone())).collect(),
        private: folders::private(settings),
        homes: folders::homes(),
        remotes: agents.remotes.clone(),
        ssh: agents.ssh.clone().map(|(key, known_hosts)| agent::workspace::Ssh { key, known_hosts }),
        ..agent::workspace::Access::default()
    };
    agent::Options {
        access,
        setup_network: agents.setup_network,
        escalate: agents.escalate,
        workspaces_bytes: agents.workspaces_bytes,
        disk: agent::disk::Bounds { reserve_bytes: agents.reserve_bytes, job_bytes: agents.job_disk_bytes },
        ..agent::Options::new(client.clone(), name, sandbox)
    }
}

/// Nothing is ever written into the pipe; its end is the message. Read by a thread, because a pipe cannot be waited for
/// otherwise everywhere; it ends with the process.
async fn end_of_stdin() {
    let (ended, end) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // However reading ends, there is nobody at the other end any more.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(ended);
    });
    let _ = end.await;
}

fn default_name() -> String {
    let host =
        nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "host".into());
    format!("{host}-{}", std::process::id()).chars().take(100).collect()
}

fn failure(error: agent::Error) -> Failure {
    let what = error.to_string();
    match error {
        agent::Error::Refused(error) => Failure { exit: Failure::from(error).exit, ..Failure::failed(what) },
        _ => Failure::failed(what).next("devmesh doctor"),
    }
}
