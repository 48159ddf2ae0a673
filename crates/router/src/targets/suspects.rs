//! Callers whose requests a target failed with, while nobody knows whose fault it is.

use crate::{
    breaker::{Breaker, Options, Outcome, Permit, Phase, State},
    call::Caller,
};
use domain::{JobId, PrincipalId};
use std::{collections::HashMap, time::Duration};

/// Callers of one target that are remembered. Those beyond it are asked for as if nothing had happened.
const REMEMBERED: usize = 256;

/// Who sends requests that are alike: a key, or one job of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Who(PrincipalId, Option<JobId>);

impl Who {
    pub(crate) fn of(caller: &Caller) -> Self {
        Self(caller.principal, caller.job)
    }
}

#[derive(Default)]
pub(crate) struct Suspects {
    breakers: HashMap<Who, Breaker>,
    /// Whose calls failed since somebody last succeeded; two keys are enough to suspect the target. Jobs of one key are at
    /// work for one person with one agent, and fail alike.
    lately: Vec<PrincipalId>,
}

impl Suspects {
    pub(super) fn state(&self, who: Who) -> Option<State> {
        self.breakers.get(&who).map(Breaker::state)
    }

    pub(super) fn permit(&self, who: Who) -> Option<Permit> {
        self.breakers.get(&who)?.permit()
    }

    /// A call of this caller failed, and perhaps by its own fault. Tells whether its key is the only one in that trouble.
    pub(super) fn suspect(&mut self, who: Who, permit: Option<Permit>, options: Options) -> bool {
        if permit.is_none() && self.breakers.len() >= REMEMBERED {
            self.breakers.retain(|_, breaker| breaker.state().phase != Phase::Closed);
        }
        if permit.is_some() || self.breakers.contains_key(&who) || self.breakers.len() < REMEMBERED {
            // Its server is not down, so nobody watches it.
            let options = Options { watcher_grace: Duration::ZERO, ..options };
            let breaker = self.breakers.entry(who).or_insert_with(|| Breaker::new(options));
            if let Some(permit) = permit.or_else(|| breaker.permit()) {
                permit.end(Outcome::Failure);
            }
        }
        if self.lately.len() < 2 && !self.lately.contains(&who.0) {
            self.lately.push(who.0);
        }
        self.lately.len() < 2
    }

    /// A call of this caller went well: the target works, and so do its requests.
    pub(super) fn cleared(&mut self, who: Who) {
        self.lately.clear();
        if self.state(who).is_some_and(|state| state.phase == Phase::Closed) {
            self.breakers.remove(&who);
        }
    }
}
