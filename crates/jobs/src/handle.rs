//! The cheap handle every request goes through, and what all handles share.

use crate::{
    Error, Options,
    event::{draft, stored},
    lifecycle,
    live::{Delayed, Live, later},
    view,
};
use domain::{Clock, JobId, JobState, Timestamp};
use protocol::{Actor, EventBody, Job, WaitsFor};
use std::{sync::Arc, time::Duration};
use store::{JobHead, JobRow, NewEvent, Reader, Store, Transaction};
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
        let command = self.shared.commands.spawn(command(self.shared.clone()));
        command.await.unwrap_or_else(|gone| match gone.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::Stopping),
        })
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

/// Stores what became of a job, and reads it back with its new head.
pub(crate) fn record(transaction: &mut Transaction<'_>, row: &JobRow, events: &[NewEvent]) -> Result<JobRow, Error> {
    transaction.update_job(row)?;
    transaction.append(row.id, events)?;
    found(transaction, row.id)
}

pub(crate) fn found(reader: &Reader<'_>, job: JobId) -> Result<JobRow, Error> {
    reader.job(job)?.ok_or_else(|| Error::no_job(job))
}

/// [`found`] without the documents, for what is done many times a second.
pub(crate) fn head(reader: &Reader<'_>, job: JobId) -> Result<JobHead, Error> {
    reader.job_head(job)?.ok_or_else(|| Error::no_job(job))
}

/// One batch of events, canonicalised before it is handed to the writer thread.
pub(crate) struct Batch {
    pub events: Vec<NewEvent>,
    /// What counts towards the job's usage.
    counted: Vec<EventBody>,
    /// Tool calls that began or ended: what a person decided on them is spent.
    calls: Vec<String>,
}

impl Batch {
    pub fn new(actor: Actor, attempt: u32, now: Timestamp, bodies: Vec<EventBody>) -> Result<Self, Error> {
        let counts = |body: &&EventBody| {
            matches!(
                body,
                EventBody::BudgetUpdated { .. } | EventBody::ModelFinished { .. } | EventBody::ToolFinished { .. }
            )
        };
        let counted = bodies.iter().filter(counts).cloned().collect();
        let calls = bodies.iter().filter_map(|body| match body {
            EventBody::ToolStarted { call_id, .. } | EventBody::ToolFinished { call_id, .. } => Some(call_id.clone()),
            _ => None,
        });
        let calls = calls.collect();
        let events = bodies.into_iter().map(|body| draft(actor, attempt, now, body)).collect::<Result<_, _>>()?;
        Ok(Self { events, counted, calls })
    }

    /// Marks decisions that were made use of.
    pub fn spend_approvals(&self, transaction: &mut Transaction<'_>, job: JobId) -> Result<(), Error> {
        for call in &self.calls {
            transaction.spend_approvals(job, call)?;
        }
        Ok(())
    }

    /// Whether the batch changes what the job used.
    pub fn counts(&self) -> bool {
        !self.counted.is_empty()
    }

    /// Adds what the batch used to the job's row.
    pub fn count_into(&self, row: &mut JobRow) -> Result<(), Error> {
        let usage = stored(row.id, "usage", &row.usage)?;
        row.usage = crate::event::to_store(&self.counted.iter().fold(usage, lifecycle::count))?;
        Ok(())
    }
}
