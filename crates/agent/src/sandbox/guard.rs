//! The guard process and the two it forks. Single-threaded from start to end: namespaces and `fork` need that.
//!
//! - The **guard** waits for one of four things: the command ended, its time is up, it has too much memory, or the control
//!   socket was closed, which is how the agent cancels and also what happens when the agent dies. Then it kills what is
//!   left.
//! - The **first** process is process 1 of the command's PID namespace, or its reaper where there is none. It starts the
//!   shell, collects orphans and passes the shell's wait status on.
//! - The **shell** process puts on the confinement that only ever applies to itself and its children, and executes.

use super::{
    platform,
    policy::{Failure, Message, Policy, Program},
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigHandler, Signal, kill, signal},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, fork, setsid},
};
use std::{
    fs::File,
    io::{BufRead, BufReader, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Command, Stdio, exit},
    time::{Duration, Instant},
};

/// The only argument of a guard.
pub const ARGUMENT: &str = "sandbox-exec";

/// Longest policy in bytes: the longest file a model may write, every character of it escaped, twice.
const POLICY_BYTES: u64 = 16 << 20;

/// Becomes the guard and never returns when this process was started as one. Every program that makes a
/// [`super::Sandbox`] calls this first thing in `main`, before any thread exists.
pub fn enter_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|argument| argument == ARGUMENT) && arguments.next().is_none() {
        exit(guard())
    }
}

/// Exit codes of the guard are for people who start it by hand; the agent listens to the control socket.
fn guard() -> i32 {
    let (mut control, policy) = match take_policy() {
        Ok(taken) => taken,
        Err(error) => {
            eprintln!("`{ARGUMENT}` is started by the agent, with a policy on its standard input: {error}");
            return 2;
        }
    };
    let ending = supervise(&policy, &control).unwrap_or_else(Message::Failed);
    match send(&mut control, &ending) {
        Ok(()) => 0,
        // The agent is gone. There is nobody left to tell.
        Err(_) => 1,
    }
}

/// The control socket arrives as standard input, moves out of the command's reach, and `/dev/null` takes its place.
fn take_policy() -> std::io::Result<(UnixStream, Policy)> {
    let control = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let mut line = String::new();
    BufReader::new((&control).take(POLICY_BYTES)).read_line(&mut line)?;
    let policy = serde_json::from_str(&line)?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok((control, policy))
}

fn send(to: &mut impl Write, message: &Message) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

fn supervise(policy: &Policy, control: &UnixStream) -> Result<Message, Failure> {
    let started = Instant::now();
    let guard = |what: &'static str| move |error: Errno| Failure::command(what, error);
    // Failing means we lead a group already, which serves as well.
    let _ = setsid();
    platform::become_guard().map_err(|error| Failure::command("preparing the guard", error))?;
    let (status, reporter) = nix::unistd::pipe().map_err(guard("making the status pipe"))?;
    for end in [&status, &reporter] {
        use nix::fcntl::{FcntlArg, FdFlag, fcntl};
        fcntl(end, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(guard("preparing the status pipe"))?;
    }
    give_output_to_command(policy);
    let mut memory = platform::Memory::bound(policy)?;
    platform::separate(policy)?;
    match fork_alone().map_err(guard("starting the command's first process"))? {
        ForkResult::Child => {
            drop(status);
            first(policy, control.as_fd(), File::from(reporter))
        }
        ForkResult::Parent { child } => {
            drop(reporter);
            let deadline = started + Duration::from_millis(policy.timeout_ms);
            let ending = wait(status, control, deadline, &mut memory);
            // Nobody has collected it yet, so no other process can have its number.
            let _ = kill(child, Signal::SIGKILL);
            platform::end_all(child);
            Ok(memory.overrule(ending))
        }
    }
}

/// `/dev/stdout` is opened again by name, which asks for permission on the pipe itself.
fn give_output_to_command(policy: &Policy) {
    if policy.layers.identity {
        let (user, group) = (Some(policy.identity.user), Some(policy.identity.group));
        let _ = std::os::unix::fs::fchown(std::io::stdout(), user, group);
        let _ = std::os::unix::fs::fchown(std::io::stderr(), user, group);
    }
}

/// Waits for the end, and names it.
fn wait(status: OwnedFd, control: &UnixStream, deadline: Instant, memory: &mut platform::Memory) -> Message {
    let mut heard = Vec::new();
    let mut status = File::from(status);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Message::TimedOut;
        }
        let next_look = match memory.look() {
            Ok(pause) => pause,
            Err(had_bytes) => return Message::OutOfMemory(had_bytes),
        };
        // A little late rather than a little early: the check above decides.
        let timeout = PollTimeout::try_from(left.min(next_look) + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let mut ends =
            [PollFd::new(status.as_fd(), PollFlags::POLLIN), PollFd::new(control.as_fd(), PollFlags::POLLIN)];
        match poll(&mut ends, timeout) {
            Ok(0) | Err(Errno::EINTR) => continue,
            Ok(_) => {}
            Err(error) => return Message::Failed(Failure::command("waiting for the command", error)),
        }
        if ends[0].any() == Some(true) {
            let mut chunk = [0; 4096];
            match status.read(&mut chunk) {
                Ok(0) => {
                    let message = "the first process of the sandbox was killed, perhaps for want of memory";
                    return Message::Failed(Failure { layer: None, message: message.to_owned() });
                }
                Ok(length) => heard.extend_from_slice(&chunk[..length]),
                Err(_) => continue,
            }
            while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = heard.drain(..=end).collect();
                match serde_json::from_slice(&line) {
                    Ok(Message::Landlock(version)) => {
                        let mut to = control;
                        let _ = send(&mut to, &Message::Landlock(version));
                    }
                    Ok(message) => return message,
                    Err(error) => return Message::Failed(Failure::command("reading the status pipe", error)),
                }
            }
        } else if ends[1].any() == Some(true) {
            return Message::Cancelled;
        }
    }
}

/// Starts the shell, reaps everything, reports, and by ending ends all of its namespace.
fn first(policy: &Policy, control: BorrowedFd<'_>, mut reporter: File) -> ! {
    // This process must not keep the agent's socket: the guard alone answers on it.
    close(control);
    let outcome = start_shell(policy, &reporter).and_then(|shell| {
        loop {
            match waitpid(None::<Pid>, None) {
                Ok(WaitStatus::Exited(pid, code)) if pid == shell => return Ok(code << 8),
                Ok(WaitStatus::Signaled(pid, by, _)) if pid == shell => return Ok(by as i32),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(Failure::command("waiting for the shell", error)),
            }
        }
    });
    let message = outcome.map_or_else(Message::Failed, Message::Ended);
    exit(i32::from(send(&mut reporter, &message).is_err()))
}

fn start_shell(policy: &Policy, reporter: &File) -> Result<Pid, Failure> {
    platform::settle(policy, reporter.as_fd())?;
    match fork_alone().map_err(|error| Failure::command("starting the shell", error))? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let failure = shell(policy, reporter);
            let mut reporter = reporter;
            let _ = send(&mut reporter, &Message::Failed(failure));
            exit(127)
        }
    }
}

/// Confines itself and becomes the command. Returns only when that did not work.
fn shell(policy: &Policy, reporter: &File) -> Failure {
    if let Err(error) = std::env::set_current_dir(&policy.folder) {
        let user = nix::unistd::geteuid();
        return Failure::command(format_args!("entering {} as user {user}", policy.folder), error);
    }
    match platform::confine(policy) {
        Ok(landlock) if policy.verify.is_some() => {
            let mut reporter = reporter;
            let _ = send(&mut reporter, &Message::Landlock(landlock));
        }
        Ok(_) => {}
        Err(failure) => return failure,
    }
    if let Some(verify) = &policy.verify
        && let Err(failure) = platform::verify(policy, verify)
    {
        return failure;
    }
    let (shell, script) = match &policy.program {
        Program::Shell { shell, script, .. } => (shell, script),
        Program::Helper { task, .. } => exit(crate::helper::carry_out(task)),
    };
    // By the command itself, whatever an earlier one made of its home.
    for (link, target) in &policy.home_links {
        let link = std::path::Path::new(link);
        let made = link.parent().map_or(Ok(()), std::fs::create_dir_all);
        let _ = made.and_then(|()| std::os::unix::fs::symlink(target, link));
    }
    let error = Command::new(shell)
        .arg("-c")
        .arg(script)
        .env_clear()
        .envs(policy.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .exec();
    Failure::command(format_args!("executing {shell}"), error)
}

/// Undoes what Rust set up for itself and commands do not expect.
pub(super) fn default_signals() {
    for number in [Signal::SIGPIPE, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGCHLD] {
        #[expect(unsafe_code, reason = "nix marks every change of a signal's disposition unsafe")]
        // SAFETY: the default disposition runs no handler of ours.
        let _ = unsafe { signal(number, SigHandler::SigDfl) };
    }
}

fn close(descriptor: BorrowedFd<'_>) {
    use std::os::fd::AsRawFd;
    let _ = nix::unistd::close(descriptor.as_raw_fd());
}

/// `fork` for a process that has one thread.
fn fork_alone() -> nix::Result<ForkResult> {
    #[expect(unsafe_code, reason = "fork is unsafe because of other threads, and there are none")]
    // SAFETY: the guard is entered before any thread exists and starts none, so the child may do anything.
    unsafe {
        fork()
    }
}
