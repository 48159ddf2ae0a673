//! What happens by itself: leases are given and taken away, backoffs end, old things are removed.

use crate::{
    Error, Handle, Options,
    attempt::RECOVERY_DELAY,
    handle::Shared,
    housekeeping::Trust,
    lifecycle::{Ending, Failure, close, fail_attempt, hand_back, limits_of, out_of_time, too_silent},
    live::{Delayed, Expired, Live, StopCause, later},
};
use domain::{Clock, JobState};
use futures_util::future::join_all;
use protocol::{Actor, RequeueCause};
use std::sync::Arc;
use store::{Changed, Found, JobRow, Store, Urgency, Write};
use tokio::time::{Instant, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Attempts taken away at the same time: as many writes wait for the writer thread then.
const EXPIRED_AT_ONCE: usize = 64;

/// The one task that moves jobs on. Make it with [`Service::start`], give it a task of its own with [`Service::run`].
pub struct Service {
    shared: Arc<Shared>,
}

impl Service {
    /// Takes up what a restart left behind: every running job gets one fresh lease time, for its worker to be heard of
    /// again, and backoffs go on.
    pub async fn start(store: Store, clock: Arc<dyn Clock>, options: Options) -> Result<(Self, Handle), Error> {
        let (live, commands) = (Live::new(), TaskTracker::new());
        let shared = Arc::new(Shared { store, clock, options, live, commands });
        shared.adopt().await?;
        match shared.promote(None).await {
            // On a full disk people have to get in to delete something; delayed jobs wait for that.
            Err(Error::Store(error @ (store::Error::StorageFull(_) | store::Error::StorageFailed(_)))) => {
                tracing::warn!(%error, "delayed jobs cannot be queued; trying again");
                let not_before = shared.now();
                shared.live.delay(Delayed { due: later(Instant::now(), RECOVERY_DELAY), not_before });
            }
            promoted => promoted?,
        }
        Ok((Self { shared: shared.clone() }, Handle { shared }))
    }

    /// Works until `shutdown` fires. What is being written then is written; long-polls are answered at once; running
    /// attempts keep their leases for the backend that comes after.
    pub async fn run(self, shutdown: CancellationToken) {
        let shared = self.shared;
        let move_on = async {
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    () = shared.live.woken() => {}
                    () = sleep_until(shared.live.next_deadline()) => {}
                }
                shared.expire().await;
                shared.end_backoffs().await;
                shared.dispatch().await;
            }
            shared.live.stopping().cancel();
        };
        let keep_house = async {
            let (mut due, mut trust) = (Instant::now(), Trust::default());
            loop {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => break,
                    () = sleep_until(due) => {}
                }
                due = later(Instant::now(), shared.options.housekeeping);
                shared.keep_house(&mut trust).await;
            }
        };
        tokio::join!(move_on, keep_house);
        shared.commands.close();
        shared.commands.wait().await;
    }
}

impl Shared {
    /// Gives every running job that nobody holds a fresh lease.
    pub(crate) async fn adopt(&self) -> Result<(), Error> {
        let running = self.store.running_jobs().await?;
        for row in running {
            if row.lease_epoch != Some(self.store.epoch()) {
                if let Err(error) = self.put_back(&row).await {
                    tracing::warn!(job = %row.id, %error, "a job that ran under another epoch cannot be queued yet");
                }
                continue;
            }
            let Some(principal) = row.worker_principal else { continue };
            if let Err(error) = self.hold(&row, principal, None) {
                tracing::error!(job = %row.id, %error, "a running job cannot be taken up");
            }
        }
        Ok(())
    }

    /// A job that ran when the backup, or the copy, was made that this data folder comes from. Its agent, if there still is one, knows
    /// another log than the one here.
    async fn put_back(&self, row: &JobRow) -> Result<(), Error> {
        let (job, now, epoch) = (row.id, self.now(), self.store.epoch());
        let put_back = move |found: &Found| {
            let mut row = found.job.clone();
            if row.state != JobState::Running || row.lease_epoch == Some(epoch) {
                return Ok(None);
            }
            let event =
                hand_back(&mut row, now, "the mesh was restored from a backup or a copy, or updated, while it ran")?;
            Ok(Some(Write::new(row, vec![event])))
        };
        let Changed { job: row, wrote } = self.store.change_job(job, Urgency::Relief, Box::new(put_back)).await?;
        if wrote {
            tracing::info!(%job, "a job that ran under another epoch is queued again");
            self.freed(&row);
        }
        Ok(())
    }

    /// Takes away every lease that ran out, and closes what did not stop when told.
    async fn expire(&self) {
        let expired = self.live.expire(self.stop_grace());
        let mut expired = expired.into_iter().peekable();
        while expired.peek().is_some() {
            let some: Vec<_> = expired.by_ref().take(EXPIRED_AT_ONCE).map(|expired| self.lose(expired)).collect();
            join_all(some).await;
        }
        if self.live.take_adopt()
            && let Err(error) = self.adopt().await
        {
            tracing::warn!(%error, "running jobs cannot be looked up; trying again");
            self.live.adopt_after(RECOVERY_DELAY);
        }
    }

    /// One attempt is over without its worker.
    async fn lose(&self, expired: Expired) {
        let (now, backoff, lease) = (self.now(), self.options.backoff, self.options.lease);
        let job = expired.job;
        let lose = move |found: &Found| {
            let mut row = found.job.clone();
            if row.attempt != expired.attempt || row.state != JobState::Running {
                return Ok(None);
            }
            row.running_ms = expired.ran_ms;
            let event = match expired.told {
                Some(StopCause::TotalTime) if !row.cancel_requested => {
                    let ending = out_of_time(&limits_of(&row)?);
                    close(&mut row, Actor::System, now, ending)?
                }
                Some(StopCause::IdleTime) if !row.cancel_requested => {
                    let ending = too_silent(&limits_of(&row)?);
                    close(&mut row, Actor::System, now, ending)?
                }
                _ if row.cancel_requested => {
                    let ending = Ending::cancelled(row.message.clone());
                    close(&mut row, Actor::System, now, ending)?
                }
                _ => {
                    // Without its name: ids tell workers apart as well.
                    let id = || row.worker.map_or_else(|| "unknown".to_owned(), |worker| worker.to_string());
                    let worker = expired.worker_name.clone().unwrap_or_else(id);
                    let message = format!("no heartbeat from worker {worker} for {lease:?}");
                    let delay = backoff.after_lost_lease(row.attempts_failed.saturating_add(1));
                    let failure = Failure { cause: RequeueCause::LeaseLost, message: &message, delay };
                    fail_attempt(&mut row, now, &failure)?
                }
            };
            Ok(Some(Write::new(row, vec![event])))
        };
        match self.store.change_job(job, Urgency::Relief, Box::new(lose)).await {
            Ok(Changed { job: row, wrote: true }) => {
                tracing::info!(%job, state = %row.state, "an attempt was taken away");
                self.freed(&row);
            }
            Ok(Changed { wrote: false, .. }) | Err(store::Error::NoSuchJob(_)) => {}
            Err(error) => {
                // The job still runs as far as the store knows: it gets a lease again, which runs out again.
                tracing::warn!(%job, %error, "a lost lease cannot be recorded; trying again");
                self.live.adopt_after(RECOVERY_DELAY);
            }
        }
    }

    async fn end_backoffs(&self) {
        let Some(delayed) = self.live.take_delayed() else { return };
        if let Err(error) = self.promote(Some(delayed)).await {
            tracing::warn!(%error, "delayed jobs cannot be queued; trying again");
            self.live.delay(Delayed { due: later(Instant::now(), RECOVERY_DELAY), ..delayed });
        }
    }

    /// Makes jobs ready whose backoff is over, and looks when the next one will be.
    async fn promote(&self, delayed: Option<Delayed>) -> Result<(), Error> {
        let now = self.now();
        // The wait was measured by the clock that never steps, so it is over even if the wall clock says otherwise.
        let until = delayed.map_or(now, |delayed| delayed.not_before.max(now));
        if let Some(next) = self.store.promote_delayed(until).await? {
            self.live.delay(self.due(next));
        }
        Ok(())
    }

    /// After a commit that ended an attempt: a place is free, and the job may be ready again.
    pub(crate) fn freed(&self, row: &JobRow) {
        if row.state == JobState::Queued {
            self.queued(row);
        }
        self.live.wake();
    }
}
