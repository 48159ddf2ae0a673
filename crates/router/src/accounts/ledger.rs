//! The egress ledger: every body that left the machine, by digest, each entry chained to the one before.
//!
//! An entry's hash is SHA-256 over the RFC 8785 form of `{"entry", "previous", "seq"}`, where `entry` holds every other
//! stored field and `previous` the hash before it (32 zero bytes before the first). Changing, dropping, adding or
//! reordering one breaks every hash after it. What the chain cannot show is a ledger cut short at its end: keep the last
//! hash elsewhere to see that.

use super::journal::{Journal, Stopped};
use domain::{CanonicalJson, EventHash, JobId, ModelCallId, NotCanonical, PrincipalId, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};
use store::{LedgerRow, Store, limits};

/// A body about to leave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    pub at: Timestamp,
    pub call_id: ModelCallId,
    pub principal: PrincipalId,
    pub job: Option<JobId>,
    pub provider: String,
    pub model: String,
    /// Of the bytes that leave, after redaction: 64 lower-case hex digits.
    pub body_sha256: String,
    pub body_bytes: u64,
    pub redactions: u32,
    /// Which rule lets it go, as a sentence.
    pub reason: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The disk has not taken anything for long. Nothing may leave without a record.
    #[error(
        "{waiting} entries of the egress ledger wait for the disk; nothing leaves the machine until it can be written"
    )]
    Full { waiting: usize },
    #[error(transparent)]
    NotCanonical(#[from] NotCanonical),
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Where entries are handed in. Clones share it.
#[derive(Clone, Debug)]
pub struct Ledger {
    journal: Journal,
}

/// An entry with its canonical form, made where there is time for it.
#[derive(Debug)]
pub(crate) struct Draft {
    entry: LedgerEntry,
    canonical: CanonicalJson,
}

impl Ledger {
    pub(crate) fn new(journal: Journal) -> Self {
        Self { journal }
    }

    /// Hands an entry in. It stands in the queue when this returns and is written whatever becomes of the future, which
    /// ends once the entry is on disk: wait for it as long as you like.
    ///
    /// # Errors
    /// [`LedgerError::Full`]: the body must not leave. From the future, [`LedgerError::Stopped`].
    pub fn append(
        &self,
        entry: LedgerEntry,
    ) -> Result<impl Future<Output = Result<(), LedgerError>> + Send + 'static, LedgerError> {
        let canonical = CanonicalJson::of(&entry)?;
        let ticket = self.journal.add_entry(Draft { entry, canonical })?;
        let journal = self.journal.clone();
        Ok(async move { Ok(journal.written(ticket).await?) })
    }
}

impl Draft {
    pub(crate) fn chained(self, seq: u64, prev_hash: EventHash) -> LedgerRow {
        let hash = hash(&self.canonical, seq, prev_hash);
        let entry = self.entry;
        LedgerRow {
            seq,
            at: entry.at,
            call_id: entry.call_id,
            principal: entry.principal,
            job: entry.job,
            provider: entry.provider,
            model: entry.model,
            body_sha256: entry.body_sha256,
            body_bytes: entry.body_bytes,
            redactions: entry.redactions,
            reason: entry.reason,
            prev_hash,
            hash,
        }
    }
}

/// The object is written by hand in canonical key order, because the entry is canonical already.
fn hash(entry: &CanonicalJson, seq: u64, previous: EventHash) -> EventHash {
    let text = format!(r#"{{"entry":{},"previous":"{previous}","seq":{seq}}}"#, entry.as_str());
    EventHash(Sha256::digest(text.as_bytes()).into())
}

/// The first entry that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the egress ledger is not whole at entry {seq}: {why}")]
pub struct BrokenAt {
    pub seq: u64,
    pub why: &'static str,
}

/// Checks a ledger, or a later part of one that goes on after `head`: seq 0 and [`EventHash::START`] at its beginning.
///
/// # Errors
/// [`BrokenAt`] the first entry that is missing, changed or out of its place.
pub fn verify(head: (u64, EventHash), rows: &[LedgerRow]) -> Result<(), BrokenAt> {
    let (mut last, mut previous) = head;
    for row in rows {
        let seq = last.saturating_add(1);
        if row.seq != seq {
            return Err(BrokenAt { seq, why: "it is missing" });
        }
        if row.prev_hash != previous {
            return Err(BrokenAt { seq, why: "it does not link to the entry before" });
        }
        let entry = LedgerEntry {
            at: row.at,
            call_id: row.call_id,
            principal: row.principal,
            job: row.job,
            provider: row.provider.clone(),
            model: row.model.clone(),
            body_sha256: row.body_sha256.clone(),
            body_bytes: row.body_bytes,
            redactions: row.redactions,
            reason: row.reason.clone(),
        };
        let recomputed = CanonicalJson::of_kept(&entry).ok().map(|entry| hash(&entry, seq, previous));
        if recomputed != Some(row.hash) {
            return Err(BrokenAt { seq, why: "its fields do not match its hash" });
        }
        (last, previous) = (seq, row.hash);
    }
    Ok(())
}

/// Checks the whole ledger of a store, page by page. The number of entries, when all are sound.
///
/// # Errors
/// [`store::Error`] when it cannot be read.
pub async fn verify_store(store: &Store) -> Result<Result<u64, BrokenAt>, store::Error> {
    let mut head = (0, EventHash::START);
    loop {
        let rows = store.page_of_ledger(head.0, limits::ROWS_PER_PAGE).await?.rows;
        let Some(last) = rows.last() else { return Ok(Ok(head.0)) };
        if let Err(broken) = verify(head, &rows) {
            return Ok(Err(broken));
        }
        head = (last.seq, last.hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn entry(number: u64) -> LedgerEntry {
        LedgerEntry {
            at: Timestamp::from_millis(1_767_323_045_678),
            call_id: "019a2b3c-0000-7000-8000-000000000001".parse().unwrap(),
            principal: "019a2b3c-0000-7000-8000-000000000002".parse().unwrap(),
            job: None,
            provider: "openai".to_owned(),
            model: "gpt-large".to_owned(),
            body_sha256: "ab".repeat(32),
            body_bytes: number,
            redactions: 1,
            reason: "route `fast` and \"key\" allow it".to_owned(),
        }
    }

    fn rows(count: u64) -> Vec<LedgerRow> {
        let mut rows: Vec<LedgerRow> = Vec::new();
        for seq in 1..=count {
            let previous = rows.last().map_or(EventHash::START, |row| row.hash);
            let draft = Draft { canonical: CanonicalJson::of(&entry(seq)).unwrap(), entry: entry(seq) };
            rows.push(draft.chained(seq, previous));
        }
        rows
    }

    const START: (u64, EventHash) = (0, EventHash::START);

    #[test]
    fn the_hash_is_that_of_the_canonical_object() {
        let rows = rows(1);
        let object = serde_json::json!({"seq": 1, "previous": EventHash::START, "entry": entry(1)});
        assert_eq!(rows[0].hash.0, *Sha256::digest(CanonicalJson::of(&object).unwrap().as_str()));
    }

    #[test]
    fn any_tampering_is_found_where_it_was_done() {
        let sound = rows(5);
        assert_eq!(verify(START, &sound), Ok(()));
        assert_eq!(verify((2, sound[1].hash), &sound[2..]), Ok(()));
        type Tamper = fn(&mut Vec<LedgerRow>);
        let tampered: [(u64, Tamper); 8] = [
            (3, |rows| rows[2].model.push('x')),
            (3, |rows| rows[2].body_sha256 = "cd".repeat(32)),
            (3, |rows| rows[2].redactions = 0),
            (3, |rows| rows[2].job = Some("019a2b3c-0000-7000-8000-000000000009".parse().unwrap())),
            (2, |rows| drop(rows.remove(1))),
            (1, |rows| drop(rows.remove(0))),
            (2, |rows| rows.swap(1, 2)),
            // Somebody who knows how hashes are made: the next entry gives it away.
            (3, |rows| {
                rows[1].reason = "none".to_owned();
                let entry = LedgerEntry { reason: "none".to_owned(), ..entry(2) };
                rows[1].hash = hash(&CanonicalJson::of(&entry).unwrap(), 2, rows[0].hash);
            }),
        ];
        for (at, (seq, tamper)) in tampered.into_iter().enumerate() {
            let mut rows = sound.clone();
            tamper(&mut rows);
            assert_eq!(verify(START, &rows).unwrap_err().seq, seq, "case {at}");
        }
    }
}
