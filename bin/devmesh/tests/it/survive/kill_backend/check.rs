//! What is there against what was acknowledged: all of it, once, and nothing half.

use super::super::{
    ledger::{Ledger, sha256},
    stage::{all_events, all_jobs},
};
use anyhow::{Result, ensure};
use client::Client;
use domain::{JobId, JobState};
use futures_util::TryStreamExt as _;
use protocol::{Event, EventBody, Job, ListAll};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

pub(in super::super) async fn everything(client: &Client, folder: &Path, ledger: &Ledger) -> Result<()> {
    let jobs = all_jobs(client).await?;
    all_created_once(&jobs, ledger)?;
    let mut contents = BTreeSet::new();
    for job in &jobs {
        let report = client.verify(job.id).await?;
        ensure!(report.intact, "the chain of {} is broken: {:?}", job.id, report.broken_at);
        let events = all_events(client, job.id).await?;
        let seqs: Vec<u64> = events.iter().map(|event| event.seq).collect();
        ensure!(seqs == (1..=events.len() as u64).collect::<Vec<_>>(), "job {} has seqs {seqs:?}", job.id);
        notes_once(job.id, &events, ledger)?;
        result_once(job, &events, ledger)?;
        contents.extend(artifacts_once(client, job.id, &events, ledger).await?);
    }
    nothing_else_on_disk(folder, &contents)
}

fn all_created_once(jobs: &[Job], ledger: &Ledger) -> Result<()> {
    let mut stored = BTreeMap::new();
    for job in jobs {
        let twice = stored.insert(job.spec.task.as_str(), job.id);
        ensure!(twice.is_none(), "two jobs for the key {}", job.spec.task);
    }
    for (key, id) in &ledger.jobs {
        let found = stored.get(key.as_str());
        ensure!(found == Some(id), "job {id} was acknowledged for {key} and is {found:?} now");
    }
    Ok(())
}

/// Acknowledged notes are there in their order; no note, acknowledged or not, is there twice.
fn notes_once(job: JobId, events: &[Event], ledger: &Ledger) -> Result<()> {
    let mut places = BTreeMap::new();
    for event in events {
        if let Some(EventBody::AgentNote { message }) = event.body() {
            let twice = places.insert(message.clone(), event.seq);
            ensure!(twice.is_none(), "job {job} has the note {message} at {} and at {twice:?}", event.seq);
        }
    }
    let mut last = 0;
    for note in ledger.notes.get(&job).into_iter().flatten() {
        let Some(place) = places.get(note) else { anyhow::bail!("job {job} lost the acknowledged note {note}") };
        ensure!(*place > last, "job {job} has the note {note} at {place}, before one that was sent earlier");
        last = *place;
    }
    Ok(())
}

fn result_once(job: &Job, events: &[Event], ledger: &Ledger) -> Result<()> {
    let endings = events.iter().filter(|event| event.event_type == "closed").count();
    ensure!(
        endings == usize::from(job.state.is_terminal()),
        "job {} is {} and ended {endings} times",
        job.id,
        job.state
    );
    let Some(result) = ledger.results.get(&job.id) else { return Ok(()) };
    ensure!(job.state == JobState::Succeeded, "job {} was acknowledged as finished and is {}", job.id, job.state);
    let stored = job.result.as_ref().and_then(|stored| stored.answer.as_ref());
    ensure!(stored == Some(result), "job {} has another result: {stored:?}", job.id);
    Ok(())
}

/// The SHA-256 of every content the job's artifacts name, each read back and computed anew.
async fn artifacts_once(client: &Client, job: JobId, events: &[Event], ledger: &Ledger) -> Result<Vec<String>> {
    let mut told = BTreeMap::<_, u32>::new();
    for event in events {
        if let Some(EventBody::ArtifactCreated { name, .. }) = event.body() {
            *told.entry(name).or_default() += 1;
        }
    }
    let mut found = BTreeMap::new();
    for artifact in client.artifacts(job, &ListAll::default()).await?.artifacts {
        let mut content = Vec::new();
        let mut chunks = client.artifact(job, &artifact.name).await?;
        while let Some(chunk) = chunks.try_next().await? {
            content.extend_from_slice(&chunk);
        }
        let digest = sha256(&content);
        ensure!(digest == artifact.sha256, "artifact {} of {job} is not what its digest says", artifact.name);
        let times = told.remove(&artifact.name);
        ensure!(times == Some(1), "the log of {job} tells of artifact {} {times:?} times", artifact.name);
        let twice = found.insert(artifact.name, digest);
        ensure!(twice.is_none(), "job {job} lists an artifact twice");
    }
    ensure!(told.is_empty(), "the log of {job} tells of artifacts that are not there: {told:?}");
    for ((_, name), digest) in ledger.artifacts.range((job, String::new())..).take_while(|((of, _), _)| *of == job) {
        ensure!(
            found.get(name) == Some(digest),
            "artifact {name} of {job} was acknowledged and is {:?}",
            found.get(name)
        );
    }
    Ok(found.into_values().collect())
}

/// Every content is one file under its digest. A kill between the content and its artifact may leave content nobody names.
fn nothing_else_on_disk(folder: &Path, named: &BTreeSet<String>) -> Result<()> {
    let mut stored = BTreeSet::new();
    for shard in std::fs::read_dir(folder.join("blobs"))? {
        let shard = shard?;
        ensure!(shard.file_type()?.is_dir(), "half of an upload is left: {:?}", shard.path());
        for file in std::fs::read_dir(shard.path())? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            ensure!(sha256(&std::fs::read(file.path())?) == name, "the content of {name} is not what its digest says");
            ensure!(name.starts_with(&*shard.file_name().to_string_lossy()), "{name} lies in the wrong folder");
            stored.insert(name);
        }
    }
    let missing: Vec<_> = named.difference(&stored).collect();
    ensure!(missing.is_empty(), "artifacts name content that is not on disk: {missing:?}");
    Ok(())
}
