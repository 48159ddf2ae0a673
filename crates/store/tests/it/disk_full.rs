//! A disk with no room left: said clearly, survived, and over by itself.

use crate::support::{append, assert_whole, event, log, new_job, until};
use bytes::Bytes;
use domain::{CanonicalJson, JobId};
use rusqlite::Connection;
use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use store::{BLOB_FOLDER, DATABASE_FILE, Error, Health, NewEvent, Options, Store};
use tempfile::TempDir;

/// A small disk of its own, unmounted in the end.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this user may not mount, or there is nothing to mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let kind = ["-t", "tmpfs", "-o", "size=6m,mode=700", "small"];
        let mounted = Command::new("mount").args(kind).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder)),
            _ => None,
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Somebody else's file, to be deleted later.
    fn occupy(&self, bytes: usize) {
        std::fs::write(self.filler(), vec![0; bytes]).unwrap();
    }

    /// Takes every free byte.
    fn fill(&self) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).unwrap();
        while filler.write(&[0; 4_096]).is_ok_and(|written| written > 0) {}
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()), "{} stays mounted", self.path().display());
    }
}

fn large_event(number: u64) -> NewEvent {
    let payload = CanonicalJson::of(&serde_json::json!({"number": number, "text": "x".repeat(10_000)})).unwrap();
    NewEvent { payload, ..event(number) }
}

/// Appends until the store says why it cannot. Returns how many were acknowledged.
async fn append_until_full(store: Store, job: JobId) -> u64 {
    let mut acknowledged = 0;
    loop {
        let number = acknowledged;
        match store.write(move |transaction| transaction.append(job, &[large_event(number)])).await {
            Ok(_) => acknowledged += 1,
            Err(Error::StorageFull(_)) => return acknowledged,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_reads_and_is_over_when_space_returns() {
    let Some(disk) = SmallDisk::mount() else {
        println!(
            "skipped: a_full_disk_refuses_writes_keeps_reads_and_is_over_when_space_returns cannot mount a disk here"
        );
        return;
    };
    disk.occupy(2 << 20);
    let data = disk.path().join("data");
    let store = Store::open(Options::new(&data)).await.unwrap();
    let jobs = [new_job(&store).await, new_job(&store).await, new_job(&store).await, new_job(&store).await];
    let writers: Vec<_> = jobs.iter().map(|job| tokio::spawn(append_until_full(store.clone(), *job))).collect();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.push(writer.await.unwrap());
    }
    assert!(acknowledged.iter().sum::<u64>() > 50, "{acknowledged:?}");

    // No byte left, and none to be won from the store's own files.
    until("even a small write is refused", async || {
        disk.fill();
        matches!(append(&store, jobs[0], 0).await.inspect(|_| acknowledged[0] += 1), Err(Error::StorageFull(_)))
    })
    .await;
    let health = store.health();
    assert!(matches!(&health, Health::NotWritable { reason } if reason.contains("full")), "{health:?}");
    let outcome = store.blobs().put_bytes(Bytes::from(vec![1; 100_000])).await;
    assert!(matches!(outcome, Err(Error::StorageFull(_))), "{outcome:?}");
    for (job, acknowledged) in jobs.iter().zip(&acknowledged) {
        let events = assert_whole(&store, *job).await;
        assert_eq!(events.len() as u64, *acknowledged, "reads go on and show what was acknowledged, no more");
    }

    std::fs::remove_file(disk.filler()).unwrap();
    until("the store finds the space by itself", async || store.health().is_writable()).await;
    for (job, acknowledged) in jobs.iter().zip(&acknowledged) {
        assert_eq!(append(&store, *job, 1).await.unwrap(), acknowledged + 1);
    }
    let left: Vec<_> = std::fs::read_dir(data.join(BLOB_FOLDER)).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    store.close().await;
    let store = Store::open(Options::new(&data)).await.unwrap();
    for (job, acknowledged) in jobs.iter().zip(&acknowledged) {
        assert_eq!(assert_whole(&store, *job).await.len() as u64, acknowledged + 1);
    }
    store.close().await;
    let connection = Connection::open(data.join(DATABASE_FILE)).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// Everyone in a batch is told when its COMMIT has no room, also those whose own writes were small.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_does_not_fit_is_refused_as_a_whole() {
    let Some(disk) = SmallDisk::mount() else {
        println!("skipped: a_batch_that_does_not_fit_is_refused_as_a_whole cannot mount a disk here");
        return;
    };
    let store = Store::open(Options::new(disk.path().join("data"))).await.unwrap();
    let (small, large) = (new_job(&store).await, new_job(&store).await);
    let mut waiting = Vec::new();
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let holding = store.write(move |_| held.recv().map_err(|_| Error::Closed));
    let mut holding = Box::pin(holding);
    assert!(crate::support::is_waiting(holding.as_mut()).await);
    for number in 0..3 {
        waiting.push(Box::pin(append(&store, small, number)));
    }
    for request in &mut waiting {
        assert!(crate::support::is_waiting(request.as_mut()).await);
    }
    let flood: Vec<_> = (0..2_000).map(large_event).collect();
    let mut flooding = Box::pin(store.write(move |transaction| transaction.append(large, &flood)));
    assert!(crate::support::is_waiting(flooding.as_mut()).await);
    go_on.send(()).unwrap();
    holding.await.ok();
    let outcome: Result<_, Error> = flooding.await;
    assert!(matches!(outcome, Err(Error::StorageFull(_))), "{outcome:?}");
    let mut stored = 0;
    for request in waiting {
        match request.await {
            Ok(seq) => stored = seq,
            Err(error) => assert!(matches!(error, Error::StorageFull(_)), "{error}"),
        }
    }
    assert_eq!(log(&store, small).await.len() as u64, stored, "acknowledged or gone, nothing between");
    assert_eq!(log(&store, large).await, []);

    // There was room for small things all along, so the next one works, on a fresh connection.
    until("a small write works again", async || append(&store, small, 9).await.is_ok()).await;
    assert_eq!(store.health(), Health::Writable);
    store.close().await;
}
