//! Recompute a job's hash chain, and what its artifacts hold.
//!
//! What cannot be read is a finding like any other: verification is for folders that are damaged.

use crate::{Caller, Error, Handle};
use domain::{Cursor, EventHash, JobId, Scope, verify_link};
use protocol::{BrokenLink, EventBody, VerifyReport};
use std::collections::BTreeMap;
use store::{ArtifactRow, EventPage, EventRow, JobRow};

/// Events and payload bytes read at a time: verification of a long log holds neither much memory nor a long read.
const PAGE_EVENTS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;
/// What the event of an artifact is called in the log.
const ARTIFACT_CREATED: &str = "artifact.created";

impl Handle {
    /// Checks every stored event of the log as it stands now, against its own hash, the one before it and the head the
    /// job claims, and every artifact against its digest and the event that handed it in.
    pub async fn verify(&self, caller: &Caller, job: JobId) -> Result<VerifyReport, Error> {
        let epoch = self.shared.store.epoch();
        let row = match self.visible(caller, job).await {
            // Whose job it is stands in the row: only who sees all may hear of it.
            Err(Error::Store(store::Error::Unreadable(row))) if caller.scope == Scope::Admin => {
                let broken_at =
                    Some(broken(0, format!("the job's own row cannot be read: its `{}` is damaged", row.column)));
                let (head, head_hash) = (Cursor { epoch, seq: 0 }, EventHash::START);
                return Ok(VerifyReport {
                    job_id: job,
                    intact: false,
                    events: 0,
                    artifacts: 0,
                    head,
                    head_hash,
                    broken_at,
                });
            }
            row => row?,
        };
        let head = Cursor { epoch, seq: row.head_seq };
        let mut chain = Chain { seq: 0, last: EventHash::START, events: 0, handed_in: BTreeMap::new() };
        let mut artifacts = 0;
        let broken_at = match self.verify_log(&row, &mut chain).await? {
            None => self.verify_artifacts(job, &chain, &mut artifacts).await?,
            broken => broken,
        };
        let (events, head_hash, intact) = (chain.events, row.head_hash, broken_at.is_none());
        Ok(VerifyReport { job_id: job, intact, events, artifacts, head, head_hash, broken_at })
    }

    async fn verify_log(&self, row: &JobRow, chain: &mut Chain) -> Result<Option<BrokenLink>, Error> {
        let mut page_events = PAGE_EVENTS;
        while chain.seq < row.head_seq {
            let rows = match self.page(row.id, chain.seq, page_events).await {
                // One by one up to the one that cannot be read.
                Err(Error::Store(store::Error::Corrupt(_))) if page_events > 1 => {
                    page_events = 1;
                    continue;
                }
                Err(Error::Store(store::Error::Corrupt(detail))) => {
                    return Ok(Some(broken(chain.seq + 1, format!("cannot be read: {detail}"))));
                }
                rows => rows?,
            };
            if rows.is_empty() {
                return Ok(Some(broken(
                    chain.seq + 1,
                    format!("is missing, though the log goes on to {}", row.head_seq),
                )));
            }
            for event in rows.iter().take_while(|event| event.seq <= row.head_seq) {
                if let Err(link) = chain.extend(event) {
                    return Ok(Some(link));
                }
            }
        }
        if chain.last != row.head_hash {
            return Ok(Some(broken(row.head_seq, "is not the event the job's head was computed from".into())));
        }
        Ok(None)
    }

    async fn page(&self, job: JobId, after: u64, events: usize) -> Result<Vec<EventRow>, Error> {
        let page = EventPage { job, after_seq: after, max_events: events, max_bytes: PAGE_BYTES };
        let (_, rows) = self.shared.store.page_of_events(page).await?.ok_or_else(|| Error::no_job(job))?;
        Ok(rows)
    }

    /// As many as a job may have.
    async fn all_artifacts(&self, job: JobId) -> Result<Vec<ArtifactRow>, Error> {
        let mut rows: Vec<ArtifactRow> = Vec::new();
        loop {
            let after = rows.last().map(|row| row.name.clone());
            let found = self.shared.store.page_of_artifacts(job, after, store::limits::ROWS_PER_PAGE).await?;
            let page = found.ok_or_else(|| Error::no_job(job))?.page.rows;
            if page.is_empty() {
                return Ok(rows);
            }
            rows.extend(page);
        }
    }

    /// Reads all content of the job, one artifact at a time, and counts what is whole.
    async fn verify_artifacts(&self, job: JobId, chain: &Chain, whole: &mut u64) -> Result<Option<BrokenLink>, Error> {
        let rows = match self.all_artifacts(job).await {
            Err(Error::Store(store::Error::Corrupt(detail))) => {
                return Ok(Some(broken(0, format!("the list of artifacts cannot be read: {detail}"))));
            }
            rows => rows?,
        };
        let handed_in = |name: &str| chain.handed_in.get(name);
        if let Some((name, handed_in)) =
            chain.handed_in.iter().find(|(name, _)| rows.iter().all(|row| row.name != **name))
        {
            return Ok(Some(lost(handed_in.seq, name, "it is missing from the job's artifacts".into())));
        }
        for ArtifactRow { name, sha256, bytes, .. } in rows {
            let seq = handed_in(&name).map_or(0, |handed_in| handed_in.seq);
            if let Some(recorded) = handed_in(&name).filter(|handed_in| handed_in.sha256 != sha256) {
                let detail = format!(
                    "the job handed in content with SHA-256 {}, and {sha256} stands in its place",
                    recorded.sha256
                );
                return Ok(Some(lost(seq, &name, detail)));
            }
            match self.shared.store.blobs().check(&sha256, bytes).await {
                Ok(condition) if condition.is_whole() => *whole += 1,
                Ok(condition) => return Ok(Some(lost(seq, &name, format!("its content is {condition}")))),
                Err(store::Error::NotADigest(digest)) => {
                    return Ok(Some(lost(seq, &name, format!("`{digest}` stands where its SHA-256 should"))));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }
}

/// The part of a log that was found to be whole.
struct Chain {
    seq: u64,
    last: EventHash,
    events: u64,
    /// What the log says was handed in last under each name. As many as a job may have.
    handed_in: BTreeMap<String, HandedIn>,
}

struct HandedIn {
    seq: u64,
    sha256: String,
}

impl Chain {
    fn extend(&mut self, event: &EventRow) -> Result<(), BrokenLink> {
        let expected = self.seq + 1;
        if event.seq != expected {
            return Err(broken(expected, format!("is missing; the next event there is has seq {}", event.seq)));
        }
        if self.last != event.previous {
            return Err(broken(event.seq, "does not link to the event before it".into()));
        }
        if !verify_link(&event.link(), event.hash) {
            return Err(broken(event.seq, "does not have the hash that was recorded for it: it was changed".into()));
        }
        if event.event_type == ARTIFACT_CREATED {
            self.note_artifact(event)?;
        }
        (self.seq, self.last, self.events) = (event.seq, event.hash, self.events + 1);
        Ok(())
    }

    fn note_artifact(&mut self, event: &EventRow) -> Result<(), BrokenLink> {
        let body = serde_json::from_str(event.payload.as_str())
            .and_then(|payload| EventBody::from_parts(&event.event_type, payload))
            .map_err(|error| broken(event.seq, format!("has a payload that cannot be read: {error}")))?;
        if let EventBody::ArtifactCreated { name, sha256, .. } = body {
            self.handed_in.insert(name, HandedIn { seq: event.seq, sha256 });
        }
        Ok(())
    }
}

fn broken(seq: u64, detail: String) -> BrokenLink {
    BrokenLink { seq, artifact: None, detail }
}

fn lost(seq: u64, artifact: &str, detail: String) -> BrokenLink {
    BrokenLink { seq, artifact: Some(artifact.to_owned()), detail }
}
