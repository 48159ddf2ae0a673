//! What is left when a command, its agent or its guard is gone: nothing. And how much there can be at once.

use super::{Bench, running::until};
use agent::sandbox::{Command, Ending, Error, Limits, Output};
use std::{path::Path, time::Duration};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn nothing_outlives_the_command() {
    daemons_end(&Bench::new().await).await;
}

#[tokio::test]
async fn nothing_outlives_the_command_without_namespaces() {
    daemons_end(&Bench::without_namespaces().await).await;
}

/// Daemons of all kinds, each of which would write its file half a second after the command ended.
async fn daemons_end(bench: &Bench) {
    let script = "
        (sleep 0.5; touch plain) &
        nohup sh -c 'sleep 0.5; touch nohup' > /dev/null 2>&1 &
        setsid sh -c 'sleep 0.5; touch session' < /dev/null > /dev/null 2>&1 &
        python3 -c '
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(\"born\", \"w\").close()
        time.sleep(0.5)
        open(\"daemon\", \"w\").close()
    os._exit(0)
os.wait()'
        while [ ! -e born ]; do :; done";
    bench.sh(script).await.ok();
    let marker = marker(bench);
    // The command is over; whatever was still alive would be found by its folder or its sleep.
    assert_eq!(processes_of(&marker), Vec::<i32>::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    for file in ["plain", "nohup", "session", "daemon"] {
        assert!(!bench.tree().join(file).exists(), "the process that writes `{file}` lived on");
    }
}

#[tokio::test]
async fn dropping_the_call_kills_everything() {
    dropping_kills(&Bench::new().await).await;
}

#[tokio::test]
async fn dropping_the_call_kills_everything_without_namespaces() {
    dropping_kills(&Bench::without_namespaces().await).await;
}

async fn dropping_kills(bench: &Bench) {
    let (sender, mut receiver) = mpsc::channel::<Output>(1);
    let command = Command::new("setsid sleep 4242 & echo started; sleep 4242", LONG);
    let mut run = Box::pin(bench.sandbox.run(&bench.place, &command, sender, CancellationToken::new()));
    tokio::select! {
        _ = &mut run => panic!("it sleeps"),
        output = receiver.recv() => assert_eq!(output.unwrap().bytes, b"started\n"),
    }
    let marker = marker(bench);
    assert!(!processes_of(&marker).is_empty(), "the check finds processes");
    drop(run);
    until(|| processes_of(&marker).is_empty()).await;
}

#[tokio::test]
async fn a_fork_bomb_stays_small() {
    let limits = Limits { processes: 64, ..Limits::default() };
    fork_bomb(&Bench::with(|options| options.limits = limits).await, 64).await;
}

#[tokio::test]
async fn a_fork_bomb_stays_small_without_namespaces() {
    let limits = Limits { processes: 64, ..Limits::default() };
    // What else runs as the same user counts too, and comes and goes.
    fork_bomb(&Bench::with(|options| (options.limits, options.namespaces) = (limits, false)).await, 999).await;
}

async fn fork_bomb(bench: &Bench, most: u64) {
    let script = "
import os, sys, time
made = 0
try:
    while made < 1000:
        if os.fork() == 0:
            time.sleep(100)
            os._exit(0)
        made += 1
except OSError: pass
print(made)";
    std::fs::write(bench.tree().join("bomb.py"), script).unwrap();
    let made: u64 = bench.sh("exec python3 bomb.py").await.ok().trim().parse().unwrap();
    assert!((1..=most).contains(&made), "{made} processes");
    let ran =
        bench.run(Command::new("b() { b | b & }; b; sleep 1000", Duration::from_secs(3)), CancellationToken::new());
    assert_eq!(ran.await.finished.ending, Ending::TimedOut);
    until(|| processes_of(&marker(bench)).is_empty()).await;
    bench.sh("true").await.ok();
}

/// Killed by somebody else, or for want of memory.
#[tokio::test]
async fn a_killed_guard_takes_the_command_with_it() {
    let bench = Bench::new().await;
    if !bench.needs("processes") {
        return;
    }
    let (sender, mut receiver) = mpsc::channel::<Output>(1);
    let command = Command::new("setsid sleep 4242 & echo started; sleep 4242", LONG);
    let run = bench.sandbox.run(&bench.place, &command, sender, CancellationToken::new());
    let marker = marker(&bench);
    let murder = async {
        assert_eq!(receiver.recv().await.unwrap().bytes, b"started\n");
        // All of the command's processes lead up to the guard, which is a child of ours.
        let mut process = processes_of(&marker)[0];
        while parent_of(process) != std::process::id().cast_signed() {
            process = parent_of(process);
        }
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(process), nix::sys::signal::Signal::SIGKILL).unwrap();
    };
    let (ended, ()) = tokio::join!(run, murder);
    assert!(matches!(ended, Err(Error::Guard { .. })), "{ended:?}");
    until(|| processes_of(&marker).is_empty()).await;
}

fn parent_of(process: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Every process a command of this bench starts has this in its environment.
fn marker(bench: &Bench) -> String {
    format!("HOME={}", bench.place.scratch.join("home").display())
}

fn processes_of(marker: &str) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let has_marker = |process: &i32| {
        let environment = std::fs::read(Path::new("/proc").join(process.to_string()).join("environ"));
        environment.is_ok_and(|bytes| bytes.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes()))
    };
    numbers.filter(has_marker).collect()
}
