//! Content-addressed files.

use crate::support::{at, job, new_job, read, reopened, store, until, write};
use bytes::Bytes;
use domain::JobId;
use futures_util::{StreamExt, stream};
use std::{io, os::unix::fs::PermissionsExt, path::Path};
use store::{ArtifactRow, BLOB_FOLDER, Error, StoredBlob};

fn chunks(parts: &'static [&'static str]) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send {
    stream::iter(parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))))
}

fn artifact(job_id: JobId, name: &str, blob: &StoredBlob) -> ArtifactRow {
    ArtifactRow {
        job_id,
        name: name.to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: blob.bytes,
        sha256: blob.sha256.clone(),
        attempt: 1,
        created_at: at(1),
    }
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
    assert_eq!(store.blobs().put_bytes(Bytes::from_static(b"hello world")).await.unwrap(), stored);
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
    let (first, second) = (new_job(&store).await, new_job(&store).await);
    let shared = store.blobs().put(chunks(&["shared"]), 100).await.unwrap();
    let old = store.blobs().put(chunks(&["old"]), 100).await.unwrap();
    let rows = [artifact(first, "a", &shared), artifact(second, "a", &shared), artifact(second, "b", &old)];
    write(&store, move |transaction| rows.iter().try_for_each(|row| transaction.put_artifact(row))).await;
    assert_eq!(store.page_of_artifacts(second, None, 10).await.unwrap().unwrap().page.rows.len(), 2);
    let mut digests = vec![shared.sha256.clone(), old.sha256.clone()];
    digests.sort();
    assert_eq!(read(&store, |reader| reader.blob_digests("", 10)).await, digests);
    let after = digests[0].clone();
    assert_eq!(read(&store, move |reader| reader.blob_digests(&after, 10)).await, digests[1..]);

    let is_there = |blob: &StoredBlob| store.blobs().path(&blob.sha256).unwrap().exists();
    let replacing = artifact(second, "b", &shared);
    let expected = replacing.clone();
    write(&store, move |transaction| transaction.put_artifact(&replacing)).await;
    assert_eq!(read(&store, move |reader| reader.artifact(second, "b")).await, Some(expected));
    until("replaced content is removed", async || !is_there(&old)).await;

    write(&store, move |transaction| transaction.delete_job(first)).await;
    let undone: Result<(), Error> =
        store.write(move |transaction| transaction.delete_job(second).and(Err(Error::Closed))).await;
    assert!(undone.is_err());
    let digest = shared.sha256.clone();
    assert!(read(&store, move |reader| reader.blob_in_use(&digest)).await);
    assert!(is_there(&shared), "an artifact still names it");
    write(&store, move |transaction| transaction.delete_job(second)).await;
    until("unused content is removed", async || !is_there(&shared)).await;
    store.close().await;
}

#[tokio::test]
async fn an_artifact_without_content_is_refused() {
    let (_folder, store) = store().await;
    let id = new_job(&store).await;
    let missing = StoredBlob { sha256: "0".repeat(64), bytes: 1 };
    let row = artifact(id, "patch", &missing);
    let outcome = store.write(move |transaction| transaction.put_artifact(&row)).await;
    assert!(matches!(outcome, Err(Error::BlobMissing(_))), "{outcome:?}");
    let stored = store.blobs().put(chunks(&["x"]), 1).await.unwrap();
    let row = artifact(job(7).id, "patch", &stored);
    let outcome = store.write(move |transaction| transaction.put_artifact(&row)).await;
    assert!(matches!(outcome, Err(Error::Constraint(_))), "no such job: {outcome:?}");
    store.close().await;
}
