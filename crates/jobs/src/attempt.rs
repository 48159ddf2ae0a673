//! What is done on behalf of one attempt, by its agent or by the backend.
//!
//! Every write checks the fencing token inside the transaction that makes it: the job must be running, in exactly this
//! attempt, leased by this principal since the last restore. There is no other way to write for an attempt.

mod append;
mod approval;
mod artifact;
mod finish;
mod heartbeat;
mod lease;
mod release;

pub(crate) use lease::Offer;

use crate::{Caller, Error, Handle, event::stored, handle::Batch};
use domain::{Cursor, Epoch, JobId, PrincipalId, Scope};
use protocol::{Actor, CreateJob, EventBody, Usage};
use std::time::Duration;
use store::{Append, Fence, JobHead};
use tokio_util::sync::CancellationToken;

/// Pause before something is tried again that the store refused, such as while its disk is full.
pub(crate) const RECOVERY_DELAY: Duration = Duration::from_secs(1);

/// What an agent shows with every call, if it may be one.
fn fence(caller: &Caller, job: JobId, epoch: Epoch, attempt: u32) -> Result<Fence, Error> {
    caller.must_be(Scope::Agent)?;
    Ok(Fence { job, epoch, attempt, principal: caller.principal })
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
    pub async fn attempt(&self, caller: &Caller, job: JobId, lease: (Epoch, u32)) -> Result<Attempt, Error> {
        let (epoch, attempt) = lease;
        let fence = fence(caller, job, epoch, attempt)?;
        let row = self.shared.store.job(job).await?.ok_or_else(|| Error::no_job(job))?;
        fence.check(&JobHead::from(&row))?;
        let current = row.attempt;
        let over = self.shared.live.over(job, attempt).ok_or(Error::StaleAttempt { job, attempt, current })?;
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
        let mut batch = Batch::new(Actor::System, self.fence.attempt, shared.now(), events)?;
        let count = batch.count(shared.live.ran_ms(self.fence.job, self.fence.attempt));
        let (fence, spent_calls) = (self.fence, Vec::new());
        let append = Append { fence, batch: None, events: batch.events, spent_calls, count };
        let appended = shared.store.append_under_fence(append).await?;
        shared.live.heard(fence.job, fence.attempt);
        Ok(appended.head)
    }
}
