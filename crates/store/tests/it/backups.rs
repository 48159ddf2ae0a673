//! Backup while everything goes on, restore under another epoch, and what becomes of both when something breaks.

mod damage;

use crate::{
    operate::{append, assert_whole, delete, hand_in, log, running_job},
    support::{at, store, until},
};
use bytes::Bytes;
use domain::{Epoch, JobId};
use futures_util::StreamExt;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use store::{
    Archive, BLOB_FOLDER, DATABASE_FILE, Error, LostArtifacts, Manifest, Options, RESTORING_FOLDER, RestoreError,
    Store, manifest_of, unpack,
};
use tempfile::TempDir;

const VERSION: &str = "0.0.0-test";

async fn backup(store: &Store) -> Vec<u8> {
    rest_of(store.backup(at(7), VERSION).await.unwrap()).await
}

async fn rest_of(mut archive: Archive) -> Vec<u8> {
    let mut bytes = Vec::new();
    while let Some(chunk) = archive.next().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    bytes
}

/// Unpacked, looked through, and in place: what was lost, and whether the database was changed on its way.
async fn restored(archive: &[u8], folder: &Path) -> Result<(LostArtifacts, bool), RestoreError> {
    let unpacked = unpack(archive, folder, Epoch(9))?;
    let staged = Store::open(Options::new(unpacked.staging())).await.unwrap();
    let lost = unpacked.lost(&staged).await.unwrap();
    staged.close().await;
    let is_changed = unpacked.is_database_changed == Some(true);
    unpacked.finish().unwrap();
    Ok((lost, is_changed))
}

async fn put(store: &Store, job: JobId, name: &str, content: impl Into<Bytes>) -> String {
    let blob = store.blobs().put_bytes(content.into()).await.unwrap();
    hand_in(&**store, job, name, &blob).await.unwrap();
    blob.sha256.clone()
}

/// A store with a job and three artifacts: `a`, `b` and `c`, a thousand bytes each.
async fn with_artifacts() -> (TempDir, Store, JobId) {
    let (folder, store) = store().await;
    let job = running_job(&*store).await;
    for name in ["a", "b", "c"] {
        put(&store, job, name, name.repeat(1_000)).await;
    }
    (folder, store, job)
}

async fn content(store: &Store, job: JobId, name: &'static str) -> Result<Vec<u8>, Error> {
    let row = store.artifact(job, name.to_owned()).await.unwrap().unwrap().1.unwrap();
    let mut chunks = store.blobs().read(&row.sha256, row.bytes).await?;
    let mut content = Vec::new();
    while let Some(chunk) = chunks.next().await {
        content.extend_from_slice(&chunk.map_err(Error::BlobInput)?);
    }
    Ok(content)
}

fn names(lost: &LostArtifacts) -> Vec<&str> {
    assert_eq!(lost.count, lost.listed.len() as u64);
    let mut names: Vec<_> = lost.listed.iter().map(|lost| lost.name.as_str()).collect();
    names.sort_unstable();
    names
}

fn manifest(archive: &[u8]) -> Manifest {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, archive).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    manifest_of(&mut file).unwrap()
}

/// Where the entry of this name begins.
fn entry_at(archive: &[u8], name: &str) -> usize {
    let blocks = archive.chunks(512).enumerate();
    let header = blocks.filter(|(_, block)| block.starts_with(name.as_bytes()) && block[name.len()] == 0);
    header.map(|(number, _)| number * 512).next().unwrap()
}

fn blob_entry(sha256: &str) -> String {
    format!("{BLOB_FOLDER}/{}/{sha256}", &sha256[..2])
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut entries: Vec<_> = entries.collect();
    entries.sort();
    entries
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_holds_everything_acknowledged_before_it() {
    let (folder, store) = store().await;
    let job = running_job(&*store).await;
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = {
        let (store, stop, acknowledged) = (store.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let seq = append(&*store, job, 1..2).await.unwrap();
                acknowledged.store(seq, Ordering::SeqCst);
            }
        })
    };
    until("some events are there", async || acknowledged.load(Ordering::SeqCst) > 200).await;
    let before = acknowledged.load(Ordering::SeqCst);
    let archive = backup(&store).await;
    let during = acknowledged.load(Ordering::SeqCst);
    until("writes go on", async || acknowledged.load(Ordering::SeqCst) > during).await;
    stop.store(true, Ordering::SeqCst);
    writer.await.unwrap();
    let written = manifest(&archive);
    assert_eq!((written.version.as_str(), written.created_at, written.blobs), (VERSION, at(7), 0));

    let target = folder.path().join("restored");
    let (lost, is_changed) = restored(&archive, &target).await.unwrap();
    assert_eq!((lost, is_changed), (LostArtifacts::default(), false));
    let restored = Store::open(Options::new(&target)).await.unwrap();
    assert_eq!(restored.epoch(), Epoch(9));
    let events = assert_whole(&*restored, job).await;
    assert!(events.len() as u64 >= before, "{} of {before}", events.len());
    assert_eq!(events[..], log(&*store, job).await[..events.len()], "a prefix of the log");

    // The log goes on in the new epoch, linked to the old one.
    let seq = append(&*restored, job, 2..3).await.unwrap();
    let events = assert_whole(&*restored, job).await;
    assert_eq!((events[0].epoch, events[seq as usize - 1].epoch), (store.epoch(), Epoch(9)));
    restored.close().await;
    store.close().await;
}

#[tokio::test]
async fn restore_refuses_what_it_would_overwrite_or_cannot_read() {
    let (folder, store, _) = with_artifacts().await;
    let archive = backup(&store).await;
    let data = folder.path().join("data");
    let refused = |archive: &[u8], folder: &Path| unpack(archive, folder, Epoch(9)).unwrap_err();
    let in_use = refused(&archive, &data);
    assert!(matches!(in_use, RestoreError::Store(Error::FolderInUse { .. })), "{in_use}");
    store.close().await;
    let full = refused(&archive, &data);
    assert!(matches!(full, RestoreError::Store(Error::FolderNotEmpty { .. })), "{full}");

    let target = folder.path().join("target");
    for nothing in [&b""[..], b"hello", &[0; 2_048], &[7; 4_096]] {
        let refused = refused(nothing, &target);
        assert!(matches!(refused, RestoreError::NotABackup), "{refused}");
    }
    for length in [archive.len() / 2, archive.len() - 4_096, entry_at(&archive, "manifest.json")] {
        let cut = refused(&archive[..length], &target);
        assert!(matches!(cut, RestoreError::Incomplete), "{length}: {cut}");
    }
    // A page of the database overwritten: found before anything is in place.
    let mut damaged = archive.clone();
    damaged[512 + 4_096..512 + 3 * 4_096].fill(0xa5);
    let damaged = refused(&damaged, &target);
    assert!(matches!(&damaged, RestoreError::Damaged(what) if what.starts_with(DATABASE_FILE)), "{damaged}");
    assert_eq!(entries(&target), ["devmesh.lock"], "nothing half-done stays");

    restored(&archive, &target).await.unwrap();
    let again = refused(&archive, &target);
    assert!(
        matches!(&again, RestoreError::Store(Error::FolderNotEmpty { entry, .. }) if entry != "devmesh.lock"),
        "{again}"
    );
}

#[tokio::test]
async fn a_changed_bit_costs_the_file_it_is_in_and_no_more() {
    let (folder, store, job) = with_artifacts().await;
    let archive = backup(&store).await;
    store.close().await;
    let first = archive.windows(6).position(|window| window == b"blobs/").unwrap();
    let mut kept = 0;
    // Headers, content, padding, the manifest, the end mark: bits all over, at distances that hit each field of a header.
    for (number, position) in (first..archive.len()).step_by(173).enumerate() {
        let mut changed = archive.clone();
        changed[position] ^= 1 << (number % 8);
        let target = folder.path().join(format!("restored-{number}"));
        let (lost, _) = restored(&changed, &target).await.unwrap_or_else(|error| panic!("byte {position}: {error}"));
        assert!(lost.count <= 1, "byte {position}: {lost:?}");
        let restored = Store::open(Options::new(&target)).await.unwrap();
        for name in ["a", "b", "c"] {
            match content(&restored, job, name).await {
                Ok(content) => {
                    assert_eq!(content, name.repeat(1_000).as_bytes());
                    kept += 1;
                }
                Err(error) => {
                    assert!(matches!(error, Error::BlobLost { .. }), "{error}");
                    assert_eq!(names(&lost), [name], "byte {position}: what was lost is said by name");
                }
            }
        }
        restored.close().await;
    }
    assert!(kept > 40, "{kept}");
}

#[tokio::test]
async fn what_a_folder_has_lost_is_named_by_its_backup_and_by_what_is_made_of_it() {
    let (folder, store, job) = with_artifacts().await;
    let other = running_job(&*store).await;
    let digest = put(&store, other, "same as b", "b".repeat(1_000)).await;
    let path = store.blobs().path(&digest).unwrap();
    std::fs::write(&path, "x".repeat(1_000)).unwrap();
    let lost = put(&store, job, "cut", "cut".repeat(500)).await;
    std::fs::write(store.blobs().path(&lost).unwrap(), "cut").unwrap();
    let gone = put(&store, job, "gone", "gone").await;
    std::fs::remove_file(store.blobs().path(&gone).unwrap()).unwrap();

    let archive = backup(&store).await;
    store.close().await;
    let written = manifest(&archive);
    assert_eq!(names(&written.lost), ["b", "cut", "gone", "same as b"]);
    assert_eq!(written.blobs, 2, "a and c");
    let condition = |name: &str| written.lost.listed.iter().find(|lost| lost.name == name).unwrap().condition.clone();
    assert_eq!(condition("gone"), "missing");
    assert_eq!(condition("cut"), "damaged (it has 3 bytes instead of 1500)");
    assert!(condition("b").starts_with("damaged (its SHA-256 is "), "{}", condition("b"));

    let target = folder.path().join("restored");
    let (lost, _) = restored(&archive, &target).await.unwrap();
    assert_eq!(names(&lost), ["b", "cut", "gone", "same as b"]);
    let restored = Store::open(Options::new(&target)).await.unwrap();
    assert_eq!(content(&restored, job, "a").await.unwrap(), "a".repeat(1_000).as_bytes());
    assert!(content(&restored, job, "b").await.is_err());
    restored.close().await;
}

#[tokio::test]
async fn what_is_deleted_or_replaced_while_a_backup_is_read_is_in_it() {
    let (folder, store, job) = with_artifacts().await;
    // More than waits for the reader, so that the content is read after the deletion.
    put(&store, job, "big", vec![7; 3_000_000]).await;
    let named = store.named_content(None, 100).await.unwrap();
    let digests: Vec<_> = named.into_iter().map(|row| row.sha256).collect();
    let is_there = |sha256: &String| store.blobs().path(sha256).unwrap().exists();
    let archive = store.backup(at(7), VERSION).await.unwrap();
    put(&store, job, "b", "replaced").await;
    delete(&*store, job).await;
    // Another commit, after which removed content would be gone.
    let after = running_job(&*store).await;
    append(&*store, after, 1..2).await.unwrap();
    assert!(digests.iter().all(is_there));
    let archive = rest_of(archive).await;
    until("content goes once the backup is read", async || !digests.iter().any(is_there)).await;
    store.close().await;

    let target = folder.path().join("restored");
    let (lost, _) = restored(&archive, &target).await.unwrap();
    assert_eq!(lost, LostArtifacts::default());
    let restored = Store::open(Options::new(&target)).await.unwrap();
    assert_eq!(content(&restored, job, "b").await.unwrap(), "b".repeat(1_000).as_bytes());
    assert_eq!(content(&restored, job, "big").await.unwrap(), vec![7; 3_000_000]);
    restored.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_backup_ends_leaves_nothing_and_stands_in_nobodys_way() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let options = Options { backup_pause: Duration::from_millis(600), ..Options::new(&data) };
    let store = Store::open(options).await.unwrap();
    let job = running_job(&*store).await;
    let big = put(&store, job, "big", vec![7; 3_000_000]).await;
    let before = entries(&data);

    // While the database is copied.
    for _ in 0..20 {
        let mut beginning = Box::pin(store.backup(at(7), VERSION));
        assert!(futures_util::poll!(&mut beginning).is_pending());
        drop(beginning);
        backup(&store).await;
    }
    // While content is written.
    for _ in 0..20 {
        let mut archive = store.backup(at(7), VERSION).await.unwrap();
        archive.next().await.unwrap().unwrap();
        drop(archive);
        backup(&store).await;
    }
    assert_eq!(entries(&data), before);

    // Whoever reads has it for themselves, and whoever has stopped reading does not.
    let mut read = store.backup(at(7), VERSION).await.unwrap();
    read.next().await.unwrap().unwrap();
    let refused = store.backup(at(7), VERSION).await.err();
    assert!(matches!(refused, Some(Error::BackupRunning)), "{refused:?}");
    let stopped = read;
    let next = async || match store.backup(at(7), VERSION).await {
        Ok(archive) => Some(archive),
        Err(Error::BackupRunning) => None,
        Err(other) => panic!("{other}"),
    };
    let mut taken_over = None;
    until("another one takes its place", async || {
        taken_over = next().await;
        taken_over.is_some()
    })
    .await;
    rest_of(taken_over.unwrap()).await;
    let mut cut = stopped;
    let mut last = None;
    while let Some(chunk) = cut.next().await {
        last = Some(chunk);
    }
    assert!(matches!(last, Some(Err(_))), "what was given up does not look whole");

    // One that nobody reads ends by itself, and content that could go does.
    let silent = store.backup(at(7), VERSION).await.unwrap();
    delete(&*store, job).await;
    until("it no longer holds anything", async || !store.blobs().path(&big).unwrap().exists()).await;
    drop(silent);
    store.close().await;
    assert_eq!(entries(&data), ["blobs", "devmesh.db", "devmesh.lock", "reserve"]);
}

/// The folder as a restore leaves it that is killed after each of its steps.
fn killed_after(archive: &[u8], folder: &Path, step: &str) {
    let unpacked = unpack(archive, folder, Epoch(8)).unwrap();
    let staging: PathBuf = unpacked.staging().to_owned();
    let kept = folder.with_extension("kept");
    std::fs::rename(&staging, &kept).unwrap();
    drop(unpacked);
    std::fs::rename(&kept, &staging).unwrap();
    match step {
        "begun" => {
            std::fs::remove_dir_all(&staging).unwrap();
            std::fs::create_dir(&staging).unwrap();
        }
        "unpacked" => {}
        "content in place" => std::fs::rename(staging.join(BLOB_FOLDER), folder.join(BLOB_FOLDER)).unwrap(),
        "token in place" => {
            std::fs::rename(staging.join(BLOB_FOLDER), folder.join(BLOB_FOLDER)).unwrap();
            std::fs::write(folder.join("admin-token"), "of the killed one").unwrap();
        }
        _ => panic!("{step}"),
    }
}

#[tokio::test]
async fn a_killed_restore_is_refused_by_a_start_and_taken_over_by_the_next() {
    let (folder, store, job) = with_artifacts().await;
    let archive = backup(&store).await;
    store.close().await;
    for (number, step) in ["begun", "unpacked", "content in place", "token in place"].into_iter().enumerate() {
        let target = folder.path().join(format!("target-{number}"));
        killed_after(&archive, &target, step);
        let refused = Store::open(Options::new(&target)).await.unwrap_err();
        assert!(matches!(refused, Error::RestoreUnfinished { .. }), "{step}: {refused}");
        assert!(refused.to_string().contains("devmesh restore FILE --data"), "{refused}");
        assert!(!target.join(DATABASE_FILE).exists(), "{step}: nothing is begun on it");
        let (lost, _) = restored(&archive, &target).await.unwrap();
        assert_eq!(lost, LostArtifacts::default(), "{step}");
        let restored = Store::open(Options::new(&target)).await.unwrap();
        assert_eq!(content(&restored, job, "c").await.unwrap(), "c".repeat(1_000).as_bytes());
        restored.close().await;
    }
    // In its very last moment: all is there, and the next start clears up.
    let target = folder.path().join("target-0");
    std::fs::create_dir(target.join(RESTORING_FOLDER)).unwrap();
    Store::open(Options::new(&target)).await.unwrap().close().await;
    assert!(!target.join(RESTORING_FOLDER).exists());
}

#[tokio::test]
async fn an_archive_of_format_1_is_restored() {
    let (folder, store, job) = with_artifacts().await;
    let archive = backup(&store).await;
    store.close().await;
    // What format 1 wrote: the same files, and a manifest that knows less.
    let manifest_at = entry_at(&archive, "manifest.json");
    let written = manifest(&archive);
    let manifest = serde_json::json!({
        "format": 1, "version": "0.0.1", "created_at": written.created_at, "database_bytes": written.database_bytes, "blobs": 3,
    });
    let manifest = serde_json::to_vec_pretty(&manifest).unwrap();
    let mut builder = tar::Builder::new(archive[..manifest_at].to_vec());
    let mut header = tar::Header::new_gnu();
    header.set_size(manifest.len() as u64);
    header.set_mode(0o600);
    builder.append_data(&mut header, "manifest.json", manifest.as_slice()).unwrap();
    let mut old = builder.into_inner().unwrap();
    let target = folder.path().join("restored");
    assert_eq!(restored(&old, &target).await.unwrap(), (LostArtifacts::default(), false));
    let restored_store = Store::open(Options::new(&target)).await.unwrap();
    assert_eq!(content(&restored_store, job, "a").await.unwrap(), "a".repeat(1_000).as_bytes());
    restored_store.close().await;
    // Damage in it costs no more than in one of now.
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest("a".repeat(1_000)));
    let at = entry_at(&old, &blob_entry(&digest)) + 512;
    old[at] ^= 1;
    let (lost, _) = restored(&old, &folder.path().join("damaged")).await.unwrap();
    assert_eq!(names(&lost), ["a"]);
}

#[tokio::test]
async fn a_bit_of_the_database_that_sqlite_does_not_mind_is_told() {
    let (folder, store, _) = with_artifacts().await;
    let archive = backup(&store).await;
    store.close().await;
    let mut changed = archive.clone();
    // In the text of the job's specification.
    let task = b"mend the test";
    let position = changed.windows(task.len()).position(|window| window == task).unwrap();
    changed[position] ^= 1;
    let (_, is_changed) = restored(&changed, &folder.path().join("restored")).await.unwrap();
    assert!(is_changed);
}

fn entry(archive: &mut tar::Builder<Vec<u8>>, name: &[u8], kind: tar::EntryType, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o600);
    // Written as bytes, because the library refuses to write what an attacker would.
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    if kind == tar::EntryType::Symlink {
        header.set_link_name("/etc/passwd").unwrap();
    }
    header.set_cksum();
    archive.append(&header, content).unwrap();
}

#[test]
fn nothing_in_an_archive_leads_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let blob = blob_entry(&"ab".repeat(32));
    let file = tar::EntryType::Regular;
    let hostile: &[(&[u8], tar::EntryType)] = &[
        (b"../escaped", file),
        (b"/tmp/devmesh-escaped", file),
        (b"blobs/../../escaped", file),
        (b"blobs/ab/../../../escaped", file),
        (b"./devmesh.db", file),
        (b"blobs/ab/short", file),
        (b"devmesh.lock", file),
        (b"admin-token", file),
        (b"devmesh.db", tar::EntryType::Symlink),
        (b"devmesh.db", tar::EntryType::Link),
        (blob.as_bytes(), tar::EntryType::Symlink),
        (b"blobs", tar::EntryType::Directory),
    ];
    for (number, (name, kind)) in hostile.iter().enumerate() {
        let folder = outside.path().join(format!("folder-{number}"));
        let mut archive = tar::Builder::new(Vec::new());
        entry(&mut archive, name, *kind, b"");
        let refused = unpack(archive.into_inner().unwrap().as_slice(), &folder, Epoch(1)).unwrap_err();
        assert!(matches!(refused, RestoreError::UnknownEntry(_)), "{}: {refused}", String::from_utf8_lossy(name));
        assert_eq!(entries(&folder), ["devmesh.lock"]);
    }
    assert_eq!(entries(outside.path()).len(), hostile.len());
}
