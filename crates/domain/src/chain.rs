//! The hash chain over a job's log.
//!
//! Each event's hash is SHA-256 over one RFC 8785 object holding every stored field and the previous event's hash
//! (the first links to 32 zero bytes). Changing, dropping or reordering an event breaks every hash after it.

use crate::{CanonicalJson, Epoch, JobId, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write as _};

/// SHA-256 of one event; 64 lower-case hex digits on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventHash(pub [u8; 32]);

impl EventHash {
    /// What the first event of a log links to.
    pub const START: Self = Self([0; 32]);
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0u8; 64];
        hex::encode_to_slice(self.0, &mut hex).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for EventHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// Every field of an event that its hash covers.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    pub job_id: JobId,
    pub epoch: Epoch,
    pub seq: u64,
    pub event_type: &'a str,
    pub actor: &'a str,
    pub attempt: u32,
    pub at: Timestamp,
    pub payload: &'a CanonicalJson,
    pub previous: EventHash,
}

impl Link<'_> {
    /// The hash of this event.
    ///
    /// The object is written by hand in canonical key order, because the payload is canonical already and this runs
    /// once per event on the writer thread. `actor` and `event_type` come from closed sets of plain ASCII names.
    pub fn hash(&self) -> EventHash {
        let mut text = String::with_capacity(320 + self.payload.as_str().len());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            r#"{{"actor":"{}","at":"{}","attempt":{},"epoch":"{}","job_id":"{}","payload":{},"previous":"{}","seq":{},"type":"{}"}}"#,
            self.actor,
            self.at,
            self.attempt,
            self.epoch,
            self.job_id,
            self.payload.as_str(),
            self.previous,
            self.seq,
            self.event_type,
        );
        EventHash(Sha256::digest(text.as_bytes()).into())
    }
}

/// Whether `recorded` is what this event's fields hash to. Re-canonicalises the payload first, so text that is not in
/// canonical form never verifies.
pub fn verify_link(link: &Link<'_>, recorded: EventHash) -> bool {
    let Ok(value) = serde_json::from_str::<serde_json::Value>(link.payload.as_str()) else { return false };
    let Ok(canonical) = CanonicalJson::of_kept(&value) else { return false };
    canonical == *link.payload && link.hash() == recorded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link<'a>(payload: &'a CanonicalJson, previous: EventHash) -> Link<'a> {
        Link {
            job_id: "019a2b3c-0000-7000-8000-000000000001".parse().unwrap(),
            epoch: Epoch(0x5f0c_21ab),
            seq: 1,
            event_type: "job.created",
            actor: "user",
            attempt: 0,
            at: Timestamp::from_millis(1_795_386_615_007),
            payload,
            previous,
        }
    }

    #[test]
    fn the_hash_is_that_of_the_canonical_object() {
        let payload = CanonicalJson::of(&serde_json::json!({"z": 1, "a": "é"})).unwrap();
        let link = link(&payload, EventHash::START);
        let object = serde_json::json!({
            "type": link.event_type, "seq": link.seq, "previous": link.previous, "payload": {"z": 1, "a": "é"},
            "job_id": link.job_id, "epoch": link.epoch, "attempt": link.attempt, "at": link.at, "actor": link.actor,
        });
        let expected = Sha256::digest(CanonicalJson::of(&object).unwrap().as_str());
        assert_eq!(link.hash().0, *expected);
    }

    #[test]
    fn any_change_breaks_the_link() {
        let payload = CanonicalJson::of(&serde_json::json!({"text": "hello"})).unwrap();
        let original = link(&payload, EventHash::START);
        let hash = original.hash();
        assert!(verify_link(&original, hash));
        assert!(!verify_link(&Link { seq: 2, ..original }, hash));
        assert!(!verify_link(&Link { actor: "agent", ..original }, hash));
        assert!(!verify_link(&Link { previous: hash, ..original }, hash));
        let changed = CanonicalJson::from_store(r#"{"text":"hullo"}"#.into());
        assert!(!verify_link(&link(&changed, EventHash::START), hash));
        let spaced = CanonicalJson::from_store(r#"{"text": "hello"}"#.into());
        assert!(!verify_link(&link(&spaced, EventHash::START), link(&spaced, EventHash::START).hash()));
    }
}
