//! What a body passes on its way to a cloud: [`Guard`] with this call's name in the ledger.

use crate::{
    Error, Event,
    accounts::{Ledger, LedgerEntry},
    call::Call,
    egress::Checkpoint,
    plan::Candidate,
    redaction::{Departure, Guard, Patterns, Record, Redactor, Restorer, Thoughts},
    router::Inner,
};
use async_trait::async_trait;
use bytes::Bytes;
use domain::Clock;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a body waits for its entry to be on disk. A commit is one fsync; a disk that is full or stuck must not
/// stop calls, so then the entry waits in memory and is written as soon as it can be.
const DURABLE_WITHIN: Duration = Duration::from_millis(250);

pub(crate) struct Departures {
    guard: Guard,
    redactor: Option<Arc<Redactor>>,
}

impl Departures {
    /// With `patterns`, secrets become placeholders.
    pub(crate) fn new(inner: &Inner, call: &Call, candidate: &Candidate, patterns: Option<Arc<Patterns>>) -> Arc<Self> {
        let redactor = patterns.map(|patterns| Arc::new(Redactor::new(patterns)));
        let record = OnRecord {
            ledger: inner.books.ledger().clone(),
            clock: inner.clock.clone(),
            entry: LedgerEntry {
                at: inner.clock.now(),
                call_id: call.id,
                principal: call.caller.principal,
                job: call.caller.job,
                provider: candidate.model.provider.clone(),
                model: candidate.model.name.clone(),
                body_sha256: String::new(),
                body_bytes: 0,
                redactions: 0,
                reason: candidate.why.to_string(),
            },
        };
        Arc::new(Self { guard: Guard::new(redactor.clone(), Arc::new(record)), redactor })
    }

    /// Secrets that became placeholders so far.
    pub(crate) fn redactions(&self) -> u64 {
        self.guard.departed().iter().map(|departure| departure.redactions as u64).sum()
    }

    /// What turns placeholders in the answer into secrets again.
    pub(crate) fn restorer(&self) -> Option<Restorer> {
        // What a provider signed must come back to it as it was.
        self.redactor.as_ref().map(|redactor| redactor.restorer(Thoughts::Keep))
    }
}

impl fmt::Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Departures").field("redacts", &self.redactor.is_some()).finish_non_exhaustive()
    }
}

#[async_trait]
impl Checkpoint for Departures {
    async fn clear(&self, body: Bytes) -> Result<Bytes, Error> {
        self.guard.clear(body).await
    }

    fn redacts(&self) -> bool {
        self.redactor.is_some()
    }
}

/// Puts departures of one attempt into the ledger.
struct OnRecord {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    entry: LedgerEntry,
}

#[async_trait]
impl Record for OnRecord {
    async fn record(&self, departure: Departure) -> Result<(), Error> {
        let entry = LedgerEntry {
            at: self.clock.now(),
            body_sha256: hex::encode(departure.body_sha256),
            body_bytes: departure.body_bytes as u64,
            redactions: u32::try_from(departure.redactions).unwrap_or(u32::MAX),
            ..self.entry.clone()
        };
        let durable = self.ledger.append(entry).map_err(|error| Error::Unrecorded(error.to_string()))?;
        // Written behind when it does not come in time.
        let _ = timeout(DURABLE_WITHIN, durable).await;
        Ok(())
    }
}

/// What every provider's answer passes where the request was redacted.
pub(crate) fn restored(restorer: &mut Option<Restorer>, events: Vec<Event>) -> Vec<Event> {
    match restorer {
        Some(restorer) => restorer.restore_events(events),
        None => events,
    }
}
