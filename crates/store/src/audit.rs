//! The audit trail: who did what, each entry chained to the one before.
//!
//! An entry's hash is SHA-256 over the RFC 8785 form of `{"entry", "previous", "seq"}`, where `entry` holds every other
//! stored field and `previous` the hash before it (32 zero bytes before the first). Changing, dropping, adding or
//! reordering one breaks every hash after it. Retention removes entries from the beginning and keeps the hash of the last
//! one it removed, the anchor, which the first entry left links to. A trail cut short at its end shows by the number of the last
//! entry, which is kept beside it, as long as nothing was added since and nobody changed that too: keep the last hash elsewhere
//! to see it then.

use crate::{AuditEntry, AuditRow, Database, Error, limits};
use domain::{CanonicalJson, EventHash, NotCanonical, PrincipalId, RequestId, Timestamp};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What the hash covers beside its place.
#[derive(Serialize)]
struct Covered<'a> {
    at: Timestamp,
    principal: PrincipalId,
    action: &'a str,
    object: &'a str,
    request_id: RequestId,
}

/// Puts a row after the entry with this seq and hash.
pub(crate) fn chained(row: AuditRow, after: (u64, EventHash)) -> Result<AuditEntry, NotCanonical> {
    let (seq, previous) = (after.0 + 1, after.1);
    let hash = hash(&row, seq, previous)?;
    Ok(AuditEntry { seq, row, previous, hash })
}

fn hash(row: &AuditRow, seq: u64, previous: EventHash) -> Result<EventHash, NotCanonical> {
    let AuditRow { at, principal, action, object, request_id } = row;
    let covered = Covered { at: *at, principal: *principal, action, object, request_id: *request_id };
    let entry = CanonicalJson::of(&covered)?;
    // Written by hand in canonical key order, because the entry is canonical already.
    let text = format!(r#"{{"entry":{},"previous":"{previous}","seq":{seq}}}"#, entry.as_str());
    Ok(EventHash(Sha256::digest(text.as_bytes()).into()))
}

/// What a look at the whole trail found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditReport {
    /// That are sound, from the first one kept on.
    pub entries: u64,
    /// Entries up to here were removed by retention.
    pub removed_through: u64,
    /// The last sound entry; the anchor where there is none.
    pub head: (u64, EventHash),
    pub broken: Option<BrokenAudit>,
}

/// The first entry that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the audit trail is not whole at entry {seq}: {why}")]
pub struct BrokenAudit {
    pub seq: u64,
    pub why: &'static str,
}

const MISSING: &str = "it is missing or cannot be read";

/// Checks the whole trail, page by page, while others write to it.
pub async fn verify_audit(database: &dyn Database) -> Result<AuditReport, Error> {
    let mut stretch = database.stretch_of_audit(0, limits::ROWS_PER_PAGE).await?;
    let mut report = AuditReport { entries: 0, removed_through: stretch.anchor.0, head: stretch.anchor, broken: None };
    loop {
        if stretch.anchor.0 > report.head.0 {
            // Retention went past this place meanwhile.
            report.head = stretch.anchor;
        }
        if stretch.entries.is_empty() {
            let seq = report.head.0.saturating_add(1);
            report.broken = (seq <= stretch.last_seq).then_some(BrokenAudit { seq, why: MISSING });
            return Ok(report);
        }
        for entry in &stretch.entries {
            if let Err(broken) = check(report.head, entry) {
                report.broken = Some(broken);
                return Ok(report);
            }
            report.head = (entry.seq, entry.hash);
            report.entries += 1;
        }
        stretch = database.stretch_of_audit(report.head.0, limits::ROWS_PER_PAGE).await?;
    }
}

fn check(after: (u64, EventHash), entry: &AuditEntry) -> Result<(), BrokenAudit> {
    let seq = after.0.saturating_add(1);
    if entry.seq != seq {
        return Err(BrokenAudit { seq, why: MISSING });
    }
    if entry.previous != after.1 {
        return Err(BrokenAudit { seq, why: "it does not link to the entry before" });
    }
    if hash(&entry.row, seq, after.1).ok() != Some(entry.hash) {
        return Err(BrokenAudit { seq, why: "its fields do not match its hash" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<AuditEntry> {
        let mut after = (0, EventHash::START);
        let made = (1..=4).map(|number| {
            let row = AuditRow {
                at: Timestamp::from_millis(1_767_323_045_678 + number),
                principal: PrincipalId(uuid::Uuid::from_u128(1)),
                action: "job.create".to_owned(),
                object: format!("job {number} \"é\""),
                request_id: RequestId(uuid::Uuid::from_u128(2)),
            };
            let entry = chained(row, after).unwrap();
            after = (entry.seq, entry.hash);
            entry
        });
        made.collect()
    }

    fn broken_at(entries: &[AuditEntry]) -> Option<u64> {
        let mut after = (0, EventHash::START);
        entries.iter().find_map(|entry| {
            let checked = check(after, entry);
            after = (entry.seq, entry.hash);
            checked.err().map(|broken| broken.seq)
        })
    }

    #[test]
    fn the_hash_is_that_of_the_canonical_object() {
        let first = &entries()[0];
        let object = serde_json::json!({"seq": 1, "previous": EventHash::START, "entry": {
            "at": first.row.at,
            "principal": first.row.principal,
            "action": "job.create",
            "object": "job 1 \"é\"",
            "request_id": first.row.request_id,
        }});
        assert_eq!(first.hash.0, *Sha256::digest(CanonicalJson::of(&object).unwrap().as_str()));
    }

    #[test]
    fn any_tampering_is_found_where_it_was_done() {
        assert_eq!(broken_at(&entries()), None);
        type Tamper = fn(&mut Vec<AuditEntry>);
        let tampered: [(u64, Tamper); 6] = [
            (2, |entries| entries[1].row.object.push('x')),
            (2, |entries| entries[1].row.principal = PrincipalId(uuid::Uuid::nil())),
            (2, |entries| drop(entries.remove(1))),
            (1, |entries| drop(entries.remove(0))),
            (2, |entries| entries.swap(1, 2)),
            // Somebody who knows how hashes are made: the next entry gives it away.
            (3, |entries| {
                let row = AuditRow { action: "nothing".to_owned(), ..entries[1].row.clone() };
                entries[1] = chained(row, (1, entries[0].hash)).unwrap();
            }),
        ];
        for (case, (seq, tamper)) in tampered.into_iter().enumerate() {
            let mut entries = entries();
            tamper(&mut entries);
            assert_eq!(broken_at(&entries), Some(seq), "case {case}");
        }
    }
}
