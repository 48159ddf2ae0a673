//! What is known of each target from the calls it got: whether it works, how busy it is, how long it loads.

use crate::{
    Error,
    breaker::{Breaker, Outcome},
    plan::Load,
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Share of the newest loading time in the average.
const NEWEST: f64 = 0.3;
/// Targets that are remembered. Names come from configuration and from callers that name models of their own, so there has
/// to be an end; what goes beyond it is simply not remembered.
const REMEMBERED: usize = 4096;

#[derive(Default)]
pub(crate) struct Targets {
    known: RwLock<HashMap<String, Arc<Target>>>,
}

pub(crate) struct Target {
    breaker: Breaker,
    in_flight: AtomicUsize,
    resting_until: Mutex<Option<Instant>>,
    /// `None` before the first time.
    load: Mutex<Option<Duration>>,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            breaker: Breaker::new(crate::breaker::Options::default()),
            in_flight: AtomicUsize::new(0),
            resting_until: Mutex::new(None),
            load: Mutex::new(None),
        }
    }
}

/// The breaker's leave for one attempt, which counts as in flight as long as this lives.
pub(crate) struct Permit {
    target: Arc<Target>,
    permit: Option<crate::breaker::Permit>,
}

impl Targets {
    fn get(&self, id: &str) -> Arc<Target> {
        if let Some(target) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(id) {
            return target.clone();
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            return Arc::default();
        }
        known.entry(id.to_owned()).or_default().clone()
    }

    /// `None` while the breaker is open.
    pub(crate) fn permit(&self, id: &str) -> Option<Permit> {
        let target = self.get(id);
        let permit = target.breaker.permit()?;
        target.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Permit { target, permit: Some(permit) })
    }

    /// It asked to be left alone that long.
    pub(crate) fn rest(&self, id: &str, wait: Duration) {
        let target = self.get(id);
        *target.resting_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + wait);
    }

    /// How long it still wants to be left alone.
    pub(crate) fn cooling(&self, id: &str) -> Option<Duration> {
        let target = self.get(id);
        let until = (*target.resting_until.lock().unwrap_or_else(PoisonError::into_inner))?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// An attempt went well, and told how long the model took to load.
    pub(crate) fn learn(&self, id: &str, load: Option<Duration>) {
        // Well under this a model was in memory already.
        let Some(load) = load.filter(|load| *load > Duration::from_millis(200)) else { return };
        let target = self.get(id);
        let mut known = target.load.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(known.map_or(load, |known| known.mul_f64(1.0 - NEWEST) + load.mul_f64(NEWEST)));
    }

    pub(crate) fn load_time(&self, id: &str) -> Option<Duration> {
        *self.get(id).load.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every target that was asked, by name, with its breaker and the calls it works on.
    pub(crate) fn states(&self) -> Vec<(String, crate::breaker::State, usize)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut states: Vec<_> = known
            .iter()
            .map(|(id, target)| (id.clone(), target.breaker.state(), target.in_flight.load(Ordering::Relaxed)))
            .collect();
        states.sort_by(|one, other| one.0.cmp(&other.0));
        states
    }
}

impl Load for Targets {
    fn in_flight(&self, target: &str) -> usize {
        self.get(target).in_flight.load(Ordering::Relaxed)
    }
}

impl Permit {
    pub(crate) fn succeeded(mut self) {
        if let Some(permit) = self.permit.take() {
            permit.end(Outcome::Success);
        }
    }

    /// `loaded` is what was known of the model before: the first answer of one that had to be loaded may be late, and that
    /// is no failure.
    pub(crate) fn report(mut self, error: &Error, loaded: Option<bool>) {
        let outcome = match error {
            Error::TimedOut { .. } if loaded == Some(false) => Outcome::Neutral,
            Error::Unavailable { .. }
            | Error::Failed { .. }
            | Error::Cut { .. }
            | Error::TimedOut { .. }
            | Error::Malformed { .. }
            | Error::Denied { .. } => Outcome::Failure,
            // It works, and says no to this request; or it was we who stopped.
            _ => Outcome::Neutral,
        };
        if let Some(permit) = self.permit.take() {
            permit.end(outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
