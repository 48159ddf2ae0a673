//! What a body passes on its way to a cloud: [`Guard`] with this call's name in the ledger.

use crate::{
    Error, Event,
    accounts::{Ledger, LedgerEntry},
    call::Call,
    egress::Checkpoint,
    plan::Candidate,
    redaction::{Departure, Guard, Patterns, Record, Redactor, Restorer},
    router::Inner,
};
use async_trait::async_trait;
use bytes::Bytes;
use domain::Clock;
use sha2::{Digest, Sha256};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a body waits for its entry to be on disk. A commit is one fsync; a disk that is full or stuck must not
/// stop calls, so then the entry waits in memory and is written as soon as it can be.
const DURABLE_WITHIN: Duration = Duration::from_millis(250);

pub(crate) struct Departures {
    guard: Guard,
    record: Arc<OnRecord>,
    redactor: Option<Arc<Redactor>>,
}

impl Departures {
    /// With `patterns`, secrets become placeholders.
    pub(crate) fn new(inner: &Inner, call: &Call, candidate: &Candidate, patterns: Option<Arc<Patterns>>) -> Arc<Self> {
        let redactor = patterns.map(|patterns| Arc::new(Redactor::new(patterns)));
        let record = Arc::new(OnRecord {
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
        });
        Arc::new(Self { guard: Guard::new(redactor.clone(), record.clone()), record, redactor })
    }

    /// Puts on record that what was on its way did not leave, where `error` says so.
    pub(crate) fn came_to(&self, error: &Error) {
        if matches!(error, Error::Unreachable { .. }) {
            for departure in self.guard.departed() {
                self.record.kept_here(departure, "never left: the provider was not reached");
            }
        }
    }

    /// Secrets that became placeholders so far.
    pub(crate) fn redactions(&self) -> u64 {
        self.guard.departed().iter().map(|departure| departure.redactions as u64).sum()
    }

    /// What turns placeholders in the answer into secrets again.
    pub(crate) fn restorer(&self) -> Option<Restorer> {
        self.redactor.as_ref().map(|redactor| redactor.restorer())
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
        let cleared = self.guard.clear(body.clone()).await;
        if let Err(error) = &cleared {
            let departure =
                Departure { body_sha256: Sha256::digest(&body).into(), body_bytes: body.len(), redactions: 0 };
            self.record.kept_here(departure, &format!("refused before sending: {}", error.recorded()));
        }
        cleared
    }

    async fn again(&self) -> Result<(), Error> {
        self.guard.again().await
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

impl OnRecord {
    fn entry_of(&self, departure: Departure) -> LedgerEntry {
        LedgerEntry {
            at: self.clock.now(),
            body_sha256: hex::encode(departure.body_sha256),
            body_bytes: departure.body_bytes as u64,
            redactions: u32::try_from(departure.redactions).unwrap_or(u32::MAX),
            ..self.entry.clone()
        }
    }

    /// A ledger that is full keeps everything here, so there is nothing more to say in it.
    fn kept_here(&self, departure: Departure, reason: &str) {
        drop(self.ledger.append(LedgerEntry { reason: reason.to_owned(), ..self.entry_of(departure) }));
    }
}

#[async_trait]
impl Record for OnRecord {
    async fn record(&self, departure: Departure) -> Result<(), Error> {
        let entry = self.entry_of(departure);
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
