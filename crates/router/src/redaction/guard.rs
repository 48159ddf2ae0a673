//! The checkpoint of one model call: redact, put on record, let go; in this order, so nothing leaves that is not on record.

use super::Redactor;
use crate::{Error, egress::Checkpoint, json_object::whole_characters};
use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

/// A body that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Of the bytes that really leave.
    pub body_sha256: [u8; 32],
    pub body_bytes: usize,
    /// How many secrets were replaced in it.
    pub redactions: usize,
}

/// Where departures are put on record. One that fails keeps the body here.
#[async_trait]
pub trait Record: Send + Sync + 'static {
    async fn record(&self, departure: Departure) -> Result<(), Error>;
}

/// Shared by all attempts of one model call.
pub struct Guard {
    redactor: Option<Arc<Redactor>>,
    record: Arc<dyn Record>,
    departed: Mutex<Vec<Departure>>,
}

/// From here on looking through a body takes longer than a task may keep others waiting.
const BLOCKING_FROM_BYTES: usize = 64 * 1024;

impl Guard {
    /// Without a redactor bodies leave as they are, on record all the same.
    pub fn new(redactor: Option<Arc<Redactor>>, record: Arc<dyn Record>) -> Self {
        Self { redactor, record, departed: Mutex::default() }
    }

    /// What has left so far, for the call's record.
    pub fn departed(&self) -> Vec<Departure> {
        self.departed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Checkpoint for Guard {
    async fn clear(&self, body: Bytes) -> Result<Bytes, Error> {
        let redactor = self.redactor.clone();
        let is_long = body.len() >= BLOCKING_FROM_BYTES;
        let check = move || check(redactor.as_deref(), body);
        let (body, departure) =
            if is_long { tokio::task::spawn_blocking(check).await.map_err(|_| Error::Cancelled)?? } else { check()? };
        self.record.record(departure).await?;
        self.departed.lock().unwrap_or_else(PoisonError::into_inner).push(departure);
        Ok(body)
    }

    async fn again(&self) -> Result<(), Error> {
        let last = self.departed().last().copied();
        match last {
            Some(departure) => self.record.record(departure).await,
            None => Ok(()),
        }
    }

    fn redacts(&self) -> bool {
        self.redactor.is_some()
    }
}

fn check(redactor: Option<&Redactor>, body: Bytes) -> Result<(Bytes, Departure), Error> {
    let (body, redactions) = match redactor {
        Some(redactor) => {
            let redacted = redactor.redact(&whole_characters(&body))?;
            (redacted.body, redacted.count)
        }
        None => (body, 0),
    };
    let departure = Departure { body_sha256: Sha256::digest(&body).into(), body_bytes: body.len(), redactions };
    Ok((body, departure))
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("redacts", &self.redacts())
            .field("departed", &self.departed())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
