//! Give ready jobs to waiting workers.
//!
//! Workers stand in one line. The service's loop takes the first of them, leases them as many ready jobs as there are
//! in one transaction, and tells each which it got. Nobody is told before the commit. A worker that goes away between
//! the two gives its job back, and one that vanishes after it was told lets its lease expire: no job goes with it.

use super::RECOVERY_DELAY;
use crate::{
    Caller, Error, Handle,
    event::{draft, stored},
    handle::Shared,
    lifecycle::{hand_back, limits_of},
    live::{NewHeld, Patience, StopCause, Waiter, later},
    validate::Mistakes,
};
use domain::{JobId, JobState, PrincipalId, Scope, Timestamp, WorkerId};
use futures_util::future::join_all;
use protocol::{Actor, CreateJob, EventBody, Folders, Lease, LeaseRequest, Usage};
use std::{sync::Arc, time::Duration};
use store::{BeginAttempt, Changed, Fence, Found, JobHead, JobRow, Urgency, Write};
use tokio::{sync::oneshot, time::Instant};

/// Longest wait of one request: below the idle time-outs of common proxies.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Workers served by one transaction: keeps it short for everybody else on the writer thread.
const SERVED_AT_ONCE: usize = 64;
/// How long a job that goes back into the queue is kept for the worker that had it, when that one is near. Long enough for
/// its next request, short enough that nobody minds when it does not come.
const KEPT: Duration = Duration::from_secs(5);
/// A worker that does not wait still gives the service's loop this long to look for a job.
const SHORTEST_WAIT: Duration = Duration::from_secs(5);

/// A worker as its new attempt names it.
#[derive(Clone)]
struct Worker {
    principal: PrincipalId,
    id: WorkerId,
    name: String,
}

impl Handle {
    /// The ready job that has waited longest by priority, or `None` when none became ready in time.
    pub async fn lease(&self, caller: &Caller, request: LeaseRequest) -> Result<Option<Lease>, Error> {
        caller.must_be(Scope::Agent)?;
        let mut mistakes = Mistakes::default();
        mistakes.shown_name("/worker_name", &request.worker_name);
        mistakes.into_result()?;
        let shared = &self.shared;
        if shared.live.stopping().is_cancelled() {
            return Err(Error::Stopping);
        }
        let wait = Duration::from_millis(request.wait_ms).min(LONGEST_WAIT);
        let (patience, wait) = if wait.is_zero() { (Patience::Once, SHORTEST_WAIT) } else { (Patience::Waits, wait) };
        let (reply, mut answer) = oneshot::channel();
        let (principal, worker, worker_name) = (caller.principal, request.worker_id, request.worker_name);
        shared.live.line.join(Waiter { principal, worker, worker_name, patience, reply }, shared.options.waiters)?;
        shared.live.wake();
        let offer = tokio::select! {
            biased;
            answer = &mut answer => answer.unwrap_or(Ok(None)),
            () = shared.live.stopping().cancelled() => last_look(answer),
            () = tokio::time::sleep(wait) => last_look(answer),
        };
        shared.live.line.heard(principal);
        Ok(offer?.and_then(Offer::take))
    }
}

/// Out of the line, unless a job was on its way already.
fn last_look(mut answer: oneshot::Receiver<Result<Option<Offer>, Error>>) -> Result<Option<Offer>, Error> {
    answer.close();
    answer.try_recv().unwrap_or(Ok(None))
}

/// A leased job on its way to its worker. One that is dropped before the worker has it goes back into the queue,
/// wherever on the way that happens.
pub(crate) struct Offer {
    lease: Option<Lease>,
    fence: Fence,
    shared: Arc<Shared>,
}

impl Offer {
    fn take(mut self) -> Option<Lease> {
        self.lease.take()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        if self.lease.is_some() {
            self.shared.live.line.leave_untaken(self.fence);
            self.shared.live.wake();
        }
    }
}

impl Shared {
    /// Serves the line until nobody waits or nothing is ready.
    pub(crate) async fn dispatch(self: &Arc<Self>) {
        loop {
            let untaken = self.live.line.take_untaken();
            join_all(untaken.into_iter().map(|fence| self.give_back(fence))).await;
            let (expected, kept): (Vec<_>, Vec<_>) = self.live.line.take_expected().into_iter().unzip();
            if !expected.is_empty() {
                // Nothing for one of them says nothing about the others: all of them stand in line again.
                self.serve(expected, kept).await;
            }
            let waiters = self.live.line.take_first(SERVED_AT_ONCE);
            if waiters.is_empty() || !self.serve(waiters, Vec::new()).await {
                return;
            }
        }
    }

    /// Inside the transaction that puts a job back into the queue: out of everybody's reach for a moment, if the worker
    /// that had it is near. `at` is the time of `now` by the clock that never steps.
    pub(crate) fn keep_back(&self, row: &mut JobRow, now: Timestamp, at: Instant) {
        let near = row.worker_principal.is_some_and(|principal| self.live.line.is_near(principal, at));
        if near && row.state == JobState::Queued && row.not_before.is_none() {
            row.not_before = Some(now.plus_millis(i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX)));
        }
    }

    /// After that transaction.
    pub(crate) fn kept_back(&self, row: &JobRow) {
        if let (Some(principal), Some(_), JobState::Queued) = (row.worker_principal, row.not_before, row.state) {
            self.live.line.keep(row.id, principal, row.worker, later(Instant::now(), KEPT));
            self.live.wake();
        }
    }

    /// One transaction for the first of the line, or for those each of these jobs is kept for. Whether all got one.
    async fn serve(self: &Arc<Self>, waiters: Vec<Waiter>, kept: Vec<JobId>) -> bool {
        let workers: Vec<_> = waiters.iter().map(Worker::of).collect();
        let was_kept = !kept.is_empty();
        let begin = begin(workers, self.now(), self.options.lease);
        let most = self.options.running_per_principal;
        let leased = if was_kept {
            self.store.lease_kept(kept, most, begin).await
        } else {
            let ready = self.store.lease_ready(waiters.len(), most, begin).await;
            ready.map(|rows| rows.into_iter().map(Some).collect())
        };
        let mut waiters = waiters.into_iter();
        let leased: Vec<Option<JobRow>> = match leased {
            Ok(leased) => leased,
            Err(error) => {
                tracing::warn!(%error, "no job can be leased");
                if let Some(first) = waiters.next() {
                    // A worker that has left does not need to hear of it.
                    let _ = first.reply.send(Err(error.into()));
                }
                self.live.line.put_back(waiters.collect());
                self.live.adopt_after(RECOVERY_DELAY);
                return false;
            }
        };
        let mut without = Vec::new();
        for (row, waiter) in leased.iter().zip(waiters.by_ref()) {
            let Some(row) = row else {
                without.push(waiter);
                continue;
            };
            let held = self.hold(row, waiter.principal, Some(&waiter.worker_name));
            let offer = held.and_then(|()| self.offer(row, &waiter));
            if let Err(error) = &offer {
                tracing::error!(job = %row.id, %error, "a leased job cannot be handed over; its lease will run out");
            }
            // What cannot be delivered is dropped here, and so goes back into the queue.
            let _ = waiter.reply.send(offer.map(Some));
        }
        without.extend(waiters);
        if was_kept {
            self.live.line.put_back(without);
            self.reconcile(&leased).await;
            return true;
        }
        let (impatient, patient): (Vec<_>, Vec<_>) =
            without.into_iter().partition(|waiter| waiter.patience == Patience::Once);
        let served_all = impatient.is_empty() && patient.is_empty();
        for waiter in impatient {
            // It has left by itself, which is just as well.
            let _ = waiter.reply.send(Ok(None));
        }
        self.live.line.put_back(patient);
        self.reconcile(&leased).await;
        served_all
    }

    /// Begins the in-memory entry of a running attempt.
    pub(crate) fn hold(&self, row: &JobRow, principal: PrincipalId, worker_name: Option<&str>) -> Result<(), Error> {
        let limits = limits_of(row)?;
        let new = NewHeld {
            job: row.id,
            attempt: row.attempt,
            principal,
            worker_name: worker_name.map(str::to_owned),
            ran_before_ms: row.running_ms,
            total_limit: Duration::from_millis(limits.total_timeout_ms),
            idle_limit: Duration::from_millis(limits.idle_timeout_ms),
        };
        self.live.hold(new, self.options.lease);
        if row.cancel_requested {
            self.live.stop(row.id, row.attempt, StopCause::Cancelled, self.stop_grace());
        }
        Ok(())
    }

    fn offer(self: &Arc<Self>, row: &JobRow, waiter: &Waiter) -> Result<Offer, Error> {
        let spec: CreateJob = stored(row.id, "specification", &row.spec)?;
        let usage: Usage = stored(row.id, "usage", &row.usage)?;
        let lease = Lease {
            job_id: row.id,
            epoch: self.store.epoch(),
            attempt: row.attempt,
            folders: Folders::parse(&row.folders),
            lease_ms: u64::try_from(self.options.lease.as_millis()).unwrap_or(u64::MAX),
            usage,
            time_left_ms: spec.limits.total_timeout_ms.saturating_sub(row.running_ms),
            head: row.head(self.store.epoch()),
            spec,
        };
        let (epoch, attempt) = (self.store.epoch(), row.attempt);
        let fence = Fence { job: row.id, epoch, attempt, principal: waiter.principal };
        Ok(Offer { lease: Some(lease), fence, shared: self.clone() })
    }

    /// The worker left before it heard of its job, so nothing was done: the attempt does not count.
    async fn give_back(&self, fence: Fence) {
        let now = self.now();
        let hand_back = move |found: &Found| {
            let mut row = found.job.clone();
            fence.check(&JobHead::from(&row))?;
            let event = hand_back(&mut row, now, "the worker went away before it was told of the job")?;
            Ok(Some(Write::new(row, vec![event])))
        };
        let row = self.store.change_job(fence.job, Urgency::Relief, Box::new(hand_back));
        match row.await {
            Ok(Changed { job, .. }) => {
                self.live.end(fence.job, fence.attempt);
                self.freed(&job);
            }
            // The lease expires by itself.
            Err(error) => tracing::warn!(job = %fence.job, %error, "a job was not given back"),
        }
    }

    /// A cancel that was committed after the lease and looked for the attempt before it was held found nobody to tell.
    /// Reading the rows again after holding them leaves no such gap.
    async fn reconcile(&self, leased: &[Option<JobRow>]) {
        let jobs: Vec<_> = leased.iter().flatten().map(|row| row.id).collect();
        if jobs.is_empty() {
            return;
        }
        match self.store.jobs(jobs).await {
            Ok(rows) => {
                let cancelled = rows.into_iter().filter(|row| row.cancel_requested);
                for row in cancelled.filter(|row| row.state == JobState::Running) {
                    self.live.stop(row.id, row.attempt, StopCause::Cancelled, self.stop_grace());
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot check whether jobs were cancelled while they were leased");
                self.live.adopt_after(RECOVERY_DELAY);
            }
        }
    }
}

impl Worker {
    fn of(waiter: &Waiter) -> Self {
        Self { principal: waiter.principal, id: waiter.worker, name: waiter.worker_name.clone() }
    }
}

/// How each of these workers begins a new attempt.
fn begin(workers: Vec<Worker>, now: Timestamp, lease: Duration) -> BeginAttempt {
    let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
    Box::new(move |number, mut row| {
        let Some(worker) = workers.get(number).cloned() else {
            return Err(Error::Stopping.into()); // nobody asked for this one
        };
        row.state = JobState::Running;
        row.attempt = row.attempt.saturating_add(1);
        row.worker = Some(worker.id);
        row.worker_principal = Some(worker.principal);
        row.producer_seq = 0;
        row.message = None;
        row.not_before = None;
        row.updated_at = now;
        row.started_at = row.started_at.or(Some(now));
        let body = EventBody::JobLeased { worker_id: worker.id, worker_name: worker.name, lease_ms };
        let event = draft(Actor::System, row.attempt, now, body)?;
        Ok((row, event))
    })
}
