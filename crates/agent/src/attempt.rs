//! One attempt at one job, from lease to end.
//!
//! ```text
//!   leased ─▶ read the log (attempt > 1) ─▶ sandbox.ready ─▶ workspace.prepared ─▶ ask | code ─▶ finish
//!      │                                                                             │
//!      └── on tasks of their own: heartbeats, events                                 ├─ cancelled, time up ─▶ finish
//!                                                                                    ├─ shutting down ─▶ release
//!                                                                                    ├─ a person has to decide ─▶ nothing
//!                                                                                    └─ lease lost ─▶ nothing, at once
//! ```

mod ending;
mod opening;

use crate::{
    appender::{self, Appender},
    budget::Budget,
    call_id::ModelCallId,
    halt::Halt,
    heartbeat::Pulse,
    model::Profile,
    options::Options,
    sandbox::{Place, Sandbox},
    stop::{Cause, Stop},
    workspace::{self, Workspace},
};
use client::Client;
use domain::{Epoch, JobId, JobKind};
use protocol::{CheckResult, CreateJob, Lease};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// Everything the work on a job needs at hand.
pub(crate) struct Attempt {
    pub(crate) client: Client,
    pub(crate) options: Arc<Options>,
    pub(crate) job: JobId,
    /// The fencing token.
    pub(crate) epoch: Epoch,
    pub(crate) number: u32,
    pub(crate) spec: CreateJob,
    pub(crate) stop: Stop,
    pub(crate) appender: Appender,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) workspace: Workspace,
    pub(crate) place: Place,
    pub(crate) profile: Profile,
    /// The one target of the job's route that is asked; `None` for whichever it comes to.
    pub(crate) target: Option<String>,
    /// The model only writes; see `guided`.
    pub(crate) is_guided: bool,
    pub(crate) budget: Budget,
    /// `provider/model` of every model that answered.
    pub(crate) models: Vec<String>,
    /// Step commits so far, over all attempts that build on each other.
    pub(crate) step: u32,
    /// What the model has to know of its workspace and was not told yet: goes with the next result.
    pub(crate) untold: Vec<String>,
    /// The newest model call, so that a repeat of it gets another name.
    pub(crate) newest_call: Option<ModelCallId>,
    /// How the check ended, the last time it ran.
    pub(crate) checked: Option<CheckResult>,
    /// People were told that the check changes files.
    pub(crate) said_undone: bool,
}

/// What a job that succeeded has to say.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) answer: String,
}

/// A lease and what is needed to work under it.
pub(crate) struct Leased {
    pub(crate) options: Arc<Options>,
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) lease: Lease,
    pub(crate) leased_at: Instant,
}

impl Leased {
    /// Works until the job is finished, handed back or lost. Nothing of it runs on afterwards.
    pub(crate) async fn work(self, shutdown: &CancellationToken) {
        let Leased { options, sandbox, lease, leased_at } = self;
        let stop = Stop::default();
        let client = options.client.clone();
        let (job, epoch, number) = (lease.job_id, lease.epoch, lease.attempt);
        let (appender, sender) = appender::new(client.clone(), job, (epoch, number), stop.clone());
        let pulse = Pulse {
            client: client.clone(),
            job,
            epoch,
            attempt: number,
            lease: Duration::from_millis(lease.lease_ms),
            leased_at,
            time_up_at: leased_at + Duration::from_millis(lease.time_left_ms),
            stop: stop.clone(),
        };
        // Dropped at the end, and with it whatever still runs.
        let mut tasks = JoinSet::new();
        tasks.spawn(pulse.keep());
        tasks.spawn(sender.run());
        tasks.spawn({
            let (shutdown, stop) = (shutdown.clone(), stop.clone());
            async move {
                shutdown.cancelled().await;
                stop.request(Cause::ShuttingDown);
            }
        });

        tracing::info!(%job, attempt = number, kind = %lease.spec.kind, "working");
        let usage = lease.usage;
        let opened = Attempt::open(options, sandbox, lease, stop.clone(), appender.clone()).await;
        let (mut attempt, outcome) = match opened {
            Ok((mut attempt, past)) => {
                let outcome = match attempt.spec.kind {
                    JobKind::Ask => attempt.ask(past.last_turn + 1, past.facts).await,
                    // Both in boxes: a future holds the larger of all that it may wait for.
                    JobKind::Code => {
                        let here = attempt.workspace.location().display().to_string();
                        match Box::pin(attempt.set_up(past.set_up == Some(here))).await {
                            Ok(()) => Box::pin(attempt.code(past.last_turn + 1, past.facts)).await,
                            Err(halt) => Err(halt),
                        }
                    }
                };
                (Some(attempt), outcome)
            }
            Err(halt) => (None, Err(halt)),
        };
        let ending = ending::Ending { client, job, epoch, number, stop, appender, usage };
        ending.conclude(attempt.as_mut(), outcome).await;
    }
}

impl Attempt {
    /// Commits the workspace under its hidden ref; returns the commit.
    pub(crate) async fn checkpoint(&mut self) -> Result<String, Halt> {
        self.step += 1;
        self.workspace.checkpoint(self.step).await.map_err(broken_workspace)
    }
}

/// Some problems only the user can mend; with the others another attempt may fare better.
pub(crate) fn broken_workspace(error: workspace::Error) -> Halt {
    match error {
        workspace::Error::Stopped => Halt::Stopped,
        error if error.is_callers() => Halt::error(error.to_string()),
        error => Halt::AttemptFailed { message: format!("the workspace cannot be used: {error}") },
    }
}
