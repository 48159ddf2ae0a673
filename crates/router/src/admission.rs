//! How many calls a provider works on at once, and who is next.
//!
//! ```text
//!   acquire ──free slot──▶ Slot (dropping it frees the place)
//!      └─none─▶ queue ──▶ next: somebody who wants a model that is in use already, unless the head has waited too long
//!                └─ queue full, or patience over ─▶ refused, so that another target can be asked
//! ```
//! A local server that changes models loads one from disk; letting calls for the same model follow each other saves that.

mod place;

pub(crate) use place::{Ahead, Place, Standing};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Calls that may wait for one provider. Their callers hold a connection each, so more would only wait to time out.
const QUEUE: usize = 512;
/// How long the head of the queue lets others pass that want a model in use. Loading a model takes some seconds; waiting
/// for a few of those is a fair price, more is not.
const PATIENCE_OF_THE_HEAD: Duration = Duration::from_secs(10);
/// Share of the newest duration in the average.
const NEWEST: f64 = 0.2;

#[derive(Clone)]
pub(crate) struct Admission {
    state: Arc<Mutex<State>>,
}

struct State {
    slots: usize,
    /// Calls being worked on, by model.
    active: HashMap<String, usize>,
    waiting: VecDeque<Waiter>,
    /// Average duration of a call, in seconds; `None` before the first one.
    average_s: Option<f64>,
    /// Of the next one that has to wait.
    next_number: u64,
}

struct Waiter {
    number: u64,
    model: String,
    since: Instant,
    tell: oneshot::Sender<Slot>,
}

/// The right to one call. Dropping it lets the next one in.
pub(crate) struct Slot {
    admission: Admission,
    model: String,
    since: Instant,
    /// Waited before it came.
    pub(crate) waited: Duration,
}

/// What came of asking for a slot.
pub(crate) enum Turn {
    Now(Slot),
    Waits(Waits),
}

/// Dropping it leaves the queue.
pub(crate) struct Waits {
    told: oneshot::Receiver<Slot>,
    pub(crate) place: Place,
}

/// What a queue looks like to somebody who would join it now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outlook {
    /// Calls before theirs that wait as well.
    pub(crate) waiting: usize,
    pub(crate) active: usize,
    pub(crate) slots: usize,
    /// Until a slot, from how long calls took so far; zero when one is free.
    pub(crate) eta: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueFull;

impl Admission {
    pub(crate) fn new(slots: usize) -> Self {
        let state = State {
            slots: slots.max(1),
            active: HashMap::new(),
            waiting: VecDeque::new(),
            average_s: None,
            next_number: 0,
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn outlook(&self) -> Outlook {
        let state = self.lock();
        let active = state.active();
        let waiting = state.waiting.iter().filter(|waiter| !waiter.tell.is_closed()).count();
        let rounds = if active < state.slots { 0.0 } else { (waiting + 1) as f64 / state.slots as f64 };
        let eta = Duration::from_secs_f64((rounds * state.average_s.unwrap_or(0.0)).min(86_400.0));
        Outlook { waiting, active, slots: state.slots, eta }
    }

    /// A slot when one is free, else a place in the queue.
    ///
    /// # Errors
    /// [`QueueFull`].
    pub(crate) fn enter(&self, model: &str) -> Result<Turn, QueueFull> {
        let since = Instant::now();
        let mut state = self.lock();
        if state.active() < state.slots && state.waiting.is_empty() {
            *state.active.entry(model.to_owned()).or_default() += 1;
            return Ok(Turn::Now(self.slot(model, since)));
        }
        state.waiting.retain(|waiter| !waiter.tell.is_closed());
        if state.waiting.len() >= QUEUE {
            return Err(QueueFull);
        }
        let (tell, told) = oneshot::channel();
        let number = state.next_number;
        state.next_number += 1;
        state.waiting.push_back(Waiter { number, model: model.to_owned(), since, tell });
        Ok(Turn::Waits(Waits { told, place: Place::new(self.clone(), number) }))
    }

    fn slot(&self, model: &str, since: Instant) -> Slot {
        let now = Instant::now();
        Slot { admission: self.clone(), model: model.to_owned(), since: now, waited: now - since }
    }

    fn release(&self, model: &str, took: Duration) {
        let mut handed = Vec::new();
        {
            let mut state = self.lock();
            if let Some(count) = state.active.get_mut(model) {
                *count -= 1;
                if *count == 0 {
                    state.active.remove(model);
                }
            }
            let seconds = took.as_secs_f64();
            state.average_s = Some(state.average_s.map_or(seconds, |average| average + NEWEST * (seconds - average)));
            while state.active() < state.slots {
                let Some(at) = state.next(model) else { break };
                let Some(waiter) = state.waiting.remove(at) else { break };
                if waiter.tell.is_closed() {
                    continue;
                }
                *state.active.entry(waiter.model.clone()).or_default() += 1;
                handed.push(waiter);
            }
        }
        for Waiter { model, since, tell, .. } in handed {
            // One that left in this very moment drops the slot, which lets the next one in.
            let _ = tell.send(self.slot(&model, since));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// # Errors
    /// None in practice: see below.
    pub(crate) async fn slot(self) -> Result<Slot, QueueFull> {
        match self {
            Self::Now(slot) => Ok(slot),
            // The sender lives in the queue until it is used, and the queue lives as long as its admission.
            Self::Waits(waits) => waits.told.await.map_err(|_| QueueFull),
        }
    }

    pub(crate) fn place(&self) -> Option<Place> {
        match self {
            Self::Now(_) => None,
            Self::Waits(waits) => Some(waits.place.clone()),
        }
    }
}

impl State {
    fn active(&self) -> usize {
        self.active.values().sum()
    }

    /// The waiter to let in after a call to `model` ended.
    fn next(&self, model: &str) -> Option<usize> {
        let head = self.waiting.front()?;
        if head.since.elapsed() >= PATIENCE_OF_THE_HEAD {
            return Some(0);
        }
        let in_use = |waiter: &Waiter| waiter.model == model || self.active.contains_key(&waiter.model);
        Some(self.waiting.iter().position(in_use).unwrap_or(0))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.admission.release(&self.model, self.since.elapsed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use std::pin::pin;

    async fn slot(admission: &Admission, model: &str) -> Slot {
        admission.enter(model).unwrap().slot().await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn slots_are_handed_on_in_order_and_counted() {
        let admission = Admission::new(1);
        let first = slot(&admission, "a").await;
        let mut second = pin!(slot(&admission, "a"));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!((admission.outlook().waiting, admission.outlook().active), (1, 1));
        tokio::time::advance(Duration::from_secs(4)).await;
        drop(first);
        let second = second.await;
        assert_eq!(second.waited, Duration::from_secs(4));
        assert_eq!(admission.outlook().eta, Duration::from_secs(4), "one round of what the last call took");
        drop(second);
        assert_eq!(admission.outlook().active, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_for_the_model_in_use_pass_until_the_head_has_waited_long() {
        let admission = Admission::new(1);
        let first = slot(&admission, "a").await;
        let mut other = pin!(slot(&admission, "b"));
        assert!(other.as_mut().now_or_never().is_none());
        let mut same = pin!(slot(&admission, "a"));
        assert!(same.as_mut().now_or_never().is_none());
        drop(first);
        let same = same.await;
        let mut third = pin!(slot(&admission, "a"));
        assert!(third.as_mut().now_or_never().is_none());
        tokio::time::advance(PATIENCE_OF_THE_HEAD).await;
        drop(same);
        assert!(third.as_mut().now_or_never().is_none(), "nobody passes a head that has waited long");
        drop(other.await);
        third.await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_queue_does_not_keep_the_slot() {
        let admission = Admission::new(1);
        let first = slot(&admission, "a").await;
        {
            let mut gone = pin!(slot(&admission, "a"));
            assert!(gone.as_mut().now_or_never().is_none());
        }
        drop(first);
        assert!(slot(&admission, "a").now_or_never().is_some());
    }
}
