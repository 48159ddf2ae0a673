//! Systems other than Linux. Commands get a process group, a time limit, limits on files and a scrubbed environment.
//! They are not kept from the network or from files their user can open: the protections say so.

use super::policy::{Failure, Files, Layer, Layers, Message, Namespaces, Policy, Verify};
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, killpg},
        wait::waitpid,
    },
    unistd::{Gid, Pid, Uid, setgid, setsid, setuid},
};
use std::{
    os::{fd::BorrowedFd, unix::net::UnixListener},
    path::{Path, PathBuf},
    time::Duration,
};

pub(super) const NOT_HERE: &str = "this system has nothing like it that devmesh uses; run the agent on Linux for that";
pub(super) const COUNTS_MEMORY: bool = false;
pub(super) const LIMITS_NOTE: &str = "; processes are not limited on this system";
pub(super) const WITHOUT_PROCESS_NAMESPACE: &str =
    "The command's process group is killed when it ends; a process that left the group is not";

pub(super) fn this_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| PathBuf::from("devmesh"))
}

pub(super) const LAYERS: Layers = Layers {
    identity: true,
    namespaces: Namespaces::None,
    processes: false,
    files: false,
    network: false,
    ipc: false,
    accounting: false,
    landlock: false,
    seccomp: false,
    sockets: false,
    control_group: false,
};

/// Beginning of the names of control groups, of which there are none here.
pub(super) const GROUP: &str = "";

pub(super) fn prepare_control_groups() -> Result<PathBuf, String> {
    Err(NOT_HERE.to_owned())
}

/// Local sockets have no other names here than paths.
pub(super) fn abstract_listener(_: &str) -> std::io::Result<Option<UnixListener>> {
    Ok(None)
}

/// Not known, so the default limit is the least there is. Nothing enforces it here.
pub(super) fn memory_here() -> u64 {
    0
}

/// Nobody counts.
pub(super) struct Memory;

impl Memory {
    pub fn bound(_: &Policy) -> Result<Self, Failure> {
        Ok(Self)
    }

    pub fn look(&mut self) -> Result<Duration, u64> {
        Ok(Duration::MAX)
    }

    pub fn overrule(&self, ending: Message) -> Message {
        ending
    }
}

/// Nothing is hidden here, so nothing has to be shown.
pub(super) const SYSTEM: &[&str] = &[];
pub(super) const SYSTEM_VERSIONED: &[&str] = &[];

pub(super) fn become_guard() -> std::io::Result<()> {
    Ok(())
}

pub(super) fn separate(_: &Policy) -> Result<(), Failure> {
    Ok(())
}

/// The command's process group is the first process's, which is how the guard finds it again.
pub(super) fn settle(policy: &Policy, _: BorrowedFd<'_>) -> Result<(), Failure> {
    setsid().map_err(|error| Failure::command("making a session for the command", error))?;
    if policy.layers.identity {
        let (user, group) = (Uid::from_raw(policy.identity.user), Gid::from_raw(policy.identity.group));
        setgid(group)
            .and_then(|()| setuid(user))
            .map_err(|error| Failure::of(Layer::Identity, format_args!("becoming user {user}"), error))?;
    }
    Ok(())
}

pub(super) fn confine(policy: &Policy) -> Result<u32, Failure> {
    super::guard::default_signals();
    for (resource, name, limit) in [
        (Resource::RLIMIT_FSIZE, "file size", policy.limits.file_bytes),
        (Resource::RLIMIT_NOFILE, "open files", policy.limits.open_files),
        (Resource::RLIMIT_CORE, "core files", 0),
    ] {
        let failed = |error| Failure::of(Layer::Limits, format_args!("limiting {name} to {limit}"), error);
        let (_, hard) = getrlimit(resource).map_err(failed)?;
        setrlimit(resource, limit.min(hard), limit.min(hard)).map_err(failed)?;
    }
    Ok(0)
}

pub(super) fn verify(_: &Policy, _: &Verify) -> Result<(), Failure> {
    Ok(())
}

/// Before the first process is collected, because until then the group cannot be anybody else's.
pub(super) fn end_all(first: Pid) {
    let _ = killpg(first, Signal::SIGKILL);
    let _ = waitpid(first, None);
}

pub(super) fn processes_of(_user: u32) -> u64 {
    0
}

pub(super) fn temporary_folder(files: &Files, _private_root: bool) -> &str {
    &files.temporary
}

pub(super) fn links_along(_: &Path) -> Vec<PathBuf> {
    Vec::new()
}
