//! The git command line, cut off from every configuration but ours. It keeps objects and compares commits; it never looks
//! at a tree that tools have touched, where it would wait on a pipe, read a giant, run out of stack or be made to run
//! something.

use super::Error;
use crate::workspace::Ssh;
use std::{
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
};

/// Most a command may print, in bytes: half a million long names fit.
const LISTING_BYTES: u64 = 512 << 20;
/// How much of git's complaints is kept.
const COMPLAINT_BYTES: u64 = 4 << 10;
/// Where git is installed, wherever the agent was started from.
const PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin:/run/current-system/sw/bin";

/// Stronger than a repository's own configuration, which is the only other one that is read. Programs a repository names
/// are switched off by name; filters and drivers only exist where a configuration defines them, and these never do.
const CONFIGURATION: &[(&str, &str)] = &[
    ("safe.directory", "*"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.sshCommand", "false"),
    ("core.gitProxy", "false"),
    ("core.askPass", "false"),
    ("core.alternateRefsCommand", "false"),
    ("core.autocrlf", "false"),
    ("core.safecrlf", "false"),
    ("core.protectNTFS", "false"),
    ("core.fsync", "committed,reference,index"),
    ("core.fsyncMethod", "batch"),
    // Objects stay on this machine: time is dearer than room. What is packed already keeps its form.
    ("pack.window", "0"),
    ("pack.compression", "1"),
    ("credential.helper", ""),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    ("fetch.recurseSubmodules", "false"),
    ("fetch.fsckObjects", "false"),
    ("commit.gpgSign", "false"),
    ("advice.detachedHead", "false"),
    ("user.name", "devmesh"),
    ("user.email", "devmesh@localhost"),
];

/// Stronger than any `.gitattributes` of a tree: files are bytes, in and out. Line ends and encodings are not touched, and
/// a file of attributes that makes no sense stops nothing.
const ATTRIBUTES: &str = "* -text !eol -ident !filter !working-tree-encoding !diff !merge\n";

/// The file with the same words for the programs git starts in another repository: to those it does not pass on what the
/// environment configures.
static FILE: OnceLock<PathBuf> = OnceLock::new();

/// Called once, before anything else here. `folder` can be written to.
pub(super) fn configure(folder: &Path) -> Result<(), Error> {
    let mut text = String::new();
    for (key, value) in CONFIGURATION {
        let (section, name) = key.split_once('.').unwrap_or((key, ""));
        text.push_str(&format!("[{section}]\n\t{name} = \"{value}\"\n"));
    }
    let file = folder.join("agent.config");
    // On a full disk what is there has to do, and does.
    if std::fs::read(&file).is_ok_and(|known| known == text.as_bytes()) {
        let _ = FILE.set(file);
        return Ok(());
    }
    std::fs::write(&file, text).map_err(Error::doing("writing git's configuration"))?;
    // A second task of one process would write the same.
    let _ = FILE.set(file);
    Ok(())
}

/// How git reaches another repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport<'a> {
    Local,
    /// By an address, with what `ssh://` needs.
    Remote(Option<&'a Ssh>),
}

/// Ssh with one key for known hosts, which asks nobody anything and starts nothing else.
fn ssh_command(ssh: &Ssh) -> OsString {
    let mut command = OsString::from("ssh -F none -o BatchMode=yes -o IdentitiesOnly=yes -o IdentityAgent=none");
    command.push(" -o StrictHostKeyChecking=yes -o UpdateHostKeys=no -o GlobalKnownHostsFile=/dev/null");
    for (option, path) in [("UserKnownHostsFile", &ssh.known_hosts), ("IdentityFile", &ssh.key)] {
        // For the shell that git hands it to, and within that for ssh's own reading of options.
        let path = path.to_string_lossy().replace('\'', "'\\''").replace('"', "\\\"");
        command.push(format!(" -o '{option}=\"{path}\"'"));
    }
    command
}

/// One repository.
#[derive(Clone, Debug)]
pub(super) struct Git {
    folder: PathBuf,
}

/// One command to run.
pub(super) struct Run {
    command: Command,
    name: String,
    input: Vec<u8>,
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
    /// `folder` is what git calls the git directory.
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// A new repository without files.
    pub fn init(folder: &Path, object_format: &str) -> Result<Self, Error> {
        let git = Self::at(folder);
        let format = format!("--object-format={object_format}");
        git.run(["init", "--quiet", "--bare", "--template=", &format, "--initial-branch=main"]).done()?;
        let info = folder.join("info");
        std::fs::create_dir_all(&info)
            .and_then(|()| std::fs::write(info.join("attributes"), ATTRIBUTES))
            .map_err(Error::doing("setting git's attributes"))?;
        Ok(git)
    }

    /// Objects of another repository count as this one's.
    pub fn borrow_objects(&self, from: &[PathBuf]) -> Result<(), Error> {
        use std::os::unix::ffi::OsStrExt;
        let mut lines = Vec::new();
        for folder in from {
            lines.extend_from_slice(folder.join("objects").as_os_str().as_bytes());
            lines.push(b'\n');
        }
        let info = self.folder.join("objects/info");
        std::fs::create_dir_all(&info)
            .and_then(|()| std::fs::write(info.join("alternates"), lines))
            .map_err(Error::doing("naming where objects are shared"))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn run(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        let arguments: Vec<OsString> = arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let name = arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut command = Command::new("git");
        command
            .args(&arguments)
            .current_dir("/")
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_DIR", &self.folder)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", FILE.get().map_or(Path::new("/dev/null"), PathBuf::as_path))
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_CONFIG_COUNT", CONFIGURATION.len().to_string());
        for (number, (key, value)) in CONFIGURATION.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        let run = Run { command, name, input: Vec::new() };
        run.transport(Transport::Local)
    }

    /// Changes the index alone, for commands that insist on files: there are none where this one looks.
    pub fn with_index(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        self.run(arguments).environment("GIT_WORK_TREE", self.folder.join("objects"))
    }

    /// With files: only ever ones that nobody but the agent has written.
    pub fn with_tree(&self, tree: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        let mut run = self.run(arguments);
        run.command.env("GIT_WORK_TREE", tree).current_dir(tree);
        run
    }
}

impl Run {
    pub fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    pub fn environment(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn transport(self, transport: Transport<'_>) -> Self {
        match transport {
            Transport::Local => self.environment("GIT_ALLOW_PROTOCOL", "file"),
            Transport::Remote(None) => self.environment("GIT_ALLOW_PROTOCOL", "https:http"),
            Transport::Remote(Some(ssh)) => {
                let run = self.environment("GIT_ALLOW_PROTOCOL", "https:http:ssh");
                run.environment("GIT_SSH_COMMAND", ssh_command(ssh))
            }
        }
    }

    /// What it printed, as bytes. Anything but success is an error.
    pub fn bytes(self) -> Result<Vec<u8>, Error> {
        let name = self.name.clone();
        let ran = self.ran()?;
        match ran.status.success() && !ran.is_cut {
            true => Ok(ran.stdout),
            false => Err(ran.failure(&name)),
        }
    }

    pub fn done(self) -> Result<(), Error> {
        self.bytes().map(drop)
    }

    /// What it printed, without the line end.
    pub fn line(self) -> Result<String, Error> {
        Ok(String::from_utf8_lossy(&self.bytes()?).trim_end().to_owned())
    }

    /// However it ended.
    pub fn ran(mut self) -> Result<Ran, Error> {
        let mut child = self.spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (input, limit) = (self.input, LISTING_BYTES);
        let (mut printed, complaint) = thread::scope(|scope| {
            scope.spawn(move || {
                if let Some(mut stdin) = stdin {
                    // A command that ends without reading everything says itself what was wrong.
                    let _ = stdin.write_all(&input);
                }
            });
            let complaint = scope.spawn(move || {
                let mut text = Vec::new();
                if let Some(mut stderr) = stderr {
                    let _ = (&mut stderr).take(COMPLAINT_BYTES).read_to_end(&mut text);
                    // Read on, so that it does not wait for us.
                    let _ = io::copy(&mut stderr, &mut io::sink());
                }
                String::from_utf8_lossy(&text).trim().to_owned()
            });
            let mut printed = Vec::new();
            if let Some(stdout) = stdout {
                let _ = stdout.take(limit + 1).read_to_end(&mut printed);
            }
            if printed.len() as u64 > limit {
                let _ = child.kill();
            }
            (printed, complaint.join().unwrap_or_default())
        });
        let is_cut = printed.len() as u64 > limit;
        if is_cut {
            printed.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        }
        let status = child.wait().map_err(Error::doing("waiting for git"))?;
        Ok(Ran { status, stdout: printed, stderr: complaint, is_cut })
    }

    /// Started, with its input and output in the caller's hands; complaints go where the helper's own go.
    pub fn talk(mut self) -> Result<Child, Error> {
        self.command.stderr(Stdio::inherit());
        self.start()
    }

    fn spawn(&mut self) -> Result<Child, Error> {
        self.command.stderr(Stdio::piped());
        self.start()
    }

    fn start(&mut self) -> Result<Child, Error> {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped());
        self.command.spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::Failed("git is not installed, or not where programs usually are".into()),
            _ => Error::Failed(format!("`git {}` could not be started: {error}", self.name)),
        })
    }
}

impl Ran {
    pub fn failure(&self, command: &str) -> Error {
        let what = match (self.is_cut, self.stderr.as_str()) {
            (true, _) => "printed more than the limit".to_owned(),
            (false, "") => format!("ended with {}", self.status),
            (false, stderr) => format!("ended with {}: {stderr}", self.status),
        };
        Error::Failed(format!("`git {command}` {what}"))
    }
}

/// The parts of a listing made with `-z`.
pub(super) fn zero_separated(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty())
}

/// Whether it is written like an object id, which is the only way a recorded commit is ever looked up.
pub(crate) fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
