//! The agent's side of one command.

use super::{
    Command, Ending, Error, Finished, Output, Place, Sandbox, environment,
    guard::ARGUMENT,
    platform,
    policy::{Failure, Files, Layers, Message, Namespaces, Policy, Program, Verify},
};
use protocol::OutputStream;
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream as Pair},
    path::{Component, Path},
    process::Stdio,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
    sync::mpsc,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Read at once: what a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;
/// How long after the time limit, or after a cancel, the guard may take to say that all is over. Killing takes
/// milliseconds, or up to 10 s where processes have to be hunted down one by one.
const GUARD_PATIENCE: Duration = Duration::from_secs(15);
/// After the end, how long to wait for more from a pipe that somebody still holds open. Everything printed is there
/// already; only where there is no PID namespace can anybody be left to hold it.
const DRAIN_PATIENCE: Duration = Duration::from_secs(2);

/// What a name lookup and a certificate check read.
pub(crate) const NETWORK_FILES: &[&str] = &["/etc/resolv.conf", "/etc/gai.conf", "/etc/ssl", "/etc/pki"];

impl Sandbox {
    /// Runs one command to its end. Everything it prints goes to `output` in order of arrival, as fast as that is
    /// taken: the command waits when it is not, and nothing piles up. Dropping the receiver discards output and does
    /// not stop the command. `cancel`, the time limit, and dropping this future kill the command and all it started.
    pub async fn run(
        &self,
        place: &Place,
        command: &Command,
        output: mpsc::Sender<Output>,
        cancel: CancellationToken,
    ) -> Result<Finished, Error> {
        prepare(place, self.owner()).map_err(|source| Error::Guard { what: "could not get its folders", source })?;
        let policy = self.policy(self.layers, place, command, None)?;
        let (finished, _) = start(&self.options.executable, &policy, output, cancel).await?;
        finished.map_err(|failure| match failure.layer {
            Some(layer) => Error::Setup { message: format!("{layer:?}: {}", failure.message) },
            None => Error::Setup { message: failure.message },
        })
    }

    pub(super) fn policy(
        &self,
        layers: Layers,
        place: &Place,
        command: &Command,
        verify: Option<Verify>,
    ) -> Result<Policy, Error> {
        if command.script.len() > Command::SCRIPT_BYTES {
            let (length, limit) = (command.script.len(), Command::SCRIPT_BYTES);
            return Err(Error::Invalid(format!(
                "the script has {length} bytes; the most is {limit}: put it in a file"
            )));
        }
        if command.script.contains('\0') {
            return Err(Error::Invalid("the script contains a zero byte, which no shell can be given".to_owned()));
        }
        let is_inside =
            command.folder.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !is_inside {
            let folder = command.folder.display();
            return Err(Error::Invalid(format!(
                "the folder `{folder}` is not inside the workspace; give a relative path"
            )));
        }
        let home = text(&place.home())?;
        let also = place.readable.iter().map(|path| text(path)).collect::<Result<Vec<_>, _>>()?;
        let files = Files {
            readable: self.toolchain.readable.iter().cloned().chain(also).collect(),
            links: self.toolchain.links.clone(),
            writable: vec![text(&place.tree)?, home.clone(), text(&place.temporary())?],
            temporary: text(&place.temporary())?,
            root: text(&place.root())?,
        };
        let folder = text(&place.tree.join(&command.folder))?;
        let mut files = files;
        let mut layers = layers;
        if command.network {
            layers.network = false;
            for path in NETWORK_FILES.iter().map(Path::new) {
                files.links.extend(platform::links_along(path).into_iter().filter_map(|link| text(&link).ok()));
                files.readable.extend(path.canonicalize().ok().and_then(|path| text(&path).ok()));
            }
        }
        let home_links = self.toolchain.home_links.iter().map(|(inside, to)| (format!("{home}/{inside}"), to.clone()));
        let temporary = platform::temporary_folder(&files, layers.files).to_owned();
        Ok(Policy {
            layers,
            limits: self.options.limits,
            other_processes: self.other_processes(layers),
            control_group: self.control_group(layers)?,
            identity: super::Owner::NOBODY,
            program: Program::Shell {
                shell: shell().to_owned(),
                script: command.script.clone(),
                network: command.network,
            },
            timeout_ms: u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX),
            environment: environment::scrubbed(&self.options, &self.toolchain, command, &folder, &home, &temporary),
            home_links: if command.network { Vec::new() } else { home_links.collect() },
            files,
            folder,
            verify,
        })
    }

    /// A control group for one command, where this machine has such.
    pub(super) fn control_group(&self, layers: Layers) -> Result<Option<String>, Error> {
        match (&self.control_groups, layers.control_group) {
            (Some(parent), true) => text(&parent.join(group_name())).map(Some),
            _ => Ok(None),
        }
    }

    /// Without a count of its own, the limit counts everything that runs as the same user.
    pub(super) fn other_processes(&self, layers: Layers) -> u64 {
        let is_shared = !layers.accounting && layers.namespaces != Namespaces::Unprivileged;
        let user = if layers.identity { super::Owner::NOBODY.user } else { nix::unistd::geteuid().as_raw() };
        if is_shared { platform::processes_of(user) } else { 0 }
    }
}

/// Models write for bash whatever they are told.
fn shell() -> &'static str {
    if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" }
}

/// Of a control group that no other command on this machine has now.
fn group_name() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    format!("{}{}-{}", platform::GROUP, std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn text(path: &Path) -> Result<String, Error> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| Error::Invalid(format!("the path {} is not UTF-8", path.display())))
}

/// Makes the folders of a place that are not there yet. The tree itself is the workspace's business.
pub(super) fn prepare(place: &Place, owner: Option<super::Owner>) -> io::Result<()> {
    for folder in [place.home(), place.temporary(), place.root()] {
        match std::fs::create_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if let Some(owner) = owner {
            std::os::unix::fs::lchown(&folder, Some(owner.user), Some(owner.group))?;
        }
    }
    Ok(())
}

/// What a guard reported: how it ended, and Landlock's ABI version where it was asked to verify.
type Reported = (Result<Finished, Failure>, u32);

pub(super) async fn start(
    executable: &Path,
    policy: &Policy,
    output: mpsc::Sender<Output>,
    cancel: CancellationToken,
) -> Result<Reported, Error> {
    let failed = |what| move |source| Error::Guard { what, source };
    let started = Instant::now();
    let (ours, theirs) = Pair::pair().map_err(failed("could not get a control socket"))?;
    ours.set_nonblocking(true).map_err(failed("could not get a control socket"))?;
    let mut guard = tokio::process::Command::new(executable)
        .arg(ARGUMENT)
        // Not even the guard holds a secret.
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed("could not be started"))?;
    let (stdout, stderr) = (guard.stdout.take(), guard.stderr.take());
    let control = UnixStream::from_std(ours).map_err(failed("could not be spoken to"))?;

    let (discard, ended) = (CancellationToken::new(), CancellationToken::new());
    let end = async {
        let answer = converse(control, policy, &cancel).await;
        if answer.is_err() {
            let _ = guard.start_kill();
        }
        // The guard is done; what is left is collecting it.
        let _ = guard.wait().await;
        ended.cancel();
        answer.map_err(failed("broke off"))
    };
    // A listener that stands still keeps us only as long as nobody cancels.
    let release = async {
        ended.cancelled().await;
        cancel.cancelled().await;
        discard.cancel();
    };
    let pumps = async {
        let stdout = pump(stdout, OutputStream::Stdout, &output, &discard, &ended);
        let stderr = pump(stderr, OutputStream::Stderr, &output, &discard, &ended);
        tokio::select! {
            counts = async { tokio::join!(stdout, stderr) } => counts,
            never = async { release.await; std::future::pending().await } => never,
        }
    };
    let (answer, (stdout_bytes, stderr_bytes)) = tokio::join!(end, pumps);
    let (message, landlock) = answer?;
    let duration = started.elapsed();
    let ending = match message {
        Message::Failed(failure) => return Ok((Err(failure), landlock)),
        Message::Ended(status) if status & 0x7f == 0 => Ending::Exited(status >> 8 & 0xff),
        Message::Ended(status) => Ending::Signalled(status & 0x7f),
        Message::TimedOut => Ending::TimedOut,
        Message::OutOfMemory(had_bytes) => Ending::OutOfMemory { had_bytes, limit_bytes: policy.limits.memory_bytes },
        Message::Cancelled | Message::Landlock(_) => Ending::Cancelled,
    };
    Ok((Ok(Finished { ending, duration, stdout_bytes, stderr_bytes }), landlock))
}

/// Hands over the policy and hears how it ended.
async fn converse(mut control: UnixStream, policy: &Policy, cancel: &CancellationToken) -> io::Result<(Message, u32)> {
    let mut line = serde_json::to_vec(policy)?;
    line.push(b'\n');
    let (read, mut write) = control.split();
    write.write_all(&line).await?;
    let mut read = BufReader::new(read);
    let mut landlock = 0;
    let mut deadline = Duration::from_millis(policy.timeout_ms).saturating_add(GUARD_PATIENCE);
    let mut told = false;
    loop {
        let mut line = String::new();
        tokio::select! {
            length = read.read_line(&mut line) => {
                if length? == 0 {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without a word"));
                }
                match serde_json::from_str(&line)? {
                    Message::Landlock(version) => landlock = version,
                    message => return Ok((message, landlock)),
                }
            }
            () = cancel.cancelled(), if !told => {
                told = true;
                deadline = GUARD_PATIENCE;
                write.shutdown().await?;
            }
            () = tokio::time::sleep(deadline) => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not report the end in time"));
            }
        }
    }
}

/// Passes on what is printed, and counts. Discards once nobody listens or `discard` says so, but always reads on: a
/// command must not hang because of who listens.
async fn pump(
    from: Option<impl AsyncRead + Unpin>,
    stream: OutputStream,
    output: &mpsc::Sender<Output>,
    discard: &CancellationToken,
    ended: &CancellationToken,
) -> u64 {
    let Some(mut from) = from else { return 0 };
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut counted = 0;
    loop {
        let late = async {
            ended.cancelled().await;
            tokio::time::sleep(DRAIN_PATIENCE).await;
        };
        let read = tokio::select! {
            biased;
            read = from.read(&mut chunk) => read,
            () = late => break,
        };
        let Ok(length @ 1..) = read else { break };
        counted += length as u64;
        if discard.is_cancelled() || output.is_closed() {
            continue;
        }
        let piece = Output { stream, bytes: chunk[..length].to_vec() };
        tokio::select! {
            _ = output.send(piece) => {}
            () = discard.cancelled() => {}
        }
    }
    counted
}
