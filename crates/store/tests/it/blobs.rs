//! Content-addressed files.

use crate::{
    operate::{append, delete, hand_in, put_back, running_job},
    support::{PATIENCE, reopened, store, until},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::{io, os::unix::fs::PermissionsExt, path::Path, process::Command};
use store::{BLOB_FOLDER, Condition, ContentPlace, DATABASE_FILE, Error, Options, Store};

fn chunks(parts: &'static [&'static str]) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))))
}

fn half_done(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder.join("data").join(BLOB_FOLDER)).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.')).count()
}

/// A broken disk is one fault, whether a row or content meets it.
#[tokio::test]
async fn content_that_cannot_be_written_is_the_disks_fault() {
    let (folder, store) = store().await;
    std::fs::remove_dir_all(folder.path().join("data").join(store::BLOB_FOLDER)).unwrap();
    let outcome = store.blobs().put_bytes(Bytes::from_static(b"x")).await;
    assert!(matches!(outcome, Err(Error::StorageFailed(_))), "{outcome:?}");
    store.close().await;
}

#[tokio::test]
async fn content_is_stored_once_under_its_digest_for_its_owner_alone() {
    let (folder, store) = store().await;
    let stored = store.blobs().put(chunks(&["hello ", "", "world"]), 11).await.unwrap();
    // printf 'hello world' | sha256sum
    assert_eq!(stored.sha256, "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9");
    assert_eq!(stored.bytes, 11);
    let path = store.blobs().path(&stored.sha256).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"hello world");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let again = store.blobs().put_bytes(Bytes::from_static(b"hello world")).await.unwrap();
    assert_eq!((again.bytes, again.sha256), (stored.bytes, stored.sha256));
    let empty = store.blobs().put(chunks(&[]), 0).await.unwrap();
    assert_eq!((empty.bytes, &empty.sha256[..8]), (0, "e3b0c442"));
    assert_eq!(half_done(folder.path()), 0);
    store.close().await;
}

#[tokio::test]
async fn too_much_broken_or_abandoned_content_leaves_nothing() {
    let (folder, store) = store().await;
    let outcome = store.blobs().put(chunks(&["hello ", "world"]), 10).await;
    assert!(matches!(outcome, Err(Error::BlobTooLarge { limit_bytes: 10 })), "{outcome:?}");
    let broken = chunks(&["hello"]).chain(stream::iter([Err(io::Error::other("gone"))]));
    let outcome = store.blobs().put(broken, 100).await;
    assert!(matches!(&outcome, Err(Error::BlobInput(error)) if error.to_string() == "gone"), "{outcome:?}");
    let silent = chunks(&["hello"]).chain(stream::pending());
    tokio::select! {
        biased;
        _ = store.blobs().put(silent, 100) => unreachable!("the stream never ends"),
        () = until("the first bytes are on disk", async || half_done(folder.path()) == 1) => {}
    }
    until("what was abandoned is gone", async || half_done(folder.path()) == 0).await;

    // What a killed process left goes at the next start.
    std::fs::write(folder.path().join("data").join(BLOB_FOLDER).join(".incoming-7"), "half").unwrap();
    let store = reopened(&folder, store).await;
    assert_eq!(half_done(folder.path()), 0);
    store.close().await;
}

#[tokio::test]
async fn a_name_that_is_no_digest_leads_nowhere() {
    let (_folder, store) = store().await;
    for name in ["", "..", "../../etc/passwd", &"A".repeat(64), &"é".repeat(32), &format!("{}/", "a".repeat(63))] {
        assert!(matches!(store.blobs().path(name), Err(Error::NotADigest(_))), "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn content_goes_with_the_last_artifact_that_names_it() {
    let (_folder, store) = store().await;
    let (first, second) = (running_job(&*store).await, running_job(&*store).await);
    let shared = store.blobs().put(chunks(&["shared"]), 100).await.unwrap();
    let old = store.blobs().put(chunks(&["old"]), 100).await.unwrap();
    for (job, name, blob) in [(first, "a", &shared), (second, "a", &shared), (second, "b", &old)] {
        hand_in(&*store, job, name, blob).await.unwrap();
    }
    let mut expected = [(&shared, first, "a"), (&shared, second, "a"), (&old, second, "b")]
        .map(|(blob, job, name)| (blob.sha256.clone(), job, name.to_owned()));
    expected.sort_by(|one, other| (&one.0, one.1.0, &one.2).cmp(&(&other.0, other.1.0, &other.2)));
    let named = async |after: Option<ContentPlace>| {
        let page = store.named_content(after, 10).await.unwrap();
        page.into_iter().map(|row| (row.sha256, row.job_id, row.name)).collect::<Vec<_>>()
    };
    assert_eq!(named(None).await, expected);
    let (sha256, job_id, name) = expected[0].clone();
    assert_eq!(named(Some(ContentPlace { sha256, job_id, name })).await, expected[1..]);

    let is_there = |sha256: &str| store.blobs().path(sha256).unwrap().exists();
    hand_in(&*store, second, "b", &shared).await.unwrap();
    // Nobody is about to name it any more.
    let [shared, old] = [shared, old].map(|blob| blob.sha256);
    until("replaced content is removed", async || !is_there(&old)).await;

    delete(&*store, first).await;
    let undone = store.delete_job(second, Box::new(|_| Err(Error::Closed.into()))).await;
    assert!(undone.is_err());
    assert!(is_there(&shared), "an artifact still names it");
    delete(&*store, second).await;
    until("unused content is removed", async || !is_there(&shared)).await;
    store.close().await;
}

#[tokio::test]
async fn an_artifact_without_content_is_refused() {
    let (_folder, store) = store().await;
    let job = running_job(&*store).await;
    let stored = store.blobs().put(chunks(&["x"]), 1).await.unwrap();
    std::fs::remove_file(store.blobs().path(&stored.sha256).unwrap()).unwrap();
    let outcome = hand_in(&*store, job, "patch", &stored).await;
    assert!(matches!(outcome, Err(Error::BlobMissing(_))), "{outcome:?}");
    store.close().await;
}

/// The content there is, by what lies in the folders.
fn on_disk(folder: &Path) -> Vec<String> {
    let shards = std::fs::read_dir(folder.join("data").join(BLOB_FOLDER)).unwrap().map(|entry| entry.unwrap().path());
    let files = shards.filter(|path| path.is_dir()).flat_map(|shard| std::fs::read_dir(shard).unwrap());
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What is known of content, whether or not there is a file of it: digests and how many artifacts name each.
fn rows(folder: &Path) -> Vec<(String, u32)> {
    let database = Connection::open(folder.join("data").join(DATABASE_FILE)).unwrap();
    let mut statement = database.prepare("SELECT sha256, artifacts FROM blobs ORDER BY sha256").unwrap();
    let rows = statement.query_map((), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn content_that_is_never_named_goes_as_soon_as_nobody_is_about_to() {
    let (folder, store) = store().await;
    let stored = store.blobs().put(chunks(&["refused"]), 100).await.unwrap();
    let other = store.blobs().put(chunks(&["refused"]), 100).await.unwrap();
    let (job, ended) = (running_job(&*store).await, running_job(&*store).await);
    put_back(&*store, ended).await;
    let refused = hand_in(&*store, ended, "patch", &stored).await;
    assert!(refused.is_err(), "{refused:?}");
    drop(stored);
    // A commit after the one that could have removed it.
    append(&*store, job, 1..2).await.unwrap();
    hand_in(&*store, job, "patch", &other).await.unwrap();
    assert_eq!(
        on_disk(folder.path()),
        std::slice::from_ref(&other.sha256),
        "somebody else was about to name it, and did"
    );
    assert_eq!(rows(folder.path()), [(other.sha256.clone(), 1)]);
    drop(other);

    drop(store.blobs().put(chunks(&["of no use"]), 100).await.unwrap());
    until("it is gone", async || on_disk(folder.path()).len() == 1 && rows(folder.path()).len() == 1).await;
    delete(&*store, job).await;
    until("and so is the rest", async || on_disk(folder.path()).is_empty() && rows(folder.path()).is_empty()).await;
    store.close().await;
}

#[tokio::test]
async fn a_start_removes_what_a_crash_left_unnamed_and_what_no_row_knows() {
    let (folder, store) = store().await;
    let job = running_job(&*store).await;
    let named = store.blobs().put(chunks(&["named"]), 100).await.unwrap();
    hand_in(&*store, job, "a", &named).await.unwrap();
    let named = named.sha256.clone();
    store.close().await;

    // As a process leaves it that dies between the row and the artifact; more than goes in one step.
    let blobs = folder.path().join("data").join(BLOB_FOLDER);
    let database = Connection::open(folder.path().join("data").join(DATABASE_FILE)).unwrap();
    for number in 0..200 {
        let digest = hex::encode(Sha256::digest(format!("{number}")));
        std::fs::create_dir_all(blobs.join(&digest[..2])).unwrap();
        std::fs::write(blobs.join(&digest[..2]).join(&digest), format!("{number}")).unwrap();
        if number % 2 == 0 {
            database.execute("INSERT INTO blobs (sha256, bytes, artifacts) VALUES (?1, 1, 0)", [digest]).unwrap();
        }
    }
    drop(database);
    // What is not ours is left alone.
    std::fs::write(blobs.join(&named[..2]).join("README"), "by hand").unwrap();
    let store = Store::open(Options::new(folder.path().join("data"))).await.unwrap();
    until("what nobody names is gone", async || {
        on_disk(folder.path()).len() == 2 && rows(folder.path()) == [(named.clone(), 1)]
    })
    .await;
    assert!(on_disk(folder.path()).contains(&named) && on_disk(folder.path()).contains(&"README".to_owned()));
    store.close().await;
}

#[tokio::test]
async fn what_is_read_is_what_was_stored_or_the_reader_is_told() {
    let (_folder, store) = store().await;
    let blobs = store.blobs();
    let contents = [Bytes::new(), Bytes::from_static(b"short"), Bytes::from(vec![7; 1_000_000])];
    for content in contents {
        let stored = blobs.put_bytes(content.clone()).await.unwrap();
        let (sha256, bytes) = (stored.sha256.as_str(), stored.bytes);
        let read = async || {
            let mut chunks = blobs.read(sha256, bytes).await?;
            let mut read = Vec::new();
            while let Some(chunk) = chunks.next().await {
                read.extend_from_slice(&chunk.map_err(Error::BlobInput)?);
            }
            Ok::<_, Error>(read)
        };
        assert_eq!(read().await.unwrap(), content);
        assert_eq!(blobs.check(sha256, bytes).await.unwrap(), Condition::Whole);

        let path = blobs.path(sha256).unwrap();
        let Some(last) = content.len().checked_sub(1) else { continue };
        let mut flipped = content.to_vec();
        flipped[last] ^= 1;
        std::fs::write(&path, flipped).unwrap();
        let mut given = 0;
        let refused = match blobs.read(sha256, bytes).await {
            Err(refused) => refused.to_string(),
            Ok(mut chunks) => loop {
                match chunks.next().await.expect("it does not end as if it were whole") {
                    Ok(chunk) => given += chunk.len(),
                    Err(error) => break error.to_string(),
                }
            },
        };
        assert!(given < content.len(), "the last bytes are held back");
        assert!(refused.contains(sha256) && refused.contains("damaged (its SHA-256 is"), "{refused}");
        assert!(matches!(blobs.check(sha256, bytes).await.unwrap(), Condition::Damaged(_)));
        assert_eq!(
            blobs.glance(sha256, bytes).await.unwrap(),
            Condition::Whole,
            "a glance sees no more than the length"
        );

        std::fs::write(&path, &content[..last]).unwrap();
        let cut = blobs.read(sha256, bytes).await.err().unwrap().to_string();
        assert!(cut.contains(&format!("has {last} bytes instead of {bytes}")), "{cut}");
        std::fs::remove_file(&path).unwrap();
        let missing = blobs.read(sha256, bytes).await.err().unwrap();
        assert!(matches!(missing, Error::BlobLost { condition: Condition::Missing, .. }), "{missing}");
        assert_eq!(blobs.glance(sha256, bytes).await.unwrap(), Condition::Missing);
        // The same content again mends it.
        blobs.put_bytes(content.clone()).await.unwrap();
        assert_eq!(read().await.unwrap(), content);
    }
}

/// Whoever opens a pipe for reading waits for somebody who writes.
#[tokio::test]
async fn what_lies_in_the_place_of_content_and_is_no_file_is_damage_and_keeps_nobody_waiting() {
    let (folder, store) = store().await;
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, "content").unwrap();
    let stored = store.blobs().put_bytes(Bytes::from_static(b"content")).await.unwrap();
    let path = store.blobs().path(&stored.sha256).unwrap();
    for what in ["pipe", "link", "folder"] {
        std::fs::remove_file(&path).unwrap();
        match what {
            "pipe" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
            "link" => std::os::unix::fs::symlink(&elsewhere, &path).unwrap(),
            _ => std::fs::create_dir(&path).unwrap(),
        }
        let read = tokio::time::timeout(PATIENCE, store.blobs().read(&stored.sha256, stored.bytes)).await.unwrap();
        let lost = read.map(drop).unwrap_err();
        assert!(
            matches!(&lost, Error::BlobLost { condition: Condition::Damaged(how), .. } if how == "it is no file"),
            "{what}: {lost}"
        );
        for found in [
            store.blobs().check(&stored.sha256, stored.bytes).await.unwrap(),
            store.blobs().glance(&stored.sha256, stored.bytes).await.unwrap(),
        ] {
            assert_eq!(found, Condition::Damaged("it is no file".to_owned()), "{what}");
        }
    }
    store.close().await;
}
