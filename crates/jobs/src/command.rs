//! What users ask for. Each command is one transaction of state, events and audit.

mod cancel;
mod create;
mod delete;
mod retry;

use crate::{Caller, Error, handle::Shared, validate::shortened};
use domain::{CanonicalJson, Timestamp};
use protocol::Job;
use sha2::{Digest, Sha256};
use std::fmt;
use store::{AuditRow, Earlier};

/// 1 to 128 visible ASCII characters a client chose for one request: sending the request again changes nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// What a UUID, a hash or a sentence without spaces fits into.
    const BYTES: usize = 128;

    pub fn new(text: impl Into<String>) -> Result<Self, Error> {
        let text = text.into();
        if text.is_empty() || text.len() > Self::BYTES || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let detail = format!("`{}` is not 1 to {} visible ASCII characters", shortened(&text), Self::BYTES);
            return Err(Error::invalid("Idempotency-Key", detail));
        }
        Ok(Self(text))
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key together with the request it stands for.
struct Once {
    key: IdempotencyKey,
    request_sha256: [u8; 32],
}

impl Once {
    fn new(key: IdempotencyKey, action: &str, body: &impl serde::Serialize) -> Result<Self, Error> {
        let canonical = CanonicalJson::of(&serde_json::json!({"action": action}))?;
        let body = CanonicalJson::of(body)?;
        let request_sha256 = Sha256::new().chain_update(canonical.as_str()).chain_update(body.as_str()).finalize();
        Ok(Self { key, request_sha256: request_sha256.into() })
    }

    fn of(self, caller: &Caller, now: Timestamp) -> store::Once {
        let (principal, key, request_sha256) = (caller.principal, self.key.0, self.request_sha256);
        store::Once { principal, key, request_sha256, now }
    }
}

impl Shared {
    /// What a request is answered with that was made before.
    fn repeated(&self, earlier: Earlier) -> Result<Job, Error> {
        match earlier {
            Earlier::Job(job) => self.view(*job),
            Earlier::Deleted(job) => Err(Error::Gone { job }),
            Earlier::Conflict { key } => Err(Error::IdempotencyConflict { key }),
        }
    }
}

/// The audit entry of one command.
pub(crate) fn audit(caller: &Caller, now: Timestamp, action: &str, object: impl fmt::Display) -> AuditRow {
    AuditRow {
        at: now,
        principal: caller.principal,
        action: action.to_owned(),
        object: object.to_string(),
        request_id: caller.request,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_short_visible_ascii() {
        assert!(IdempotencyKey::new("019a2b3c-0000-7000-8000-000000000001").is_ok());
        for text in ["", "two words", "ä", "line\nbreak", &"x".repeat(129)] {
            assert!(IdempotencyKey::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_same_body_for_another_action_is_another_request() {
        let digest = |action| Once::new(IdempotencyKey("k".into()), action, &"body").unwrap().request_sha256;
        assert_ne!(digest("job.create"), digest("job.retry"));
        assert_eq!(digest("job.create"), digest("job.create"));
    }
}
