//! The git command line, cut off from every configuration but ours.

use super::{Error, doing};
use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

/// Longest run of one git command. Fetching and adding 2 GiB takes a minute or two.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// Most a listing may print, in bytes: half a million long names fit.
const LISTING_BYTES: u64 = 512 << 20;
/// How much of git's complaints is kept.
const COMPLAINT_BYTES: u64 = 4 << 10;
/// Where git is installed, wherever the agent was started from.
const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin:/run/current-system/sw/bin";

/// Read as the user's configuration, and no other is read but a repository's own. Programs a repository names are
/// switched off by name; filters and drivers only exist where a configuration defines them, and none does.
const CONFIGURATION: &str = "\
[safe]
\tdirectory = *
[core]
\thooksPath = /dev/null
\tfsmonitor = false
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tsshCommand = false
\tgitProxy = false
\taskPass = false
\tautocrlf = false
\tsafecrlf = false
\tprotectNTFS = false
\tfsync = committed,reference,index
\tfsyncMethod = batch
[protocol]
\tallow = never
[protocol \"file\"]
\tallow = always
[gc]
\tauto = 0
[maintenance]
\tauto = false
[submodule]
\trecurse = false
[fetch]
\trecurseSubmodules = false
[commit]
\tgpgSign = false
[advice]
\tdetachedHead = false
[user]
\tname = devmesh
\temail = devmesh@localhost
";

/// One repository and, where a command needs one, its files.
#[derive(Clone, Debug)]
pub(super) struct Git {
    folder: PathBuf,
    configuration: PathBuf,
}

/// One command to run.
pub(super) struct Run<'a> {
    git: &'a Git,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    at: Option<PathBuf>,
    input: Vec<u8>,
    limit: u64,
}

/// What a command printed and how it ended.
pub(super) struct Ran {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
    /// It printed more than was allowed and was stopped.
    pub is_cut: bool,
}

impl Git {
    /// `folder` is the bare repository; the configuration lies beside it.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        let configuration = folder.with_extension("config");
        std::fs::write(&configuration, CONFIGURATION)?;
        Ok(Self { folder, configuration })
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A command on the agent's repository, without files.
    pub fn bare(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run<'_> {
        let mut run = self.anywhere(&self.folder, arguments);
        run.environment.push(("GIT_DIR", self.folder.clone().into()));
        run
    }

    /// A command on the agent's repository and the files in `tree`.
    pub fn with_tree(&self, tree: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run<'_> {
        let mut run = self.anywhere(tree, arguments);
        run.environment.push(("GIT_DIR", self.folder.clone().into()));
        run.environment.push(("GIT_WORK_TREE", tree.into()));
        run
    }

    /// A command in some folder, on whatever repository is there, and none above it.
    pub fn anywhere(&self, at: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run<'_> {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let ceiling = at.parent().map(|parent| ("GIT_CEILING_DIRECTORIES", parent.into()));
        Run {
            git: self,
            arguments,
            environment: ceiling.into_iter().collect(),
            at: Some(at.to_owned()),
            input: Vec::new(),
            limit: LISTING_BYTES,
        }
    }
}

impl Run<'_> {
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    pub fn environment(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Stop once it printed more than this many bytes.
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// What it printed, as bytes. Anything but success is an error.
    pub async fn bytes(self) -> Result<Vec<u8>, Error> {
        let command = self.name();
        let ran = self.ran().await?;
        match ran.status.success() && !ran.is_cut {
            true => Ok(ran.stdout),
            false => Err(ran.failure(command)),
        }
    }

    /// What it printed, without the line end.
    pub async fn line(self) -> Result<String, Error> {
        let bytes = self.bytes().await?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    }

    /// However it ended.
    pub async fn ran(self) -> Result<Ran, Error> {
        let command = self.name();
        let failed = |what: String| Error::Git { command, what };
        match tokio::time::timeout(PATIENCE, self.run()).await {
            Ok(Ok(ran)) => Ok(ran),
            Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => {
                Err(failed("could not be started: git is not installed".to_owned()))
            }
            Ok(Err(error)) => Err(failed(format!("could not be run: {error}"))),
            Err(_) => Err(failed(format!("took longer than {} minutes", PATIENCE.as_secs() / 60))),
        }
    }

    fn name(&self) -> String {
        self.arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    async fn run(self) -> io::Result<Ran> {
        let mut command = Command::new("git");
        command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", &self.git.configuration)
            .env("GIT_ALLOW_PROTOCOL", "file")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .envs(self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(at) = &self.at {
            command.current_dir(at);
        }
        let mut child = command.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command that ends without reading everything says itself what was wrong.
                let _ = stdin.write_all(&self.input).await;
            }
        };
        let listen = async {
            let mut bytes = Vec::new();
            if let Some(stdout) = stdout {
                stdout.take(self.limit + 1).read_to_end(&mut bytes).await?;
            }
            io::Result::Ok(bytes)
        };
        let complain = async {
            let mut text = Vec::new();
            if let Some(mut stderr) = stderr {
                (&mut stderr).take(COMPLAINT_BYTES).read_to_end(&mut text).await?;
                // Read on, so that it does not wait for us.
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
            }
            io::Result::Ok(String::from_utf8_lossy(&text).trim().to_owned())
        };
        let ((), stdout, stderr) = tokio::join!(feed, listen, complain);
        let mut stdout = stdout?;
        let is_cut = stdout.len() as u64 > self.limit;
        if is_cut {
            stdout.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
            child.start_kill()?;
        }
        Ok(Ran { status: child.wait().await?, stdout, stderr: stderr?, is_cut })
    }
}

impl Ran {
    pub fn failure(&self, command: String) -> Error {
        let what = match (self.is_cut, self.stderr.as_str()) {
            (true, _) => "printed more than the limit".to_owned(),
            (false, "") => format!("ended with {}", self.status),
            (false, stderr) => format!("ended with {}: {stderr}", self.status),
        };
        Error::Git { command, what }
    }
}

/// The parts of a listing made with `-z`.
pub(super) fn zero_separated(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty())
}

/// Whether it is written like an object id, which is the only way a recorded commit is ever looked up.
pub(super) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// A lock that a killed command left. Only called while no other command runs on this repository.
pub(super) fn remove_stale_lock(git: &Git) -> Result<(), Error> {
    match std::fs::remove_file(git.folder().join("index.lock")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(doing(|| "removing a stale index.lock")(error)),
        _ => Ok(()),
    }
}
