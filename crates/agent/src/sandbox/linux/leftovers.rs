//! Ends what outlived the command where no PID namespace does it.

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid},
};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// How long killing goes on at most. A process that forks faster than it is found is bounded by its process limit and
/// by this; 10 s is long against either.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

/// The guard is the reaper of everything the command started, `setsid` or not, so all of it shows up as its children
/// sooner or later: killing a process hands over its own children.
pub(in crate::sandbox) fn end_all(first: Pid) {
    // With a PID namespace this returns when all of it is gone, and there is nothing to hunt.
    let _ = waitpid(first, None);
    let deadline = Instant::now() + PATIENCE;
    while collect_children() && Instant::now() < deadline {
        for child in children_of(getpid()) {
            let _ = kill(child, Signal::SIGKILL);
        }
        std::thread::sleep(PAUSE);
    }
}

/// `false` once there are no children at all, ended or not.
fn collect_children() -> bool {
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// Found by parent in `/proc/<pid>/stat`; the shorter list in `/proc/<pid>/task` is not in every kernel.
fn children_of(parent: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let numbers = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|process| parent_of(Path::new("/proc"), *process) == Some(parent.as_raw()))
        .map(Pid::from_raw)
        .collect()
}

/// `processes`: a `/proc`.
pub(super) fn parent_of(processes: &Path, process: i32) -> Option<i32> {
    let stat = fs::read_to_string(processes.join(format!("{process}/stat"))).ok()?;
    // The name is in parentheses and may hold anything, parentheses and spaces included.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
