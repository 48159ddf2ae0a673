//! What only memory knows: which attempts hold a lease until when, how to reach them, and which workers wait.
//!
//! The store is the truth about jobs; this is the truth about time. Deadlines are `tokio::time::Instant`s, so a step of
//! the wall clock expires nothing. All of it can be lost: after a restart every running job gets one fresh lease.
//!
//! ```text
//!                      leased (or adopted after a restart)
//!                                   │
//!                                   ▼
//!        heartbeat: lease + 15 s ┌──────┐ cancel, total or idle time over   ┌──────────┐
//!        write: idle + limit     │ held │ ───────────────────────────────▶  │ stopping │ control says so,
//!                          └────▶└──────┘                                   └──────────┘ `over` has fired
//!                                   │                                            │
//!             finish, release, approval asked, or no heartbeat within the lease  │ the same, or `by` has passed
//!                                   ▼                                            ▼
//!                                 gone: `over` has fired, the store says what became of the job
//! ```
//! An entry belongs to one `(job, attempt)`; whatever arrives late for an older attempt finds no entry. An entry that is
//! missing for a running job (its transaction committed, yet the answer was lost) is made again by
//! [`crate::Service`]'s housekeeping, so nothing runs without a deadline.

mod line;

pub(crate) use line::{Line, Patience, Waiter};

use domain::{JobId, PrincipalId, Timestamp};
use protocol::Control;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// Answered instead of a deadline when there is none. Far enough to never matter, near enough to never overflow.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) struct Live {
    state: Mutex<State>,
    /// The workers that wait for a job.
    pub line: Line,
    wake: Notify,
    stopping: CancellationToken,
}

#[derive(Default)]
struct State {
    held: HashMap<JobId, Held>,
    delayed: Option<Delayed>,
    /// When to look for running jobs without an entry, outside the regular housekeeping.
    adopt_at: Option<Instant>,
}

/// One attempt under a lease.
struct Held {
    attempt: u32,
    principal: PrincipalId,
    worker_name: Option<String>,
    since: Instant,
    /// Running time of the job before this attempt (or before the restart), in milliseconds.
    ran_before_ms: u64,
    lease_until: Instant,
    total_until: Instant,
    idle: Duration,
    idle_until: Instant,
    stop: Option<Stop>,
    control: watch::Sender<Control>,
    over: CancellationToken,
}

#[derive(Clone, Copy, Debug)]
struct Stop {
    cause: StopCause,
    /// The job is closed without its agent then.
    by: Instant,
}

/// Why an attempt was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopCause {
    Cancelled,
    TotalTime,
    IdleTime,
}

impl StopCause {
    fn control(self) -> Control {
        match self {
            Self::Cancelled => Control::Cancel,
            Self::TotalTime | Self::IdleTime => Control::TimeOut,
        }
    }
}

/// What a new entry is made from.
pub(crate) struct NewHeld {
    pub job: JobId,
    pub attempt: u32,
    pub principal: PrincipalId,
    /// `None` where it stands in the log only: of attempts from before a restart.
    pub worker_name: Option<String>,
    pub ran_before_ms: u64,
    pub total_limit: Duration,
    pub idle_limit: Duration,
}

/// An attempt whose time is up.
#[derive(Debug)]
pub(crate) struct Expired {
    pub job: JobId,
    pub attempt: u32,
    pub worker_name: Option<String>,
    pub ran_ms: u64,
    /// Set when it had been told to stop before.
    pub told: Option<StopCause>,
}

/// The earliest job that waits out a backoff.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Delayed {
    /// When to look, by the clock that never steps.
    pub due: Instant,
    /// What its row says, by the wall clock.
    pub not_before: Timestamp,
}

impl Live {
    pub fn new() -> Self {
        Self { state: Mutex::default(), line: Line::default(), wake: Notify::new(), stopping: CancellationToken::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a panic elsewhere in one of them is no reason to stop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the service's loop that a job may be ready, a worker waits, or a deadline came nearer.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Fires when the service has ended: long-polls answer at once.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Begins an entry with a fresh lease. Replaces that of an older attempt, and never that of this or a newer one.
    pub fn hold(&self, new: NewHeld, lease: Duration) {
        let now = Instant::now();
        let left = new.total_limit.saturating_sub(Duration::from_millis(new.ran_before_ms));
        let entry = Held {
            attempt: new.attempt,
            principal: new.principal,
            worker_name: new.worker_name,
            since: now,
            ran_before_ms: new.ran_before_ms,
            lease_until: later(now, lease),
            total_until: later(now, left),
            idle: new.idle_limit,
            idle_until: later(now, new.idle_limit),
            stop: None,
            control: watch::Sender::new(Control::Continue),
            over: CancellationToken::new(),
        };
        let mut state = self.state();
        if let Some(old) = state.held.get_mut(&new.job).filter(|old| old.attempt >= new.attempt) {
            // Who looks for attempts that nobody holds may find this one before who leased it.
            if old.attempt == new.attempt && old.worker_name.is_none() {
                old.worker_name = entry.worker_name;
            }
            return;
        }
        if let Some(old) = state.held.insert(new.job, entry) {
            old.over.cancel();
        }
        drop(state);
        self.wake();
    }

    /// A heartbeat: the lease begins anew. `None` when this attempt holds no lease (any more) of this principal's.
    pub fn heartbeat(
        &self,
        job: JobId,
        attempt: u32,
        principal: PrincipalId,
        lease: Duration,
    ) -> Option<watch::Receiver<Control>> {
        let mut state = self.state();
        let entry = state.entry(job, attempt)?;
        if entry.principal != principal {
            return None;
        }
        entry.lease_until = later(Instant::now(), lease);
        Some(entry.control.subscribe())
    }

    /// The attempt wrote something: its silence begins anew.
    pub fn heard(&self, job: JobId, attempt: u32) {
        let mut state = self.state();
        if let Some(entry) = state.entry(job, attempt) {
            entry.idle_until = later(Instant::now(), entry.idle);
        }
    }

    /// How long the job has been running over all its attempts, in milliseconds.
    pub fn ran_ms(&self, job: JobId, attempt: u32) -> Option<u64> {
        self.state().entry(job, attempt).map(|entry| entry.ran_ms(Instant::now()))
    }

    /// Fires when the attempt has to stop, for whatever reason.
    pub fn over(&self, job: JobId, attempt: u32) -> Option<CancellationToken> {
        self.state().entry(job, attempt).map(|entry| entry.over.child_token())
    }

    /// Tells an attempt to stop; `grace` later it is reported as expired. The first cause stays, except that a person's
    /// cancel beats a limit.
    pub fn stop(&self, job: JobId, attempt: u32, cause: StopCause, grace: Duration) {
        let mut state = self.state();
        let Some(entry) = state.entry(job, attempt) else { return };
        entry.tell(cause, later(Instant::now(), grace));
        drop(state);
        self.wake();
    }

    /// The attempt is over; the store knows how. Newer attempts of the job are left alone.
    pub fn end(&self, job: JobId, attempt: u32) {
        let mut state = self.state();
        if state.held.get(&job).is_some_and(|entry| entry.attempt <= attempt)
            && let Some(entry) = state.held.remove(&job)
        {
            entry.over.cancel();
        }
    }

    /// Moves time on: attempts past a limit are told to stop, attempts past their lease or their grace are taken out
    /// and returned.
    pub fn expire(&self, grace: Duration) -> Vec<Expired> {
        let now = Instant::now();
        let mut state = self.state();
        // One that lost its lease before somebody looked is lost, not told.
        for entry in state.held.values_mut().filter(|entry| entry.stop.is_none() && entry.lease_until > now) {
            if entry.total_until <= now {
                entry.tell(StopCause::TotalTime, later(now, grace));
            } else if entry.idle_until <= now {
                entry.tell(StopCause::IdleTime, later(now, grace));
            }
        }
        let gone = state.held.extract_if(|_, entry| entry.gone_at() <= now);
        let expired = gone.map(|(job, entry)| {
            entry.over.cancel();
            Expired {
                job,
                attempt: entry.attempt,
                ran_ms: entry.ran_ms(now),
                told: entry.stop.map(|stop| stop.cause),
                worker_name: entry.worker_name,
            }
        });
        expired.collect()
    }

    /// When something is to be done next without anybody asking.
    pub fn next_deadline(&self) -> Instant {
        let state = self.state();
        let held = state.held.values().map(Held::next_deadline);
        let delayed = state.delayed.map(|delayed| delayed.due);
        let next = held.chain(delayed).chain(state.adopt_at).min();
        next.unwrap_or_else(|| later(Instant::now(), NEVER))
    }

    /// A job waits out a backoff until then.
    pub fn delay(&self, delayed: Delayed) {
        let mut state = self.state();
        if state.delayed.is_none_or(|earliest| delayed.due < earliest.due) {
            state.delayed = Some(delayed);
            drop(state);
            self.wake();
        }
    }

    /// The earliest backoff, when it is over.
    pub fn take_delayed(&self) -> Option<Delayed> {
        let now = Instant::now();
        self.state().delayed.take_if(|delayed| delayed.due <= now)
    }

    pub fn adopt_after(&self, delay: Duration) {
        self.state().adopt_at = Some(later(Instant::now(), delay));
        self.wake();
    }

    /// Nobody works and nobody waits for work.
    pub fn is_deserted(&self) -> bool {
        self.line.is_deserted() && self.state().held.is_empty()
    }

    pub fn take_adopt(&self) -> bool {
        let now = Instant::now();
        self.state().adopt_at.take_if(|at| *at <= now).is_some()
    }
}

impl State {
    fn entry(&mut self, job: JobId, attempt: u32) -> Option<&mut Held> {
        self.held.get_mut(&job).filter(|entry| entry.attempt == attempt)
    }
}

impl Held {
    fn ran_ms(&self, now: Instant) -> u64 {
        let here = u64::try_from(now.duration_since(self.since).as_millis()).unwrap_or(u64::MAX);
        self.ran_before_ms.saturating_add(here)
    }

    fn tell(&mut self, cause: StopCause, by: Instant) {
        let overruled =
            self.stop.is_some_and(|stop| stop.cause != StopCause::Cancelled && cause == StopCause::Cancelled);
        if self.stop.is_none() || overruled {
            self.stop = Some(Stop { cause, by });
            self.control.send_replace(cause.control());
            self.over.cancel();
        }
    }

    /// When the attempt is taken to be lost.
    fn gone_at(&self) -> Instant {
        self.stop.map_or(self.lease_until, |stop| stop.by.min(self.lease_until))
    }

    fn next_deadline(&self) -> Instant {
        match self.stop {
            Some(_) => self.gone_at(),
            None => self.lease_until.min(self.total_until).min(self.idle_until),
        }
    }
}

/// `at + by` that never overflows, whatever an operator wrote into the options.
pub(crate) fn later(at: Instant, by: Duration) -> Instant {
    at + by.min(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(15);
    const GRACE: Duration = Duration::from_secs(20);

    fn ids() -> (JobId, PrincipalId) {
        let now = Timestamp::from_millis(1_000);
        (JobId::new(now), PrincipalId::new(now))
    }

    fn hold(live: &Live, job: JobId, principal: PrincipalId, attempt: u32) {
        let (total_limit, idle_limit) = (Duration::from_secs(100), Duration::from_secs(30));
        let worker_name = Some("worker".to_owned());
        live.hold(NewHeld { job, attempt, principal, worker_name, ran_before_ms: 0, total_limit, idle_limit }, LEASE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_keeps_its_name_whoever_comes_first() {
        let limit = Duration::from_secs(100);
        for names in [[None, Some("worker")], [Some("worker"), None]] {
            let (live, (job, principal)) = (Live::new(), ids());
            for name in names {
                let (worker_name, total_limit, idle_limit) = (name.map(str::to_owned), limit, limit);
                let new =
                    NewHeld { job, attempt: 1, principal, worker_name, ran_before_ms: 0, total_limit, idle_limit };
                live.hold(new, LEASE);
            }
            tokio::time::advance(LEASE).await;
            assert_eq!(live.expire(GRACE)[0].worker_name.as_deref(), Some("worker"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_holds_as_long_as_it_is_renewed() {
        let (live, (job, principal)) = (Live::new(), ids());
        hold(&live, job, principal, 1);
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(14)).await;
            assert!(live.expire(GRACE).is_empty());
            assert!(live.heartbeat(job, 1, principal, LEASE).is_some());
        }
        let over = live.over(job, 1).unwrap();
        tokio::time::advance(LEASE).await;
        let expired = live.expire(GRACE);
        assert_eq!((expired[0].job, expired[0].attempt, expired[0].told), (job, 1, None));
        assert_eq!(expired[0].ran_ms, 43_000);
        assert!(over.is_cancelled());
        assert!(live.heartbeat(job, 1, principal, LEASE).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_total_time_stop_an_attempt_that_keeps_its_lease() {
        let (live, (job, principal)) = (Live::new(), ids());
        hold(&live, job, principal, 1);
        let control = live.heartbeat(job, 1, principal, LEASE).unwrap();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(10)).await;
            live.heartbeat(job, 1, principal, LEASE);
        }
        assert!(live.expire(GRACE).is_empty());
        assert_eq!(*control.borrow(), Control::TimeOut);
        for _ in 0..2 {
            tokio::time::advance(Duration::from_secs(10)).await;
            live.heartbeat(job, 1, principal, LEASE);
        }
        assert_eq!(live.expire(GRACE)[0].told, Some(StopCause::IdleTime), "the grace is over though the lease holds");
    }

    #[tokio::test(start_paused = true)]
    async fn late_words_of_an_old_attempt_change_nothing() {
        let (live, (job, principal)) = (Live::new(), ids());
        hold(&live, job, principal, 2);
        hold(&live, job, principal, 1);
        assert!(live.over(job, 2).is_some());
        live.end(job, 1);
        assert!(live.over(job, 2).is_some());
        hold(&live, job, principal, 3);
        live.stop(job, 2, StopCause::Cancelled, GRACE);
        assert_eq!(*live.heartbeat(job, 3, principal, LEASE).unwrap().borrow(), Control::Continue);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancel_beats_a_limit_and_not_the_other_way_round() {
        let (live, (job, principal)) = (Live::new(), ids());
        hold(&live, job, principal, 1);
        live.stop(job, 1, StopCause::IdleTime, GRACE);
        live.stop(job, 1, StopCause::Cancelled, GRACE);
        live.stop(job, 1, StopCause::TotalTime, GRACE);
        assert_eq!(*live.heartbeat(job, 1, principal, LEASE).unwrap().borrow(), Control::Cancel);
    }
}
