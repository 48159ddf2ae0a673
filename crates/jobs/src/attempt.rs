//! What is done on behalf of one attempt, by its agent or by the backend.
//!
//! Every write checks the fencing token inside the transaction that makes it: the job must be running, in exactly this
//! attempt, leased by this principal. There is no other way to write for an attempt.

mod append;
mod approval;
mod artifact;
mod finish;
mod heartbeat;
mod lease;
mod release;

pub(crate) use lease::Offer;

use crate::{
    Caller, Error, Handle,
    event::stored,
    handle::{Batch, found, head},
};
use domain::{Cursor, JobId, JobState, PrincipalId, Scope};
use protocol::{Actor, CreateJob, EventBody, Usage};
use std::time::Duration;
use store::{JobHead, JobRow, Reader};
use tokio_util::sync::CancellationToken;

/// Pause before something is tried again that the store refused, such as while its disk is full.
pub(crate) const RECOVERY_DELAY: Duration = Duration::from_secs(1);

/// An attempt and its fencing token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fence {
    pub principal: PrincipalId,
    pub job: JobId,
    pub attempt: u32,
}

impl Fence {
    pub fn new(caller: &Caller, job: JobId, attempt: u32) -> Result<Self, Error> {
        caller.must_be(Scope::Agent)?;
        Ok(Self { principal: caller.principal, job, attempt })
    }

    /// The job's head, if this attempt may write to it now.
    pub fn check_head(self, reader: &Reader<'_>) -> Result<JobHead, Error> {
        let head = head(reader, self.job)?;
        if head.attempt != self.attempt || head.state != JobState::Running {
            return Err(self.stale(head.attempt));
        }
        if head.worker_principal != Some(self.principal) {
            return Err(Error::no_job(self.job));
        }
        Ok(head)
    }

    /// The job's whole row, if this attempt may write to it now.
    pub fn check(self, reader: &Reader<'_>) -> Result<JobRow, Error> {
        self.check_head(reader)?;
        found(reader, self.job)
    }

    /// Whether this attempt was the job's last one, running or not: then what it says again was said before.
    pub fn was_last(self, row: &JobRow) -> bool {
        row.attempt == self.attempt && row.worker_principal == Some(self.principal)
    }

    pub fn stale(self, current: u32) -> Error {
        Error::StaleAttempt { job: self.job, attempt: self.attempt, current }
    }
}

/// The backend at work for an attempt: model calls made in its name.
pub struct Attempt {
    handle: Handle,
    fence: Fence,
    spec: CreateJob,
    usage: Usage,
    owner: PrincipalId,
    over: CancellationToken,
}

impl Handle {
    /// The attempt, if it still holds its lease.
    pub async fn attempt(&self, caller: &Caller, job: JobId, attempt: u32) -> Result<Attempt, Error> {
        let fence = Fence::new(caller, job, attempt)?;
        let row = self.shared.store.read(move |reader| fence.check(reader)).await?;
        let over = self.shared.live.over(job, attempt).ok_or_else(|| fence.stale(row.attempt))?;
        let spec = stored(job, "specification", &row.spec)?;
        let usage = stored(job, "usage", &row.usage)?;
        Ok(Attempt { handle: self.clone(), fence, owner: row.principal, spec, usage, over })
    }
}

impl Attempt {
    pub fn job(&self) -> JobId {
        self.fence.job
    }

    pub fn number(&self) -> u32 {
        self.fence.attempt
    }

    /// Who asked for the job, and pays for it.
    pub fn owner(&self) -> PrincipalId {
        self.owner
    }

    /// What the job may do: its route, limits and egress.
    pub fn spec(&self) -> &CreateJob {
        &self.spec
    }

    /// What the job had used when this was asked for.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Fires when the attempt is cancelled, out of time, finished, released, or has lost its lease.
    pub fn cancelled(&self) -> CancellationToken {
        self.over.clone()
    }

    /// Appends what the backend did for the attempt: `model.*` events, which agents do not write themselves. Answered
    /// with the durable end of the log.
    pub async fn record(&self, events: Vec<EventBody>) -> Result<Cursor, Error> {
        let shared = &self.handle.shared;
        let batch = Batch::new(Actor::System, self.fence.attempt, shared.now(), events)?;
        let (fence, ran_ms) = (self.fence, shared.live.ran_ms(self.fence.job, self.fence.attempt));
        let seq = shared.store.write(move |transaction| {
            if batch.counts() {
                let mut row = fence.check(transaction)?;
                batch.count_into(&mut row)?;
                row.running_ms = ran_ms.unwrap_or(row.running_ms);
                transaction.update_job(&row)?;
            } else {
                fence.check_head(transaction)?;
            }
            Ok::<_, Error>(transaction.append(fence.job, &batch.events)?.seq)
        });
        let seq = seq.await?;
        shared.live.heard(fence.job, fence.attempt);
        Ok(Cursor { epoch: shared.store.epoch(), seq })
    }
}
