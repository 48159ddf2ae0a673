//! How many calls a provider works on at once, and who is next.
//!
//! ```text
//!   acquire ──free slot──▶ Slot (dropping it frees the place)
//!      └─none─▶ queue ──▶ next: somebody who wants a model that is in use already, unless the head has waited too long
//!                └─ queue full, or patience over ─▶ refused, so that another target can be asked
//! ```
//! A local server that changes models loads one from disk; letting calls for the same model follow each other saves that.

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
}

struct Waiter {
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
        let state = State { slots: slots.max(1), active: HashMap::new(), waiting: VecDeque::new(), average_s: None };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn outlook(&self) -> Outlook {
        let state = self.lock();
        let active = state.active();
        let waiting = state.waiting.len();
        let rounds = if active < state.slots { 0.0 } else { (waiting + 1) as f64 / state.slots as f64 };
        let eta = Duration::from_secs_f64((rounds * state.average_s.unwrap_or(0.0)).min(86_400.0));
        Outlook { waiting, active, slots: state.slots, eta }
    }

    /// Waits for a slot. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// [`QueueFull`], at once.
    pub(crate) async fn acquire(&self, model: &str) -> Result<Slot, QueueFull> {
        let since = Instant::now();
        let told = {
            let mut state = self.lock();
            if state.active() < state.slots && state.waiting.is_empty() {
                *state.active.entry(model.to_owned()).or_default() += 1;
                return Ok(self.slot(model, since));
            }
            state.waiting.retain(|waiter| !waiter.tell.is_closed());
            if state.waiting.len() >= QUEUE {
                return Err(QueueFull);
            }
            let (tell, told) = oneshot::channel();
            state.waiting.push_back(Waiter { model: model.to_owned(), since, tell });
            told
        };
        // The sender lives in the queue until it is used, and the queue lives as long as `self`.
        told.await.map_err(|_| QueueFull)
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
        for Waiter { model, since, tell } in handed {
            // One that left in this very moment drops the slot, which lets the next one in.
            let _ = tell.send(self.slot(&model, since));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn slots_are_handed_on_in_order_and_counted() {
        let admission = Admission::new(1);
        let first = admission.acquire("a").await.unwrap();
        let mut second = pin!(admission.acquire("a"));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!((admission.outlook().waiting, admission.outlook().active), (1, 1));
        tokio::time::advance(Duration::from_secs(4)).await;
        drop(first);
        let second = second.await.unwrap();
        assert_eq!(second.waited, Duration::from_secs(4));
        assert_eq!(admission.outlook().eta, Duration::from_secs(4), "one round of what the last call took");
        drop(second);
        assert_eq!(admission.outlook().active, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_for_the_model_in_use_pass_until_the_head_has_waited_long() {
        let admission = Admission::new(1);
        let first = admission.acquire("a").await.unwrap();
        let mut other = pin!(admission.acquire("b"));
        assert!(other.as_mut().now_or_never().is_none());
        let mut same = pin!(admission.acquire("a"));
        assert!(same.as_mut().now_or_never().is_none());
        drop(first);
        let same = same.await.unwrap();
        let mut third = pin!(admission.acquire("a"));
        assert!(third.as_mut().now_or_never().is_none());
        tokio::time::advance(PATIENCE_OF_THE_HEAD).await;
        drop(same);
        assert!(third.as_mut().now_or_never().is_none(), "nobody passes a head that has waited long");
        drop(other.await.unwrap());
        third.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_queue_does_not_keep_the_slot() {
        let admission = Admission::new(1);
        let first = admission.acquire("a").await.unwrap();
        {
            let mut gone = pin!(admission.acquire("a"));
            assert!(gone.as_mut().now_or_never().is_none());
        }
        drop(first);
        assert!(admission.acquire("a").now_or_never().is_some_and(|slot| slot.is_ok()));
    }
}
