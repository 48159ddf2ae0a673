//! How commands run and end.

use super::Bench;
use agent::sandbox::{Command, Ending, Error, Limits, Output};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_command_works_in_the_tree_and_says_how_it_ended() {
    let bench = Bench::new().await;
    std::fs::write(bench.tree().join("given"), "from the agent\n").unwrap();
    let ran = bench.sh("cat given; echo made > made; mkdir -p sub; echo oops >&2; exit 7").await;
    assert_eq!(ran.finished.ending, Ending::Exited(7));
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("from the agent\n", "oops\n"));
    assert_eq!((ran.finished.stdout_bytes, ran.finished.stderr_bytes), (15, 5));
    assert_eq!(std::fs::read_to_string(bench.tree().join("made")).unwrap(), "made\n");

    let mut below = Command::new("pwd; git init -q . && git status --short", LONG);
    below.folder = "sub".into();
    let ran = bench.run(below, CancellationToken::new()).await;
    assert!(ran.ok().trim_end().ends_with("workspaces/job/1/tree/sub"));

    let ran = bench.sh("kill -SEGV $$").await;
    assert_eq!(ran.finished.ending, Ending::Signalled(11));
    assert_eq!(bench.sh("exit 255").await.finished.ending, Ending::Exited(255));
}

#[tokio::test]
async fn ordinary_tools_work() {
    let bench = Bench::new().await;
    let script = "set -e
        python3 -c 'import tempfile
with tempfile.TemporaryFile() as file: file.write(b\"x\")'
        diff <(echo a) <(echo a)
        echo to-stdout > /dev/stdout
        test -w \"$HOME\" && test -w \"$TMPDIR\"
        touch \"$TMPDIR/file\" && id -u";
    let stdout = bench.sh(script).await.ok();
    let user = stdout.lines().last().unwrap();
    assert!(stdout.starts_with("to-stdout"), "{stdout}");
    assert!(!bench.needs("user") || user != "0", "{stdout}");
}

/// What a private root folder and a network namespace make possible: shared memory, `/proc`, `/tmp`, loopback.
#[tokio::test]
async fn demanding_tools_work_where_there_are_namespaces() {
    let bench = Bench::new().await;
    if !bench.needs("processes") {
        return;
    }
    let script = "set -e
        python3 -c 'import multiprocessing, socket
multiprocessing.Queue().put(1)
server = socket.create_server((\"127.0.0.1\", 0))
socket.create_connection(server.getsockname()).close()'
        ls / /proc/self/fd && touch \"$TMPDIR/file\"; echo \"$TMPDIR\"";
    let stdout = bench.sh(script).await.ok();
    // Nothing is mounted on what commands can change, so a build folder under /tmp takes its place.
    if !bench.tree().starts_with("/tmp") && !bench.tree().starts_with("/var/tmp") {
        assert_eq!(stdout.lines().last(), Some("/tmp"));
    }
}

#[tokio::test]
async fn a_folder_outside_the_tree_or_an_endless_script_is_refused_with_the_reason() {
    let bench = Bench::new().await;
    let (sender, _receiver) = mpsc::channel(1);
    for folder in ["../..", "/etc", "a/../../b"] {
        let mut command = Command::new("true", LONG);
        command.folder = folder.into();
        let error = bench.sandbox.run(&bench.place, &command, sender.clone(), CancellationToken::new()).await;
        let error = error.unwrap_err();
        assert!(matches!(&error, Error::Invalid(message) if message.contains(folder)), "{error}");
    }
    let command = Command::new("#".repeat(Command::SCRIPT_BYTES + 1), LONG);
    let error = bench.sandbox.run(&bench.place, &command, sender, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)), "{error}");
    let longest = "#".repeat(Command::SCRIPT_BYTES);
    assert_eq!(bench.sh(&longest).await.finished.ending, Ending::Exited(0));
}

#[tokio::test]
async fn a_missing_folder_is_an_error_and_not_an_exit_code() {
    let bench = Bench::new().await;
    let mut command = Command::new("true", LONG);
    command.folder = "not-there".into();
    let (sender, _receiver) = mpsc::channel(1);
    let error = bench.sandbox.run(&bench.place, &command, sender, CancellationToken::new()).await.unwrap_err();
    assert!(matches!(&error, Error::Setup { message } if message.contains("not-there")), "{error}");
}

#[tokio::test]
async fn time_is_limited() {
    let bench = Bench::new().await;
    let started = Instant::now();
    let command = Command::new("echo begun; sleep 1000 & sleep 1000", Duration::from_millis(500));
    let ran = bench.run(command, CancellationToken::new()).await;
    assert_eq!(ran.finished.ending, Ending::TimedOut);
    assert_eq!(ran.stdout, "begun\n", "what was printed before is kept");
    assert!((500..10_000).contains(&started.elapsed().as_millis()), "{:?}", started.elapsed());
}

#[tokio::test]
async fn cancel_ends_a_command_that_ignores_signals() {
    let bench = Bench::new().await;
    let cancel = CancellationToken::new();
    let (sender, mut receiver) = mpsc::channel::<Output>(1);
    let command = Command::new("trap '' TERM INT HUP; echo ready; while :; do :; done", LONG);
    let run = bench.sandbox.run(&bench.place, &command, sender, cancel.clone());
    let press = async {
        assert_eq!(receiver.recv().await.unwrap().bytes, b"ready\n");
        cancel.cancel();
    };
    let started = Instant::now();
    let (finished, ()) = tokio::join!(run, press);
    assert_eq!(finished.unwrap().ending, Ending::Cancelled);
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// The command prints without end and nobody takes it: it waits, and both limits still hold.
#[tokio::test]
async fn a_reader_that_stands_still_holds_the_command_back_but_not_its_end() {
    let bench = Bench::new().await;
    let (sender, receiver) = mpsc::channel::<Output>(1);
    let command = Command::new("yes", LONG);
    let cancel = CancellationToken::new();
    let run = bench.sandbox.run(&bench.place, &command, sender, cancel.clone());
    let press = async {
        until(|| receiver.len() == 1).await;
        cancel.cancel();
    };
    let (finished, ()) = tokio::join!(run, press);
    let finished = finished.unwrap();
    assert_eq!(finished.ending, Ending::Cancelled);
    assert!(finished.stdout_bytes < 1 << 20, "it ran ahead by {} bytes", finished.stdout_bytes);
}

#[tokio::test]
async fn a_gigabyte_of_output_is_counted_and_not_kept() {
    let bench = Bench::new().await;
    let (sender, mut receiver) = mpsc::channel::<Output>(4);
    let command = Command::new("head -c 1073741824 /dev/zero; echo done >&2", Duration::from_secs(300));
    let before = peak_memory_bytes();
    let mut seen = 0;
    let read = async {
        while let Some(output) = receiver.recv().await {
            seen += output.bytes.len() as u64;
        }
    };
    let (finished, ()) =
        tokio::join!(bench.sandbox.run(&bench.place, &command, sender, CancellationToken::new()), read);
    let finished = finished.unwrap();
    assert_eq!(finished.ending, Ending::Exited(0));
    assert_eq!((finished.stdout_bytes, finished.stderr_bytes), (1 << 30, 5));
    assert_eq!(seen, (1 << 30) + 5);
    let grown = peak_memory_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn a_reader_that_went_away_does_not_stop_the_command() {
    let bench = Bench::new().await;
    let (sender, receiver) = mpsc::channel::<Output>(1);
    drop(receiver);
    let command = Command::new("head -c 10000000 /dev/zero && touch finished", LONG);
    let finished = bench.sandbox.run(&bench.place, &command, sender, CancellationToken::new()).await.unwrap();
    assert_eq!((finished.ending, finished.stdout_bytes), (Ending::Exited(0), 10_000_000));
    assert!(bench.tree().join("finished").exists());
}

#[tokio::test]
async fn files_are_limited() {
    let limits = Limits { file_bytes: 1 << 20, ..Limits::default() };
    let bench = Bench::with(|options| options.limits = limits).await;
    bench.sh("head -c 2000000 /dev/zero > big").await.refused();
    assert_eq!(std::fs::metadata(bench.tree().join("big")).unwrap().len(), 1 << 20);
}

/// Polls until it holds; fails after half a minute.
pub async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "did not become so in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn peak_memory_bytes() -> u64 {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF).unwrap();
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    usage.max_rss().unsigned_abs() * unit
}
