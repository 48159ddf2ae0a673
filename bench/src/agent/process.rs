//! Runs a program with all it starts, for so long.

use super::environment::{self, MARK};
use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How a program came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With this exit code, or none where a signal ended it.
    ByItself(Option<i32>),
    /// Its time was over.
    Stopped,
}

/// How often it is looked whether it is over: less than what is told of its time.
const LOOK: Duration = Duration::from_millis(50);
/// What does not go for longer than this waits for a disk, and cannot be made to.
const KILLED_WITHIN: Duration = Duration::from_secs(10);

/// Runs a command in `home`'s environment, with what it says in the file `said`, and ends everything it started.
pub fn run(command: &mut Command, home: &Path, said: &Path, limit: Duration) -> Result<(End, Duration)> {
    use std::os::unix::process::CommandExt as _;
    let program = command.get_program().to_owned();
    let log = File::create(said).with_context(|| format!("cannot write {}", said.display()))?;
    // Of this run and no other: homes are temporary folders.
    let mark = home.to_string_lossy().into_owned();
    let own: Vec<_> =
        command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
    environment::clean(command, home, &mark);
    command.envs(own).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
    let started = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let end = loop {
        if let Some(status) = child.try_wait()? {
            break End::ByItself(status.code());
        }
        if started.elapsed() >= limit {
            break End::Stopped;
        }
        std::thread::sleep(LOOK);
    };
    let taken = started.elapsed();
    if let Ok(group) = i32::try_from(child.id()) {
        // Nobody is left in it where it ended by itself and took all along.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    kill_marked(&mark);
    child.wait()?;
    Ok((end, taken))
}

/// What left the group of processes still has the mark in its environment. Comes back when it is gone: a signal takes its
/// time on a busy machine, and what forks meanwhile is found the next time.
fn kill_marked(mark: &str) {
    let started = Instant::now();
    loop {
        let found = marked(mark);
        if found.is_empty() || started.elapsed() >= KILLED_WITHIN {
            return;
        }
        for id in found {
            let _ = kill(id, Signal::SIGKILL);
        }
        std::thread::sleep(LOOK);
    }
}

fn marked(mark: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={mark}");
    let is_marked = |id: &i32| {
        // Of one that is dead and not yet waited for it is empty.
        let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(is_marked).map(Pid::from_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (End, String) {
        let home = tempfile::tempdir().unwrap();
        let said = home.path().join("said");
        let mut command = Command::new("sh");
        let (end, _) = run(command.args(["-c", script]).env("OWN", "kept"), home.path(), &said, limit).unwrap();
        (end, fs::read_to_string(said).unwrap())
    }

    #[test]
    fn a_command_has_a_home_and_what_it_was_given() {
        let (end, said) = shell("echo $OWN $CARGO_MANIFEST_DIR; exit 3", Duration::from_secs(60));
        assert_eq!((end, said.as_str()), (End::ByItself(Some(3)), "kept\n"));
    }

    #[test]
    fn what_a_command_started_ends_with_it() {
        let home = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // One leaves the group, and both would be there for a minute.
        command.args(["-c", "setsid sleep 60 & sleep 60 & echo $!; wait"]);
        let (end, _) = run(&mut command, home.path(), &home.path().join("said"), Duration::from_millis(500)).unwrap();
        assert_eq!(end, End::Stopped);
        assert_eq!(marked(&home.path().to_string_lossy()), []);
    }
}
