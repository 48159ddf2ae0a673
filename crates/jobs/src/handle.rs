//! The cheap handle every request goes through, and what all handles share.

use crate::{
    Error, Options,
    carry_through::carry_through,
    event::{draft, stored, to_store},
    lifecycle,
    live::{Delayed, Live, later},
    view,
};
use domain::{Clock, JobState, Timestamp};
use protocol::{Actor, EventBody, Job, WaitsFor};
use sha2::{Digest, Sha256};
use std::{sync::Arc, time::Duration};
use store::{BatchId, Count, JobRow, NewEvent, Store};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// Commands and readers. Clone it freely; the work behind it is done by [`crate::Service::run`].
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub options: Options,
    pub live: Live,
    /// Commands under way.
    pub commands: TaskTracker,
}

impl Handle {
    /// Runs a command to its end even if whoever asked for it is gone before: what a commit means for memory (an agent
    /// to tell, a worker to wake) must not depend on somebody waiting for the answer.
    pub(crate) async fn carry_through<T, F>(&self, command: impl FnOnce(Arc<Shared>) -> F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Error>> + Send + 'static,
    {
        let command = command(self.shared.clone());
        carry_through(&self.shared.commands, command).await.unwrap_or(Err(Error::Stopping))
    }
}

impl Shared {
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn view(&self, row: JobRow) -> Result<Job, Error> {
        let mut job = view::job(row, self.store.epoch())?;
        if job.state == JobState::Queued && self.live.is_deserted() {
            job.waits_for = Some(WaitsFor::Agent);
        }
        Ok(job)
    }

    /// After a commit that put a job into the queue.
    pub fn queued(&self, row: &JobRow) {
        match row.not_before {
            None => self.live.wake(),
            Some(not_before) => self.live.delay(self.due(not_before)),
        }
    }

    /// When to look for a job that waits until `not_before`. Never later than the longest backoff: if the wall clock
    /// was set back in between, the job must not wait for it to catch up.
    pub fn due(&self, not_before: Timestamp) -> Delayed {
        let wait = u64::try_from(not_before.as_millis() - self.now().as_millis()).unwrap_or(0);
        let wait = Duration::from_millis(wait).min(self.options.backoff.cap);
        Delayed { due: later(Instant::now(), wait), not_before }
    }

    /// How long an attempt that was told to stop may take.
    pub fn stop_grace(&self) -> Duration {
        self.options.lease + self.options.stop_grace
    }
}

/// One batch of events, canonicalised before it is handed to the store.
pub(crate) struct Batch {
    pub events: Vec<NewEvent>,
    /// Tool calls that began or ended: what a person decided on them is spent.
    pub calls: Vec<String>,
    /// What counts towards the job's usage.
    counted: Vec<EventBody>,
}

impl Batch {
    pub fn new(actor: Actor, attempt: u32, now: Timestamp, bodies: Vec<EventBody>) -> Result<Self, Error> {
        let counts = |body: &&EventBody| {
            matches!(
                body,
                EventBody::BudgetUpdated { .. }
                    | EventBody::ModelFinished { .. }
                    | EventBody::ToolFinished { .. }
                    | EventBody::CheckFinished { .. }
            )
        };
        let counted = bodies.iter().filter(counts).cloned().collect();
        let calls = bodies.iter().filter_map(|body| match body {
            EventBody::ToolStarted { call_id, .. } | EventBody::ToolFinished { call_id, .. } => Some(call_id.clone()),
            _ => None,
        });
        let calls = calls.collect();
        let events = bodies.into_iter().map(|body| draft(actor, attempt, now, body)).collect::<Result<_, _>>()?;
        Ok(Self { events, calls, counted })
    }

    /// The number an agent gave to it, and a digest of what is in it.
    pub fn id(&self, producer_seq: u64) -> BatchId {
        let mut digest = Sha256::new();
        for event in &self.events {
            let (name, payload) = (event.event_type.as_bytes(), event.payload.as_str().as_bytes());
            for part in [name, payload] {
                digest.update((part.len() as u64).to_le_bytes());
                digest.update(part);
            }
        }
        BatchId { producer_seq, sha256: digest.finalize().into() }
    }

    /// How it changes what the job used; `None` when it does not.
    pub fn count(&mut self, ran_ms: Option<u64>) -> Option<Count> {
        let counted = std::mem::take(&mut self.counted);
        if counted.is_empty() {
            return None;
        }
        Some(Box::new(move |row: &mut JobRow| {
            let usage = stored(row.id, "usage", &row.usage)?;
            row.usage = to_store(&counted.iter().fold(usage, lifecycle::count))?;
            row.running_ms = ran_ms.unwrap_or(row.running_ms);
            Ok(())
        }))
    }
}
