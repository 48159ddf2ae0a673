//! Git, started so that it works where it is told to and runs nothing a repository names.
//!
//! - Inside a hook, an alias or `git rebase --exec`, git sets `GIT_DIR`, `GIT_INDEX_FILE` and more, and they win over
//!   `-C`. None of them is passed on: only who the user is, and where the user keeps their own configuration.
//! - Hooks and the file system monitor are switched off. Filters and merge drivers are programs too. Those of the user's
//!   own configuration run, because files of Git LFS cannot be read without theirs; those that only a repository's
//!   configuration names do not ([`Programs`]). External diffs and text conversion play no part in applying a patch.
//! - No network, no terminal, and an end to every wait.

mod programs;

pub use programs::Programs;

use crate::{
    config::Environment,
    output::{Failure, Result, visible},
};
use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command};

/// Longest run of one git command: 2 minutes. A patch has at most 64 MiB, so this is for a slow disk and a large index.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the environment may tell git. Git sets none of the others for its hooks by the user's wish.
const KEPT: &[&str] = &[
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CEILING_DIRECTORIES",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
];

/// Stronger than every configuration file.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("submodule.recurse", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    // A patch fits or it does not, whatever is set for patches out of mails.
    ("apply.ignoreWhitespace", "no"),
    ("i18n.commitEncoding", "UTF-8"),
];

/// Git in one folder.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
    variables: Vec<(&'static str, OsString)>,
    settings: Vec<(OsString, OsString)>,
    patience: Duration,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Git {
    pub fn at(folder: &Path) -> Self {
        let settings = SETTINGS.iter().map(|(key, value)| (OsString::from(key), OsString::from(value))).collect();
        Self { folder: folder.to_owned(), variables: Vec::new(), settings, patience: PATIENCE }
    }

    /// The same elsewhere.
    pub fn moved(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    pub fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
        self
    }

    pub fn set(mut self, key: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.settings.push((key.into(), value.into()));
        self
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// However it ended.
    pub async fn ran(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Ran> {
        self.fed(arguments, &[]).await
    }

    /// The same with something to read on its standard input.
    pub async fn fed(&self, arguments: &[impl AsRef<OsStr>], input: &[u8]) -> Result<Ran> {
        let mut command = self.command(arguments);
        let cannot = |error: std::io::Error| {
            Failure::failed(format!("git cannot be started in {}: {error}", self.folder.display()))
                .next("git --version")
        };
        command.stdin(if input.is_empty() { Stdio::null() } else { Stdio::piped() });
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(cannot)?;
        let group = child.id();
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command that ends without reading everything says itself what was wrong.
                let _ = stdin.write_all(input).await;
            }
        };
        let both = async { tokio::join!(feed, child.wait_with_output()).1 };
        match tokio::time::timeout(self.patience, both).await {
            Ok(output) => {
                let output = output.map_err(cannot)?;
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                Ok(Ran { status: output.status, stdout: output.stdout, stderr })
            }
            Err(_) => {
                end_group(group);
                let name = arguments.first().map(|name| name.as_ref().to_string_lossy()).unwrap_or_default();
                Err(Failure::failed(format!(
                    "git {name} took longer than {} s in {}, and was stopped",
                    self.patience.as_secs(),
                    self.folder.display()
                )))
            }
        }
    }

    /// What it printed. Anything but success is a failure.
    pub async fn bytes(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Vec<u8>> {
        let ran = self.ran(arguments).await?;
        if !ran.status.success() {
            let name = arguments.first().map(|name| name.as_ref().to_string_lossy()).unwrap_or_default();
            return Err(ran.refused(&format!("git {name} did not work"), &self.folder));
        }
        Ok(ran.stdout)
    }

    pub async fn line(&self, arguments: &[impl AsRef<OsStr>]) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(arguments).await?).trim_end().to_owned())
    }

    /// What it printed, as a path.
    pub async fn path(&self, arguments: &[impl AsRef<OsStr>]) -> Result<PathBuf> {
        let printed = self.bytes(arguments).await?;
        let path = printed.strip_suffix(b"\n").unwrap_or(&printed);
        Ok(self.folder.join(OsStr::from_bytes(path)))
    }

    fn command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(&self.folder);
        for name in Environment::inherited_names() {
            if name.as_bytes().starts_with(b"GIT_") && !KEPT.iter().any(|kept| name == *kept) {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", "")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (index, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key).env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        // A Ctrl-C is for devmesh: git finishes the file it is writing.
        command.process_group(0).kill_on_drop(true);
        command
    }
}

/// Also the filters it may have started.
fn end_group(group: Option<u32>) {
    if let Some(group) = group.and_then(|group| i32::try_from(group).ok()) {
        let _ = nix::sys::signal::killpg(nix::unistd::Pid::from_raw(group), nix::sys::signal::Signal::SIGKILL);
    }
}

impl Ran {
    /// The failure of a command that did not do `what` in `folder`, with what git said and, where it is known, what helps.
    pub fn refused(&self, what: &str, folder: &Path) -> Failure {
        const SHOWN: usize = 12;
        let lines: Vec<_> = self.stderr.lines().map(str::trim).filter(|line| !line.is_empty()).take(SHOWN).collect();
        let said = match lines.is_empty() {
            true => format!("git ended with {}", self.status),
            false => lines.join("\n  "),
        };
        let failure = Failure::failed(format!("{what} in {}:\n  {said}", folder.display()));
        // What git itself proposes for a repository of another user.
        let proposed = "git config --global --add safe.directory ";
        match lines.iter().find(|line| line.starts_with(proposed) && visible(line) == **line) {
            Some(command) => failure.next(command.to_string()),
            None => failure,
        }
    }
}

/// The parts of a listing made with `-z`.
pub fn zero_separated(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_never_ends_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let alive = folder.path().join("alive");
        nix::unistd::mkfifo(&alive, nix::sys::stat::Mode::S_IRWXU).unwrap();
        // Reads on until the last process that could write is gone.
        let gone = tokio::task::spawn_blocking(move || std::fs::read_to_string(alive));
        let git = Git::at(folder.path()).set("alias.wait", "!exec 3>alive; echo begun >&3; sleep 600");
        let git = Git { patience: Duration::from_secs(1), ..git };
        let failure = git.ran(&["wait"]).await.unwrap_err();
        assert!(failure.what.contains("took longer than"), "{}", failure.what);
        let written = tokio::time::timeout(Duration::from_secs(60), gone).await.expect("it and what it started end");
        assert_eq!(written.unwrap().unwrap(), "begun\n");
    }

    #[tokio::test]
    async fn nothing_is_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::at(folder.path());
        git.bytes(&["init", "--quiet", "--bare", "a"]).await.unwrap();
        let ran = git.ran(&["clone", "--quiet", "--no-local", "a", "b"]).await.unwrap();
        assert!(ran.stderr.contains("not allowed"), "{}", ran.stderr);
    }
}
