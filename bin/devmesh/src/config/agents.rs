//! `agents.*`: how many there are, what they may be about, and what they may take of the machine.

use super::{Problems, Resolved};
use std::path::{Path, PathBuf};

#[derive(Clone, Debug)]
pub struct AgentSettings {
    pub count: usize,
    pub name: Option<String>,
    /// One for all agents of this machine.
    pub workspaces: PathBuf,
    /// Folders that jobs of tokens other than the owner's may be about. Absolute.
    pub roots: Vec<PathBuf>,
    /// Beginnings of addresses that jobs may clone from. Each goes at least to the slash after the host.
    pub remotes: Vec<String>,
    /// For `ssh://` addresses: the private key and the hosts that are known. `None`: none is cloned.
    pub ssh: Option<(PathBuf, PathBuf)>,
    /// Names of protections that must be in force.
    pub require: Vec<String>,
    /// What commands may read and execute besides. Absolute.
    pub readable: Vec<PathBuf>,
    /// Names of variables that commands get.
    pub pass_environment: Vec<String>,
    /// Whether commands may read package managers' caches.
    pub caches: bool,
    /// Whether a setup may have a network.
    pub setup_network: bool,
    /// Whether the next model of a route takes over where one does not get on.
    pub escalate: bool,
    pub processes: u64,
    pub open_files: u64,
    pub file_bytes: u64,
    /// Of all kept working copies.
    pub workspaces_bytes: u64,
    /// Of one job's files.
    pub job_disk_bytes: u64,
    /// Left free on the disk.
    pub reserve_bytes: u64,
    /// Of one command and all it started. `None`: the machine does not say what it has, and nobody set it.
    pub memory_bytes: Option<u64>,
}

pub(super) fn read(resolved: &Resolved, data: &Path, problems: &mut Problems) -> AgentSettings {
    let number = |name: &str| resolved.integer(name).unwrap_or_default();
    // An agent is another process with another working folder.
    let workspaces = resolved.path("agents.workspaces").map(|path| std::path::absolute(&path).unwrap_or(path));
    AgentSettings {
        count: usize::try_from(number("agents.count")).unwrap_or_default(),
        name: resolved.text("agents.name").map(str::to_owned),
        workspaces: workspaces.unwrap_or_else(|| data.join("agent")),
        roots: absolute(ROOTS, resolved, problems),
        remotes: remotes(resolved, problems),
        ssh: ssh(resolved, problems),
        require: resolved.list("agents.require"),
        readable: absolute(READABLE, resolved, problems),
        pass_environment: resolved.list("agents.pass_environment"),
        caches: resolved.boolean("agents.caches"),
        setup_network: resolved.boolean("agents.setup_network"),
        escalate: resolved.boolean("agents.escalate"),
        processes: number("agents.processes"),
        open_files: number("agents.open_files"),
        file_bytes: number("agents.file_bytes"),
        workspaces_bytes: number("agents.workspaces_bytes"),
        job_disk_bytes: number("agents.job_disk_bytes"),
        reserve_bytes: number("agents.reserve_bytes"),
        memory_bytes: resolved.integer("agents.memory_bytes").or_else(|| Some(memory_of_the_machine()? / 4 * 3)),
    }
}

const ROOTS: &str = "agents.roots";
const READABLE: &str = "agents.readable";
const REMOTES: &str = "agents.remotes";

fn absolute(name: &str, resolved: &Resolved, problems: &mut Problems) -> Vec<PathBuf> {
    let paths: Vec<PathBuf> = resolved.list(name).into_iter().map(PathBuf::from).collect();
    for path in paths.iter().filter(|path| !path.is_absolute()) {
        let place = resolved.origin(name).map_or_else(|| name.to_owned(), ToString::to_string);
        problems.add(place, format!("{name}: `{}` is not an absolute path, like /srv/projects", path.display()));
    }
    paths
}

fn remotes(resolved: &Resolved, problems: &mut Problems) -> Vec<String> {
    let remotes = resolved.list(REMOTES);
    for remote in remotes.iter().filter(|remote| !names_a_host(remote)) {
        let place = resolved.origin(REMOTES).map_or_else(|| REMOTES.to_owned(), ToString::to_string);
        problems.add(
            place,
            format!("{REMOTES}: `{remote}` is no beginning of addresses of one host, like https://github.com/"),
        );
    }
    remotes
}

/// One without the other would either not be let in or let anybody answer.
fn ssh(resolved: &Resolved, problems: &mut Problems) -> Option<(PathBuf, PathBuf)> {
    let path = |name: &str| resolved.path(name).map(|path| std::path::absolute(&path).unwrap_or(path));
    match (path("agents.ssh_key"), path("agents.ssh_known_hosts")) {
        (Some(key), Some(hosts)) => Some((key, hosts)),
        (None, None) => None,
        (key, _) => {
            let (set, other) = match key {
                Some(_) => ("agents.ssh_key", "agents.ssh_known_hosts"),
                None => ("agents.ssh_known_hosts", "agents.ssh_key"),
            };
            let place = resolved.origin(set).map_or_else(|| set.to_owned(), ToString::to_string);
            problems.add(place, format!("{set} is set and {other} is not; ssh needs both"));
            None
        }
    }
}

/// Without the slash after the host, `https://example.org` would begin `https://example.org.elsewhere.net/` too.
fn names_a_host(remote: &str) -> bool {
    let Some((scheme, rest)) = remote.split_once("://") else { return false };
    let Some((host, _)) = rest.split_once('/') else { return false };
    let host = if scheme == "ssh" { host.rsplit_once('@').map_or(host, |(_, host)| host) } else { host };
    matches!(scheme, "https" | "http" | "ssh") && !host.is_empty() && !host.contains('@')
}

/// What this process could have, in bytes: the machine's, or less where it runs in a group with a limit.
pub fn memory_of_the_machine() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let machine = kib * 1024;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |group: u64| group.min(machine)))
}
