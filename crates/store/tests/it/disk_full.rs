//! A disk with no room left: said clearly, survived, and over by itself.

use crate::{
    operate::{append_events, append_one as append, assert_whole, delete, hand_in, log, new_job, relieve, running_job},
    support::{event, is_waiting, until},
    writer::held_writer,
};
use bytes::Bytes;
use domain::{CanonicalJson, JobId};
use rusqlite::Connection;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use store::{BLOB_FOLDER, DATABASE_FILE, Error, Health, NewEvent, Options, RESERVE_FILE, Store};
use testkit::SmallDisk;

/// Enough for an empty data folder, few enough to fill at once.
const DISK_KIB: u32 = 6 << 10;

/// Commands that fill the disk at once, so that one always runs, and what is written all the same.
const RUNAWAYS: usize = 2;
/// Each takes up to 30 KiB, of a reserve of 512 on a disk this small.
const RELIEFS: u64 = 10;

fn large_event(number: u64) -> NewEvent {
    let payload = CanonicalJson::of(&serde_json::json!({"number": number, "text": "x".repeat(10_000)})).unwrap();
    NewEvent { payload, ..event(number) }
}

/// Appends until the store says why it cannot. Returns how many were acknowledged.
async fn append_until_full(store: Store, job: JobId) -> u64 {
    let mut acknowledged = 1; // that it was created
    loop {
        match append_events(&*store, job, vec![large_event(acknowledged)]).await {
            Ok(_) => acknowledged += 1,
            Err(Error::StorageFull(_)) => return acknowledged,
            Err(other) => panic!("{other}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_keeps_reads_and_is_over_when_space_returns() {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return };
    disk.occupy(2 << 20);
    let data = disk.path().join("data");
    let store = Store::open(Options::new(&data)).await.unwrap();
    let jobs = [new_job(&*store).await, new_job(&*store).await, new_job(&*store).await, new_job(&*store).await];
    let writers: Vec<_> = jobs.iter().map(|job| tokio::spawn(append_until_full(store.clone(), *job))).collect();
    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.push(writer.await.unwrap());
    }
    assert!(acknowledged.iter().sum::<u64>() > 50, "{acknowledged:?}");

    // No byte left, and none to be won from the store's own files.
    until("even a small write is refused", async || {
        disk.fill();
        matches!(append(&*store, jobs[0], 0).await.inspect(|_| acknowledged[0] += 1), Err(Error::StorageFull(_)))
    })
    .await;
    let health = store.health();
    assert!(matches!(&health, Health::NotWritable { reason } if reason.contains("full")), "{health:?}");
    let outcome = store.blobs().put_bytes(Bytes::from(vec![1; 100_000])).await;
    assert!(matches!(outcome, Err(Error::StorageFull(_))), "{outcome:?}");
    for (job, acknowledged) in jobs.iter().zip(&acknowledged) {
        let events = assert_whole(&*store, *job).await;
        assert_eq!(events.len() as u64, *acknowledged, "reads go on and show what was acknowledged, no more");
    }

    disk.empty();
    until("the store finds the space by itself", async || store.health().is_writable()).await;
    for (job, acknowledged) in jobs.iter().zip(&acknowledged) {
        assert_eq!(append(&*store, *job, 1).await.unwrap(), acknowledged + 1);
    }
    let left: Vec<_> = std::fs::read_dir(data.join(BLOB_FOLDER)).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");

    store.close().await;
    let store = Store::open(Options::new(&data)).await.unwrap();
    for (job, acknowledged) in jobs.iter().zip(&acknowledged) {
        assert_eq!(assert_whole(&*store, *job).await.len() as u64, acknowledged + 1);
    }
    store.close().await;
    let connection = Connection::open(data.join(DATABASE_FILE)).unwrap();
    let verdict: String = connection.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(verdict, "ok");
}

/// Everyone in a batch is told when its COMMIT has no room, also those whose own writes were small.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_does_not_fit_is_refused_as_a_whole() {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return };
    let store = Store::open(Options::new(disk.path().join("data"))).await.unwrap();
    let (small, large) = (new_job(&*store).await, new_job(&*store).await);
    let mut waiting = Vec::new();
    let go_on = held_writer(&store).await;
    for number in 0..3 {
        waiting.push(Box::pin(append(&*store, small, number)));
    }
    for request in &mut waiting {
        assert!(is_waiting(request.as_mut()).await);
    }
    let flood: Vec<_> = (0..2_000).map(large_event).collect();
    let mut flooding = Box::pin(append_events(&*store, large, flood));
    assert!(is_waiting(flooding.as_mut()).await);
    go_on.send(()).unwrap();
    let outcome: Result<_, Error> = flooding.await;
    assert!(matches!(outcome, Err(Error::StorageFull(_))), "{outcome:?}");
    let mut stored = 1;
    for request in waiting {
        match request.await {
            Ok(seq) => stored = seq,
            Err(error) => assert!(matches!(error, Error::StorageFull(_)), "{error}"),
        }
    }
    assert_eq!(log(&*store, small).await.len() as u64, stored, "acknowledged or gone, nothing between");
    assert_eq!(log(&*store, large).await.len(), 1);

    // There was room for small things all along, so the next one works, on a fresh connection.
    until("a small write works again", async || append(&*store, small, 9).await.is_ok()).await;
    assert_eq!(store.health(), Health::Writable);
    store.close().await;
}

/// A store on a disk that has no byte left, and one of its jobs, which has a large artifact.
async fn full(disk: &SmallDisk) -> (Store, JobId) {
    let store = Store::open(Options::new(disk.path().join("data"))).await.unwrap();
    let job = running_job(&*store).await;
    let blob = store.blobs().put_bytes(Bytes::from(vec![7; 2 << 20])).await.unwrap();
    hand_in(&*store, job, "output", &blob).await.unwrap();
    drop(blob);
    until("a small write is refused", async || {
        disk.fill();
        matches!(append(&*store, job, 0).await, Err(Error::StorageFull(_)))
    })
    .await;
    (store, job)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_work_and_frees_space_is_written_on_a_full_disk() {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return };
    let (store, job) = full(&disk).await;
    let before = log(&*store, job).await.len() as u64;
    for number in 1..=5 {
        assert_eq!(relieve(&*store, job, number).await.unwrap(), before + number, "the first needs the reserve");
    }
    // What was released is not for others.
    for number in 0..50 {
        let refused = append(&*store, job, number).await.unwrap_err();
        assert!(matches!(&refused, Error::StorageFull(reason) if reason.contains("KiB are free")), "{refused}");
    }
    let content = store.blobs().put_bytes(Bytes::from_static(b"small")).await;
    assert!(matches!(content, Err(Error::StorageFull(_))), "{content:?}");
    assert!(!store.health().is_writable(), "relief is no recovery");
    assert_eq!(relieve(&*store, job, 6).await.unwrap(), before + 6);
    assert_whole(&*store, job).await;

    // Deleting makes room, and everything goes on by itself.
    delete(&*store, job).await;
    until("there is room again", async || store.health().is_writable()).await;
    let next = new_job(&*store).await;
    assert_eq!(append(&*store, next, 1).await.unwrap(), 2);
    assert!(store.blobs().put_bytes(Bytes::from_static(b"small")).await.is_ok());
    store.close().await;
}

/// A runaway command takes every byte the moment it is free.
#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_never_stops_filling_the_disk_does_not_get_the_reserve() {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return };
    let (store, job) = full(&disk).await;
    let disk = Arc::new(disk);
    let stop = Arc::new(AtomicBool::new(false));
    let runaways: Vec<_> = (0..RUNAWAYS)
        .map(|_| {
            let (filling, stopped) = (disk.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stopped.load(Ordering::Relaxed) {
                    filling.fill();
                }
            })
        })
        .collect();
    let before = log(&*store, job).await.len() as u64;
    let mut written = Vec::new();
    for number in 1..=RELIEFS {
        written.push(relieve(&*store, job, number).await);
    }
    stop.store(true, Ordering::Relaxed);
    for runaway in runaways {
        runaway.join().unwrap();
    }
    let written: Vec<_> = written.into_iter().map(Result::unwrap).collect();
    assert_eq!(written, (before + 1..=before + RELIEFS).collect::<Vec<_>>());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_opened_read_and_relieved_after_a_restart() {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return };
    let (store, job) = full(&disk).await;
    let acknowledged = log(&*store, job).await.len() as u64;
    let mut store = store;
    // Again and again, as a supervisor does it; each time with no byte left.
    for number in 1..=3 {
        store.close().await;
        disk.fill();
        store = Store::open(Options::new(disk.path().join("data"))).await.unwrap();
        let health = store.health();
        assert!(matches!(&health, Health::NotWritable { reason } if reason.contains("full")), "{health:?}");
        assert!(matches!(append(&*store, job, 0).await, Err(Error::StorageFull(_))));
        assert_eq!(log(&*store, job).await.len() as u64, acknowledged + number - 1, "start {number}");
        assert_eq!(relieve(&*store, job, number).await.unwrap(), acknowledged + number, "start {number}");
    }
    delete(&*store, job).await;
    until("there is room again", async || store.health().is_writable()).await;
    let reserve = std::fs::metadata(disk.path().join("data").join(RESERVE_FILE)).unwrap();
    assert_eq!(reserve.len(), 4_096 + (512 << 10), "it is whole again");
    store.close().await;
}

/// Whoever would fit alone is not refused because of others in the batch.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_in_the_same_batch_does_not_stop_relief() {
    let Some(disk) = SmallDisk::mount(DISK_KIB) else { return };
    let store = Store::open(Options::new(disk.path().join("data"))).await.unwrap();
    let (small, large) = (new_job(&*store).await, new_job(&*store).await);
    let go_on = held_writer(&store).await;
    let mut first = Box::pin(relieve(&*store, small, 1));
    assert!(is_waiting(first.as_mut()).await);
    let flood: Vec<_> = (0..2_000).map(large_event).collect();
    let mut flooding = Box::pin(append_events(&*store, large, flood));
    assert!(is_waiting(flooding.as_mut()).await);
    let mut last = Box::pin(relieve(&*store, small, 2));
    assert!(is_waiting(last.as_mut()).await);
    go_on.send(()).unwrap();
    let outcome: Result<_, Error> = flooding.await;
    assert!(matches!(outcome, Err(Error::StorageFull(_))), "{outcome:?}");
    assert_eq!((first.await.unwrap(), last.await.unwrap()), (2, 3));
    until("everything goes on", async || store.health().is_writable()).await;
    assert_eq!(log(&*store, small).await.len(), 3, "nothing is written twice");
    store.close().await;
}
