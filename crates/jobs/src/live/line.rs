//! Workers that wait for a job, first come, first served, and offers that nobody took.
//!
//! A job that comes back soon (a person decided, or it was handed back) is kept for the worker that had it, whose working
//! copy and model cache are warm, if that worker is near: it waits, or was heard of a moment ago.
//!
//! ```text
//!   goes back, worker near ──▶ kept: out of the queue for 5 s ──┬─ the worker asks ──▶ leased to it
//!                                                               └─ 5 s have passed ──▶ anybody's (its row says until when)
//! ```

use crate::{Error, attempt::Offer};
use domain::{JobId, PrincipalId, WorkerId};
use std::{
    collections::{HashMap, VecDeque},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::Fence;
use tokio::{sync::oneshot, time::Instant};

/// A worker that waits for a job.
pub(crate) struct Waiter {
    pub principal: PrincipalId,
    pub worker: WorkerId,
    pub worker_name: String,
    pub patience: Patience,
    pub reply: oneshot::Sender<Result<Option<Offer>, Error>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Answer with nothing when no job is ready.
    Once,
    /// Keep the place in the line.
    Waits,
}

pub(crate) struct Line {
    state: Mutex<State>,
    began: Instant,
}

impl Default for Line {
    fn default() -> Self {
        Self { state: Mutex::default(), began: Instant::now() }
    }
}

/// After a start the first worker may take this long: agents start beside the backend, or come back by themselves.
const FIRST_WORKER: Duration = Duration::from_secs(5);
/// A worker asks again at once, and after a job; one that has not for this long is not there.
const ABSENT: Duration = Duration::from_secs(10);

/// A worker that stopped waiting this long ago is expected back.
const NEAR: Duration = Duration::from_secs(3);
/// Principals whose last word is remembered; older words than [`NEAR`] go when there are more.
const REMEMBERED: usize = 1_024;

/// A job kept for the worker that had it.
struct Kept {
    principal: PrincipalId,
    worker: Option<WorkerId>,
    until: Instant,
}

#[derive(Default)]
struct State {
    waiters: VecDeque<Waiter>,
    /// When each principal was last heard of without waiting.
    heard: HashMap<PrincipalId, Instant>,
    kept: HashMap<JobId, Kept>,
    /// Attempts whose worker left before it was told. No more than there were waiters.
    untaken: Vec<Fence>,
    /// When a worker last came into the line.
    last_joined: Option<Instant>,
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a worker at the end.
    pub fn join(&self, waiter: Waiter, most: usize) -> Result<(), Error> {
        let mut state = self.state();
        if state.waiters.len() >= most {
            state.waiters.retain(|waiter| !waiter.reply.is_closed());
        }
        if state.waiters.len() >= most {
            return Err(Error::TooManyWaiters { limit: most });
        }
        state.waiters.push_back(waiter);
        state.last_joined = Some(Instant::now());
        Ok(())
    }

    /// Whether nobody waits, and nobody has for so long that nobody is expected.
    pub fn is_deserted(&self) -> bool {
        let state = self.state();
        let quiet = match state.last_joined {
            Some(at) => at.elapsed() > ABSENT,
            None => self.began.elapsed() > FIRST_WORKER,
        };
        quiet && state.waiters.iter().all(|waiter| waiter.reply.is_closed())
    }

    /// A worker of this principal was just here.
    pub fn heard(&self, principal: PrincipalId) {
        let (now, mut state) = (Instant::now(), self.state());
        if state.heard.len() >= REMEMBERED {
            state.heard.retain(|_, at| now.duration_since(*at) < NEAR);
        }
        state.heard.insert(principal, now);
    }

    /// Whether a worker of this principal waits at `now`, or is about to.
    pub fn is_near(&self, principal: PrincipalId, now: Instant) -> bool {
        let state = self.state();
        let waits = |waiter: &Waiter| waiter.principal == principal && !waiter.reply.is_closed();
        state.waiters.iter().any(waits) || state.heard.get(&principal).is_some_and(|at| now.duration_since(*at) < NEAR)
    }

    /// Until then the job is for the worker that had it.
    pub fn keep(&self, job: JobId, principal: PrincipalId, worker: Option<WorkerId>, until: Instant) {
        self.state().kept.insert(job, Kept { principal, worker, until });
    }

    /// Takes those a job is kept for, wherever they stand, each with its job.
    pub fn take_expected(&self) -> Vec<(Waiter, JobId)> {
        let (now, mut state) = (Instant::now(), self.state());
        state.kept.retain(|_, kept| kept.until > now);
        if state.kept.is_empty() {
            return Vec::new();
        }
        let State { waiters, kept, .. } = &mut *state;
        let mut expected = Vec::new();
        // The very worker first; else one of the same agent, which may have been started again.
        for exactly in [true, false] {
            kept.retain(|job, kept| {
                let fits = |waiter: &Waiter| {
                    let same = !exactly || Some(waiter.worker) == kept.worker;
                    waiter.principal == kept.principal && same && !waiter.reply.is_closed()
                };
                let Some(waiter) = waiters.iter().position(fits).and_then(|at| waiters.remove(at)) else { return true };
                expected.push((waiter, *job));
                false
            });
        }
        expected
    }

    /// Takes the first, leaving out those that left.
    pub fn take_first(&self, most: usize) -> Vec<Waiter> {
        let mut state = self.state();
        let mut first = Vec::new();
        while first.len() < most
            && let Some(waiter) = state.waiters.pop_front()
        {
            if !waiter.reply.is_closed() {
                first.push(waiter);
            }
        }
        first
    }

    /// Those who got nothing stand where they stood.
    pub fn put_back(&self, waiters: Vec<Waiter>) {
        let mut state = self.state();
        for waiter in waiters.into_iter().rev() {
            state.waiters.push_front(waiter);
        }
    }

    pub fn leave_untaken(&self, fence: Fence) {
        self.state().untaken.push(fence);
    }

    pub fn take_untaken(&self) -> Vec<Fence> {
        mem::take(&mut self.state().untaken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Timestamp;

    #[tokio::test]
    async fn the_line_is_bounded_fair_and_forgets_those_who_left() {
        let (line, now) = (Line::default(), Timestamp::from_millis(1));
        let join = |name: &str| {
            let (reply, answer) = oneshot::channel();
            let (principal, worker) = (PrincipalId::new(now), WorkerId::new(now));
            let waiter = Waiter { principal, worker, worker_name: name.into(), patience: Patience::Waits, reply };
            line.join(waiter, 2).map(|()| answer)
        };
        let first = join("first").unwrap();
        let _second = join("second").unwrap();
        assert!(matches!(join("third"), Err(Error::TooManyWaiters { limit: 2 })));
        drop(first);
        let _third = join("third").unwrap();
        line.put_back(line.take_first(1));
        let names: Vec<_> = line.take_first(5).into_iter().map(|waiter| waiter.worker_name).collect();
        assert_eq!(names, ["second", "third"]);
    }
}
