//! Archives with damage in them, whose artifacts look like archives themselves.

use super::{VERSION, backup, names, put, restored};
use crate::{
    operate::running_job,
    support::{at, store},
};
use domain::JobId;
use sha2::{Digest, Sha256};
use std::{ops::Range, path::Path};
use store::{LostArtifacts, Store, unpack};
use tempfile::TempDir;

/// As `docker save` writes it: with a `manifest.json` that is not ours, and a file after it.
fn image() -> Vec<u8> {
    let mut image = tar::Builder::new(Vec::new());
    let files: [(&str, &[u8]); 3] =
        [("4f1/layer.tar", &[b'x'; 900]), ("manifest.json", br#"[{"Config":"x"}]"#), ("repositories", b"{}")];
    for (name, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        image.append_data(&mut header, name, content).unwrap();
    }
    image.into_inner().unwrap()
}

/// The backup of another mesh.
async fn inner() -> Vec<u8> {
    let (_folder, other) = store().await;
    let job = running_job(&*other).await;
    for number in 0..3 {
        put(&other, job, "inner", format!("inner {number} ").repeat(300)).await;
    }
    let archive = backup(&other).await;
    other.close().await;
    archive
}

/// A store whose artifacts are archives, parts of some, and others between them: of the digests it is by chance which come where.
async fn with_archives() -> (TempDir, Store, JobId, Vec<(String, Vec<u8>)>) {
    let (folder, store) = store().await;
    let job = running_job(&*store).await;
    let inner = inner().await;
    let mut artifacts = vec![
        ("image".to_owned(), image()),
        ("backup".to_owned(), inner.clone()),
        // Its last header promises more than there is.
        ("cut backup".to_owned(), inner[..inner.len() - 3_000].to_vec()),
        ("end of a backup".to_owned(), inner[inner.len() - 4_096..].to_vec()),
        ("zeros".to_owned(), [&[b'q'; 600][..], &[0; 20_000], b"z"].concat()),
        ("empty".to_owned(), Vec::new()),
    ];
    artifacts.extend((0..8).map(|number| (format!("plain {number}"), number.to_string().repeat(1_500).into_bytes())));
    for (name, content) in &artifacts {
        put(&store, job, name, content.clone()).await;
    }
    (folder, store, job, artifacts)
}

/// A file in an archive.
struct Entry {
    name: String,
    header: usize,
    content: Range<usize>,
}

fn entries_of(archive: &[u8]) -> Vec<Entry> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let entry = entry.unwrap();
        let (name, begin) = (entry.path().unwrap().to_str().unwrap().to_owned(), entry.raw_file_position() as usize);
        Entry { name, header: entry.raw_header_position() as usize, content: begin..begin + entry.size() as usize }
    });
    entries.collect()
}

/// What happens to disks and wires.
fn damages(entry: &Entry) -> Vec<(String, Range<usize>, u8)> {
    let middle = (entry.content.start + entry.content.end) / 2;
    let flips =
        [20, 130, 150, 156, 260].map(|offset| entry.header + offset).map(|at| (format!("bit at {at}"), at..at + 1, 4));
    let zeros = [(entry.header, 512), (entry.header, 4_096), (middle, 512), (middle, 4_096)]
        .map(|(at, bytes)| (format!("{bytes} zeros at {at}"), at..at + bytes, 0));
    let in_content = (!entry.content.is_empty()).then(|| (format!("bit at {middle}"), middle..middle + 1, 1));
    flips.into_iter().chain(zeros).chain(in_content).collect()
}

fn damaged(archive: &[u8], place: &Range<usize>, flipped: u8) -> Vec<u8> {
    let mut damaged = archive.to_vec();
    let end = place.end.min(damaged.len());
    for byte in &mut damaged[place.start..end] {
        *byte = if flipped == 0 { 0 } else { *byte ^ flipped };
    }
    damaged
}

fn is_whole(folder: &Path, content: &[u8]) -> bool {
    let digest = hex::encode(Sha256::digest(content));
    let found = std::fs::read(folder.join(super::blob_entry(&digest)));
    found.is_ok_and(|found| found == content)
}

#[tokio::test]
async fn damage_costs_the_file_it_is_in_even_where_that_is_an_archive_itself() {
    let (folder, store, _, artifacts) = with_archives().await;
    let archive = backup(&store).await;
    store.close().await;
    let entries = entries_of(&archive);
    let mut tried = 0;
    for (what, place, flipped) in entries[1..].iter().flat_map(damages) {
        tried += 1;
        let target = folder.path().join("target");
        let damaged = damaged(&archive, &place, flipped);
        let (lost, is_changed) = restored(&damaged, &target).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(!is_changed, "{what}: the database is that of the outer backup");
        let is_hit =
            |entry: &&Entry| entry.header < place.end && place.start < entry.content.end.max(entry.header + 512);
        let hit: Vec<_> = entries.iter().filter(is_hit).map(|entry| entry.name.as_str()).collect();
        let told = names(&lost);
        for (name, content) in &artifacts {
            let entry = super::blob_entry(&hex::encode(Sha256::digest(content)));
            match is_whole(&target, content) {
                true => assert!(!told.contains(&name.as_str()), "{what}: `{name}` is there"),
                false => {
                    assert!(told.contains(&name.as_str()), "{what}: `{name}` is lost and nobody says so");
                    assert!(hit.contains(&entry.as_str()), "{what}: `{name}` is lost beside {hit:?}");
                }
            }
        }
        std::fs::remove_dir_all(&target).unwrap();
    }
    assert!(tried > 100, "{tried}");
}

#[tokio::test]
async fn an_archive_in_a_damaged_file_is_not_taken_for_the_backup() {
    let (folder, store, _, artifacts) = with_archives().await;
    let whole = store.backup(at(7), VERSION).await.unwrap();
    let archive = super::rest_of(whole).await;
    store.close().await;
    let entries = entries_of(&archive);
    let backup = &artifacts.iter().find(|(name, _)| name == "backup").unwrap().1;
    let name = super::blob_entry(&hex::encode(Sha256::digest(backup)));
    let header = entries.iter().find(|entry| entry.name == name).unwrap().header;
    // Without a list of its own, what lies in the file would be the only one.
    let manifest = entries.last().unwrap().header;
    let damaged = damaged(&damaged(&archive, &(header..header + 1), 1), &(manifest..manifest + 1), 1);
    let unpacked = unpack(damaged.as_slice(), &folder.path().join("target"), domain::Epoch(9)).unwrap();
    assert_eq!((&unpacked.manifest, unpacked.is_database_changed), (&None, None));
    let staged = Store::open(store::Options::new(unpacked.staging())).await.unwrap();
    assert_eq!(names(&unpacked.lost(&staged).await.unwrap()), ["backup"]);
    staged.close().await;

    // An archive that was cut is none that was damaged.
    let cut = unpack(&damaged[..manifest], &folder.path().join("cut"), domain::Epoch(9)).map(drop).unwrap_err();
    assert!(matches!(cut, store::RestoreError::Incomplete), "{cut}");
    assert_eq!(restored(&archive, &folder.path().join("whole")).await.unwrap(), (LostArtifacts::default(), false));
}
