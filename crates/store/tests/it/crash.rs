//! kill -9 at any moment: what was acknowledged is there.

use crate::{
    operate::{assert_whole, new},
    support::{event, job},
};
use domain::{JobId, JobState};
use rusqlite::Connection;
use std::{
    collections::HashMap,
    ffi::OsStr,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use store::{DATABASE_FILE, Found, JobRow, Options, Store, Urgency, Write};
use tokio::task::JoinSet;

const CYCLES: usize = 10;
const JOBS: usize = 6;
/// How long a process may write before it is killed, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 1..250;

/// The test runs itself again as the process that is killed.
#[tokio::test(flavor = "multi_thread")]
async fn ten_killed_processes_lose_nothing_they_acknowledged() {
    if let Some(folder) = std::env::var_os("STORE_TEST_WRITE") {
        return write_until_killed(&folder).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options::new(folder.path())).await.unwrap();
    for number in 0..JOBS {
        let row = JobRow { state: JobState::Running, running_ms: 1, ..job(number as i64) };
        store.create_job(new(&row)).await.unwrap();
    }
    store.close().await;

    let mut acknowledged: HashMap<JobId, u64> = HashMap::new();
    for cycle in 0..CYCLES {
        let life = Duration::from_millis(rand::random_range(LIFE_MS));
        for (job, seq) in life_of_a_writer(folder.path(), life) {
            let newest = acknowledged.entry(job).or_default();
            assert!(seq > *newest, "seq {seq} of {job} was acknowledged after {newest}");
            *newest = seq;
        }
        check(folder.path(), &acknowledged, cycle).await;
    }
    let total: u64 = acknowledged.values().sum();
    assert!(total > 100, "only {total} events were acknowledged in all: the writers hardly ran");
}

/// Starts a writer, kills it that long after its first acknowledgement, and returns all it acknowledged.
fn life_of_a_writer(folder: &Path, life: Duration) -> Vec<(JobId, u64)> {
    let mut writer = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::ten_killed_processes_lose_nothing_they_acknowledged", "--nocapture"])
        .env("STORE_TEST_WRITE", folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).split(b'\n').map_while(Result::ok);
    let first = lines.by_ref().find_map(|line| acknowledgement(&line)).expect("the writer acknowledges something");
    let killer = std::thread::spawn(move || {
        std::thread::sleep(life);
        writer.kill().unwrap();
        writer.wait().unwrap();
    });
    let mut all = vec![first];
    all.extend(lines.filter_map(|line| acknowledgement(&line)));
    killer.join().unwrap();
    all
}

/// `ack JOB SEQ .`: the dot shows that the line was not cut by the kill.
fn acknowledgement(line: &[u8]) -> Option<(JobId, u64)> {
    let text = std::str::from_utf8(line).ok()?;
    let (job, seq) = text.strip_prefix("ack ")?.strip_suffix(" .")?.split_once(' ')?;
    Some((job.parse().ok()?, seq.parse().ok()?))
}

async fn write_until_killed(folder: &OsStr) {
    let store = Store::open(Options::new(folder)).await.unwrap();
    let mut writers = JoinSet::new();
    for row in store.running_jobs().await.unwrap() {
        let store = store.clone();
        writers.spawn(async move {
            loop {
                // The state and the events that explain it: both or neither.
                let write = |found: &Found| {
                    let mut job = found.job.clone();
                    job.running_ms = job.head_seq + 3;
                    Ok(Some(Write::new(job, vec![event(1), event(2), event(3)])))
                };
                let answer = store.change_job(row.id, Urgency::Ordinary, Box::new(write));
                let seq = answer.await.unwrap().job.head_seq;
                println!("ack {} {seq} .", row.id);
            }
        });
    }
    writers.join_all().await; // ends only by a panic: they write until they are killed
}

async fn check(folder: &Path, acknowledged: &HashMap<JobId, u64>, cycle: usize) {
    let store = Store::open(Options::new(folder)).await.unwrap();
    let rows = store.running_jobs().await.unwrap();
    assert_eq!(rows.len(), JOBS, "cycle {cycle}");
    for row in rows {
        let events = assert_whole(&*store, row.id).await;
        let newest = acknowledged.get(&row.id).copied().unwrap_or_default();
        assert!(events.len() as u64 >= newest, "cycle {cycle}: {} of {newest} events of {}", events.len(), row.id);
        assert_eq!(events.len() % 3, 1, "cycle {cycle}: a part of a request");
        assert_eq!(row.running_ms, row.head_seq, "cycle {cycle}: the state without its events, or they without it");
    }
    store.close().await;
    let connection = Connection::open(folder.join(DATABASE_FILE)).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok", "cycle {cycle}");
}
