//! What users ask for. Each command is one transaction of state, events and audit.

mod cancel;
mod create;
mod delete;
mod retry;

use crate::{Caller, Error, validate::shortened};
use domain::{CanonicalJson, JobId, Timestamp};
use sha2::{Digest, Sha256};
use std::{fmt, time::Duration};
use store::{AuditRow, IdempotencyRow, Reader, Transaction};

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

    /// The job an earlier request with this key made.
    fn earlier(&self, reader: &Reader<'_>, caller: &Caller, oldest: Timestamp) -> Result<Option<JobId>, Error> {
        let Some(row) = reader.idempotency(caller.principal, &self.key.0)? else { return Ok(None) };
        if row.created_at < oldest {
            return Ok(None);
        }
        if row.request_sha256 != self.request_sha256 {
            return Err(Error::IdempotencyConflict { key: self.key.0.clone() });
        }
        let gone = |_| Error::NotFound { what: "job", id: row.answer.clone() };
        row.answer.parse().map(Some).map_err(gone)
    }

    fn remember(
        self,
        transaction: &mut Transaction<'_>,
        caller: &Caller,
        job: JobId,
        now: Timestamp,
    ) -> Result<(), Error> {
        transaction.put_idempotency(&IdempotencyRow {
            principal: caller.principal,
            key: self.key.0,
            request_sha256: self.request_sha256,
            answer: job.to_string(),
            created_at: now,
        })?;
        Ok(())
    }
}

/// Keys made before this are forgotten.
pub(crate) fn oldest_key(now: Timestamp, ttl: Duration) -> Timestamp {
    now.plus_millis(-i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
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
