//! Where tool calls run: one fresh, confined process tree per shell command.
//!
//! ```text
//!   agent ──spawns──▶ guard ──forks──▶ first ──forks──▶ shell ──exec──▶ the command
//!     │  control socket │   status pipe  │
//!     └─ closes it: kill ┘                └─ process 1 of its own PID namespace: when it ends, everything ends
//! ```
//! The guard is this same program, started again with [`ARGUMENT`] as its only argument. It reads a policy from its
//! control socket, takes away what the command must not have, enforces the time limit and reports the end. The command
//! is never run with less than what [`Sandbox::protections`] lists as active: a layer that cannot be put in place fails
//! the call.
//!
//! What there is depends on the machine. [`Sandbox::probe`] finds out by confining a child and letting it try to break
//! out. Linux has it all behind `linux`; other systems have their counterpart in `other`, which says what is missing.

mod environment;
mod errand;
mod guard;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;
mod policy;
mod probe;
mod run;
mod toolchain;

#[cfg(target_os = "linux")]
use linux as platform;
#[cfg(not(target_os = "linux"))]
use other as platform;

pub(crate) use errand::{Errand, Outcome};
pub use guard::{ARGUMENT, enter_if_asked};
pub(crate) use probe::FOLDER as PROBE_FOLDER;
pub(crate) use run::NETWORK_FILES;

use protocol::{OutputStream, Protection};
use std::{io, path::PathBuf, time::Duration};

/// How commands are confined on this machine.
#[derive(Clone, Debug)]
pub struct Options {
    /// This program: its `main` calls [`enter_if_asked`] before anything else.
    pub executable: PathBuf,
    /// Holds the folder of every workspace. No command sees more of it than its own [`Place`].
    pub workspaces: PathBuf,
    /// Folders and files every command may read and execute, beyond the system's own and those found through `PATH`.
    pub readable: Vec<PathBuf>,
    /// The agent's environment, from which commands get a few harmless names.
    pub environment: Vec<(String, String)>,
    /// Names to pass on beyond those few. Secrets are not passed on even when named here.
    pub pass_environment: Vec<String>,
    /// Whether commands may read the caches of package managers, see `toolchain/caches.rs`. Default yes.
    pub caches: bool,
    pub limits: Limits,
    /// Names of protections without which no command is to run: [`Sandbox::probe`] fails where one is not in force.
    pub require: Vec<String>,
    /// Use namespaces where the kernel allows. Default yes; without them much less holds, and the protections say so.
    pub namespaces: bool,
}

impl Options {
    /// The running program with the defaults; `environment` is where `PATH` and a few other names come from.
    pub fn new(workspaces: PathBuf, environment: Vec<(String, String)>) -> Self {
        Self {
            executable: platform::this_program(),
            workspaces,
            readable: Vec::new(),
            environment,
            pass_environment: Vec::new(),
            caches: true,
            limits: Limits::default(),
            require: Vec::new(),
            namespaces: true,
        }
    }
}

/// What one command may take of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Processes and threads at once. Default 512: a parallel build fits, a fork bomb stays small.
    pub processes: u64,
    /// Largest file a process may write, in bytes. Default 4 GiB: far beyond sources and build outputs.
    pub file_bytes: u64,
    /// Open files per process. Default 4,096: what JVM and Node builds ask for.
    pub open_files: u64,
    /// Memory of the command and all it started, together, in bytes. Default three quarters of what the machine has, or
    /// of what its container may have, and at least 512 MiB: the rest keeps the machine alive. Address space is not
    /// limited: sanitizers and WebAssembly reserve terabytes of it and use little.
    pub memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const LEAST: u64 = 512 << 20;
        let memory_bytes = (platform::memory_here() / 4 * 3).max(LEAST);
        Self { processes: 512, file_bytes: 4 << 30, open_files: 4_096, memory_bytes }
    }
}

/// Where one attempt's commands work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The files the job is about; commands start here and may change all of it.
    pub tree: PathBuf,
    /// Beside the tree, private to the attempt: home folder and temporary files of its commands.
    pub scratch: PathBuf,
    /// What its commands may read besides: the objects the history of their repository is made of.
    pub readable: Vec<PathBuf>,
}

impl Place {
    fn home(&self) -> PathBuf {
        self.scratch.join("home")
    }

    fn temporary(&self) -> PathBuf {
        self.scratch.join("tmp")
    }

    /// An empty folder the private file system view is put together on.
    fn root(&self) -> PathBuf {
        self.scratch.join("root")
    }
}

/// One shell command.
#[derive(Clone, Debug)]
pub struct Command {
    /// What the shell runs. At most [`Command::SCRIPT_BYTES`].
    pub script: String,
    /// Where, relative to the tree; empty for the tree itself.
    pub folder: PathBuf,
    /// All of it is killed after this long.
    pub timeout: Duration,
    /// Added to the scrubbed environment.
    pub environment: Vec<(String, String)>,
    /// Uses this machine's network, loopback included: for a setup that the configuration allows it.
    pub network: bool,
}

impl Command {
    /// Longest script in bytes. Linux passes at most 128 KiB in one argument.
    pub const SCRIPT_BYTES: usize = 120 << 10;

    pub fn new(script: impl Into<String>, timeout: Duration) -> Self {
        Self { script: script.into(), folder: PathBuf::new(), timeout, environment: Vec::new(), network: false }
    }
}

/// Something the command printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    pub stream: OutputStream,
    /// 1 byte to 64 KiB.
    pub bytes: Vec<u8>,
}

/// How a command ended. Nothing of it runs any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    pub ending: Ending,
    pub duration: Duration,
    /// All that was printed, passed on or not.
    pub stdout_bytes: u64,
    pub stderr_bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this exit code.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    TimedOut,
    Cancelled,
    /// It and all it started had more memory than they may have, and were ended.
    OutOfMemory {
        had_bytes: u64,
        limit_bytes: u64,
    },
}

/// The user commands run as where that is not the agent's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Owner {
    pub user: u32,
    pub group: u32,
}

impl Owner {
    /// `nobody` nearly everywhere, and nobody's in an empty image.
    pub const NOBODY: Self = Self { user: 65_534, group: 65_534 };
}

/// Runs commands. Made by [`Sandbox::probe`].
#[derive(Clone, Debug)]
pub struct Sandbox {
    options: Options,
    layers: policy::Layers,
    protections: Vec<Protection>,
    /// Where control groups for commands can be made.
    control_groups: Option<PathBuf>,
    toolchain: toolchain::Toolchain,
}

impl Sandbox {
    /// What holds commands back here, and what does not: for people and for the job's log.
    pub fn protections(&self) -> &[Protection] {
        &self.protections
    }

    /// Who must own the tree and everything in it, because commands run as that user.
    pub fn owner(&self) -> Option<Owner> {
        self.layers.identity.then_some(Owner::NOBODY)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller can mend it.
    #[error("{0}")]
    Invalid(String),
    /// [`Options::require`] asks for more than there is here.
    #[error("{0}")]
    Required(String),
    /// Commands run as another user, without a private root folder that would show them the workspaces elsewhere.
    #[error(
        "commands run as user {user} on this machine, which cannot pass through {} (mode {mode:o}) to workspaces in {}; \
         choose a folder it can reach with `agents.workspaces`",
        closed.display(), workspaces.display()
    )]
    Unreachable { user: u32, closed: PathBuf, mode: u32, workspaces: PathBuf },
    /// The command was not run: a protection could not be put in place.
    #[error("the sandbox could not be set up, so the command was not run: {message}")]
    Setup { message: String },
    /// The guard could not be started or vanished.
    #[error("the sandbox's guard process {what}: {source}")]
    Guard { what: &'static str, source: io::Error },
}
