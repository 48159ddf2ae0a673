//! What a restarted machine finds of what was acknowledged.

use super::load::Ledger;
use crate::operate::{approval, log};
use domain::{EventHash, verify_link};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::path::Path;
use store::{ArtifactRow, BLOB_FOLDER, DATABASE_FILE, JobFilter, JobRow, Options, Store};

/// What is missing or wrong in the folder, a line each.
pub async fn losses(folder: &Path, acknowledged: &Ledger) -> Vec<String> {
    // Before the store looks at it: content that no artifact names yet is acknowledged too, and may go at a start.
    let mut lost: Vec<_> = acknowledged.contents.iter().filter_map(|sha256| lost_content(folder, sha256)).collect();
    let store = match Store::open(Options::new(folder)).await {
        Ok(store) => store,
        Err(error) => {
            lost.push(format!("the folder cannot be opened: {error}"));
            return lost;
        }
    };
    for (id, seq) in &acknowledged.jobs {
        match store.job(*id).await.unwrap() {
            Some(row) if row.head_seq < *seq => lost.push(format!("job {id} ends at {} of {seq}", row.head_seq)),
            Some(_) => {}
            None => lost.push(format!("job {id} is gone")),
        }
    }
    for job in store.page_of_jobs(JobFilter::default()).await.unwrap().rows {
        lost.extend(broken_log(&store, &job).await);
        // Also what nobody was told of: a row without its content is not the truth.
        let artifacts = store.page_of_artifacts(job.id, None, 1_000).await.unwrap().unwrap().page.rows;
        lost.extend(artifacts.iter().filter_map(|artifact| lost_content(folder, &artifact.sha256)));
        lost.extend(other_artifacts(&artifacts, acknowledged));
    }
    for (job, name) in acknowledged.artifacts.keys() {
        if store.artifact(*job, name.clone()).await.unwrap().is_none_or(|(_, found)| found.is_none()) {
            lost.push(format!("artifact {name} is gone"));
        }
    }
    for id in acknowledged.approvals.keys().copied() {
        if approval(&*store, id).await.is_none() {
            lost.push(format!("approval {id} is gone"));
        }
    }
    store.close().await;
    lost.extend(damage(folder));
    lost
}

fn lost_content(folder: &Path, sha256: &str) -> Option<String> {
    let path = folder.join(BLOB_FOLDER).join(&sha256[..2]).join(sha256);
    match std::fs::read(&path) {
        Ok(bytes) if hex::encode(Sha256::digest(&bytes)) == sha256 => None,
        Ok(bytes) => Some(format!("content {sha256} is something else, {} bytes of it", bytes.len())),
        Err(error) => Some(format!("content {sha256}: {error}")),
    }
}

fn other_artifacts(found: &[ArtifactRow], acknowledged: &Ledger) -> Vec<String> {
    let is_other = |row: &&ArtifactRow| {
        acknowledged.artifacts.get(&(row.job_id, row.name.clone())).is_some_and(|sha256| *sha256 != row.sha256)
    };
    found.iter().filter(is_other).map(|row| format!("artifact {} has other content", row.name)).collect()
}

/// The whole log against its own chain and the job's head.
async fn broken_log(store: &Store, job: &JobRow) -> Option<String> {
    let id = job.id;
    let events = log(&**store, id).await;
    let mut previous = EventHash::START;
    for (event, seq) in events.iter().zip(1..) {
        if event.seq != seq || event.previous != previous || !verify_link(&event.link(), event.hash) {
            return Some(format!("the chain of {id} is broken at {seq}"));
        }
        previous = event.hash;
    }
    let head = (events.len() as u64, previous);
    (head != (job.head_seq, job.head_hash)).then(|| format!("the log of {id} ends elsewhere than its job says"))
}

fn damage(folder: &Path) -> Option<String> {
    let checked = Connection::open(folder.join(DATABASE_FILE))
        .and_then(|connection| connection.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0)));
    match checked {
        Ok(verdict) if verdict == "ok" => None,
        Ok(verdict) => Some(format!("the database is damaged: {verdict}")),
        Err(error) => Some(format!("the database cannot be checked: {error}")),
    }
}
