//! What the agent tells the guard, and what it hears back: one line of JSON each way over the control socket.

use super::{Limits, Owner};
use serde::{Deserialize, Serialize};

/// Everything the guard needs. It reads nothing else: no arguments, no environment, no configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Policy {
    pub layers: Layers,
    pub limits: Limits,
    /// Processes the user runs already, where they count towards the same limit.
    pub other_processes: u64,
    /// The control group to make for the command, where [`Layers::control_group`] says so.
    pub control_group: Option<String>,
    pub identity: Owner,
    pub program: Program,
    /// Absolute; inside the tree, or `/` for a helper.
    pub folder: String,
    pub timeout_ms: u64,
    pub environment: Vec<(String, String)>,
    pub files: Files,
    /// Links the command finds in its home, by absolute path, and what they lead to.
    pub home_links: Vec<(String, String)>,
    /// Set by the probe: try to break out, and refuse to run when that works.
    pub verify: Option<Verify>,
}

/// What the confined process becomes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Program {
    /// A shell with this script: a tool call.
    Shell {
        shell: String,
        script: String,
        /// Uses this machine's network: the setup of a job, where the configuration allows it.
        network: bool,
    },
    /// A piece of the agent's own work, see [`crate::helper`]. It has a user namespace of its own only where the
    /// namespaces came with one.
    Helper {
        task: String,
        /// Reads files whatever their rights say, where the agent may: what a job starts from can belong to anybody.
        reads_all: bool,
        /// Uses this machine's network: a clone from an address that the configuration allows.
        network: bool,
    },
}

impl Program {
    pub fn reads_all(&self) -> bool {
        matches!(self, Self::Helper { reads_all: true, .. })
    }

    pub fn uses_network(&self) -> bool {
        matches!(self, Self::Helper { network: true, .. } | Self::Shell { network: true, .. })
    }
}

/// Which files the command sees. Everything else does not exist for it or cannot be opened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Files {
    /// Read and execute.
    pub readable: Vec<String>,
    /// Symbolic links on the way to `readable`, shown as they are.
    pub links: Vec<String>,
    /// Folders the command may change, `temporary` among them.
    pub writable: Vec<String>,
    pub temporary: String,
    /// An empty folder the private root is put together on.
    pub root: String,
}

/// What the probe tries from inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Verify {
    /// A file of the agent's that must not be readable.
    pub secret_file: String,
    /// The agent, which must not be reachable by signals.
    pub agent_process: i32,
    /// A port the agent listens on at 127.0.0.1, which must not be reachable.
    pub port: u16,
    /// A local socket of the agent's, open to everybody, which must not be reachable by its path …
    pub socket: String,
    /// … and one by an abstract name.
    pub abstract_socket: String,
}

/// How namespaces are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Namespaces {
    /// As root, which is given up afterwards.
    Privileged,
    /// Through a user namespace.
    Unprivileged,
    /// Not at all: the kernel or the container around us does not allow it.
    None,
}

/// What is put in place. All of it, or the command does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Layers {
    /// Run as [`Policy::identity`] instead of root.
    pub identity: bool,
    pub namespaces: Namespaces,
    /// PID namespace: nothing outlives the command, nothing outside can be seen or signalled.
    pub processes: bool,
    /// Mount namespace with a private root folder.
    pub files: bool,
    /// Network namespace with loopback alone.
    pub network: bool,
    /// IPC and UTS namespaces.
    pub ipc: bool,
    /// A user namespace of its own, so that processes are counted per command.
    pub accounting: bool,
    pub landlock: bool,
    pub seccomp: bool,
    /// Local sockets of other programs cannot be reached, one way or another: see [`Layers::separates_sockets`].
    pub sockets: bool,
    /// A control group of the command's own bounds its memory. Without one the guard watches.
    pub control_group: bool,
}

impl Layers {
    /// Whether local sockets outside are out of reach although the command may make sockets of its own. `landlock` is the
    /// ABI version in effect, 0 for none. Sockets with a path are not there in a private root folder, and Landlock
    /// governs them from version 9 on; abstract ones belong to a network namespace, and Landlock from version 6 on.
    /// Where this is not so, making such sockets is refused altogether.
    pub fn separates_sockets(&self, landlock: u32) -> bool {
        const PATHS: u32 = 9;
        const ABSTRACT: u32 = 6;
        (self.files || landlock >= PATHS) && (self.network || landlock >= ABSTRACT)
    }

    pub fn without_namespaces(self) -> Self {
        Self {
            namespaces: Namespaces::None,
            processes: false,
            files: false,
            network: false,
            ipc: false,
            accounting: false,
            ..self
        }
    }
}

/// One thing that can fail to be put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Layer {
    Identity,
    Namespaces,
    Processes,
    Files,
    Network,
    Ipc,
    Accounting,
    Landlock,
    Seccomp,
    Sockets,
    Limits,
    Memory,
}

/// What the guard says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    /// The command was not run.
    Failed(Failure),
    /// The shell's raw wait status.
    Ended(i32),
    TimedOut,
    Cancelled,
    /// It had this many bytes.
    OutOfMemory(u64),
    /// Only when asked to verify: Landlock's ABI version, 0 for none.
    Landlock(u32),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    /// `None`: not a protection but the command itself, such as a missing shell.
    pub layer: Option<Layer>,
    pub message: String,
}

impl Failure {
    pub fn of(layer: Layer, what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self { layer: Some(layer), message: format!("{what}: {error}") }
    }

    pub fn command(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self { layer: None, message: format!("{what}: {error}") }
    }
}
