//! Recompute a job's hash chain.

use crate::{Caller, Error, Handle};
use domain::{Cursor, EventHash, JobId, verify_link};
use protocol::{BrokenLink, VerifyReport};
use store::{EventPage, EventRow};

/// Events and payload bytes read at a time: verification of a long log holds neither much memory nor a long read.
const PAGE_EVENTS: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;

impl Handle {
    /// Checks every stored event of the log as it stands now, against its own hash, the one before it and the head the
    /// job claims.
    pub async fn verify(&self, caller: &Caller, job: JobId) -> Result<VerifyReport, Error> {
        let row = self.visible(caller, job).await?;
        let head = Cursor { epoch: self.shared.store.epoch(), seq: row.head_seq };
        let mut chain = Chain { seq: 0, last: EventHash::START, events: 0 };
        let mut broken_at = None;
        while broken_at.is_none() && chain.seq < row.head_seq {
            let page = EventPage { job, after_seq: chain.seq, max_events: PAGE_EVENTS, max_bytes: PAGE_BYTES };
            let (_, rows) = self.shared.store.page_of_events(page).await?.ok_or_else(|| Error::no_job(job))?;
            if rows.is_empty() {
                broken_at =
                    Some(broken(chain.seq + 1, format!("is missing, though the log goes on to {}", row.head_seq)));
            }
            for event in rows.iter().take_while(|event| event.seq <= row.head_seq) {
                if let Err(link) = chain.extend(event) {
                    broken_at = Some(link);
                    break;
                }
            }
        }
        if broken_at.is_none() && chain.last != row.head_hash {
            broken_at = Some(broken(row.head_seq, "is not the event the job's head was computed from".into()));
        }
        let (job_id, events, head_hash) = (job, chain.events, row.head_hash);
        Ok(VerifyReport { job_id, intact: broken_at.is_none(), events, head, head_hash, broken_at })
    }
}

/// The part of a log that was found to be whole.
struct Chain {
    seq: u64,
    last: EventHash,
    events: u64,
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
        (self.seq, self.last, self.events) = (event.seq, event.hash, self.events + 1);
        Ok(())
    }
}

fn broken(seq: u64, detail: String) -> BrokenLink {
    BrokenLink { seq, detail }
}
