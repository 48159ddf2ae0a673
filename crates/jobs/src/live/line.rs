//! Workers that wait for a job, first come, first served, and offers that nobody took.

use crate::{
    Error,
    attempt::{Fence, Offer},
};
use domain::{PrincipalId, WorkerId};
use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

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

#[derive(Default)]
pub(crate) struct Line {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiters: VecDeque<Waiter>,
    /// Attempts whose worker left before it was told. No more than there were waiters.
    untaken: Vec<Fence>,
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
        Ok(())
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
