//! Backup while writing, restore under another epoch.

use crate::support::{append, assert_whole, log, new_job, store};
use domain::Epoch;
use std::{
    os::unix::fs::PermissionsExt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use store::{DATABASE_FILE, Error, Options, Store, restore};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_holds_everything_acknowledged_before_it() {
    let (folder, store) = store().await;
    let job = new_job(&store).await;
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (store, stop, acknowledged) = (store.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let seq = append(&store, job, 1).await.unwrap();
                acknowledged.store(seq, Ordering::SeqCst);
            }
        })
    };
    crate::support::until("some events are there", async || acknowledged.load(Ordering::SeqCst) > 200).await;
    let before = acknowledged.load(Ordering::SeqCst);
    let file = folder.path().join("backup.db");
    store.backup(file.clone()).await.unwrap();
    let during = acknowledged.load(Ordering::SeqCst);
    crate::support::until("writes go on", async || acknowledged.load(Ordering::SeqCst) > during).await;
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(store.backup(file.clone()).await, Err(Error::FileExists(_))));

    let new_epoch = Epoch(store.epoch().0.wrapping_add(1));
    let target = folder.path().join("restored");
    restore(&file, &target, new_epoch).unwrap();
    let restored = Store::open(Options::new(&target)).await.unwrap();
    assert_eq!(restored.epoch(), new_epoch);
    let events = assert_whole(&restored, job).await;
    assert!(events.len() as u64 >= before, "{} of {before}", events.len());
    assert_eq!(events[..], log(&store, job).await[..events.len()], "a prefix of the log");

    // The log goes on in the new epoch, linked to the old one.
    let seq = append(&restored, job, 2).await.unwrap();
    let events = assert_whole(&restored, job).await;
    assert_eq!((events[0].epoch, events[seq as usize - 1].epoch), (store.epoch(), new_epoch));
    restored.close().await;
    store.close().await;
}

#[tokio::test]
async fn restore_refuses_what_it_would_overwrite_or_cannot_read() {
    let (folder, store) = store().await;
    new_job(&store).await;
    let file = folder.path().join("backup.db");
    store.backup(file.clone()).await.unwrap();
    let epoch = Epoch(1);

    let in_use = restore(&file, &folder.path().join("data"), epoch).unwrap_err();
    assert!(matches!(in_use, Error::FolderInUse { .. }), "{in_use}");
    store.close().await;
    let full = restore(&file, &folder.path().join("data"), epoch).unwrap_err();
    assert!(matches!(full, Error::FolderNotEmpty { .. }), "{full}");

    let target = folder.path().join("target");
    let absent = restore(&folder.path().join("nothing"), &target, epoch).unwrap_err();
    assert!(absent.to_string().contains("nothing could not be opened"), "{absent}");
    std::fs::write(folder.path().join("empty"), "").unwrap();
    let empty = restore(&folder.path().join("empty"), &target, epoch).unwrap_err();
    assert!(matches!(empty, Error::ForeignDatabase { .. }), "{empty}");

    // A page in the middle overwritten: found before anything is in place.
    let mut damaged = std::fs::read(&file).unwrap();
    for byte in &mut damaged[4_096..3 * 4_096] {
        *byte = 0xa5;
    }
    std::fs::write(folder.path().join("damaged"), damaged).unwrap();
    let damaged = restore(&folder.path().join("damaged"), &target, epoch).unwrap_err();
    assert!(matches!(damaged, Error::Corrupt(_)), "{damaged}");
    assert!(!target.join(DATABASE_FILE).exists());

    restore(&file, &target, epoch).unwrap();
    let again = restore(&file, &target, epoch).unwrap_err();
    assert!(matches!(&again, Error::FolderNotEmpty { entry, .. } if entry == DATABASE_FILE), "{again}");
}

#[tokio::test]
async fn a_backup_that_cannot_be_written_leaves_nothing() {
    let (folder, store) = store().await;
    let missing = folder.path().join("no/such/folder/backup.db");
    let refused = store.backup(missing).await.unwrap_err();
    assert!(matches!(refused, Error::File { .. }), "{refused}");
    append(&store, new_job(&store).await, 1).await.unwrap();
    store.close().await;
}
