//! A circuit breaker per target: one that fails again and again is left alone for a while, then tried carefully.
//!
//! ```text
//!            too many failures            pause over, and its server answers again
//!   ┌────────┐ ─────────────▶ ┌──────┐ ────────────────────────────▶ ┌───────────┐
//!   │ closed │                │ open │                               │ half open │ a few probes at a time
//!   └────────┘ ◀──────┐       └──────┘ ◀──── a probe failed: ─────── └───────────┘
//!                     │                      the next pause is twice     │
//!                     └────────── enough probes began to answer ────────┘
//! ```
//!
//! Only failures of the target count. What says nothing about it (the request was wrong, the caller left, a model is still
//! being loaded) is neutral: it neither opens nor closes, and gives a probe's place back. Outcomes of calls that began
//! before the state last changed are ignored: they tell of another time.
//!
//! While it is open, whoever watches the server asks it something that costs nothing (see [`crate::targets`]) and says here
//! what came of it, so that no caller's request is spent on a server that is still down.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Failures in a row that open it. 5: one bad minute of a server is not five calls long.
    pub consecutive_failures: u32,
    /// How far back the failure rate looks.
    pub window: Duration,
    /// Calls in the window before its rate means anything.
    pub minimum_calls: u32,
    /// Part of the calls in the window that must have failed, 0 to 1.
    pub failure_rate: f64,
    /// The first pause. Each one that ends in a failed probe is followed by one twice as long.
    pub pause: Duration,
    /// No pause is longer, so a target is used again that soon after it has recovered, however long it was away.
    pub longest_pause: Duration,
    /// What the watcher has after a pause before a caller's request becomes the probe.
    pub watcher_grace: Duration,
    /// Probes under way at once.
    pub probes: u32,
    /// Probes that must succeed, one after the other, before it closes.
    pub successes_to_close: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            window: Duration::from_secs(60),
            minimum_calls: 20,
            failure_rate: 0.5,
            pause: Duration::from_secs(5),
            longest_pause: Duration::from_secs(15),
            watcher_grace: Duration::ZERO,
            probes: 1,
            successes_to_close: 1,
        }
    }
}

/// What a call says about its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    /// A failure that may be the request's. It counts in a row, where successes in between clear it, and for no rate.
    Doubt,
    /// Nothing: a wrong request, a cancelled call, a model that was still being loaded.
    Neutral,
}

/// For people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Closed,
    Open,
    HalfOpen,
}

impl Phase {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How it stands at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    pub phase: Phase,
    /// Calls and failures within the window; both 0 unless closed.
    pub calls: u32,
    pub failures: u32,
    pub consecutive_failures: u32,
    /// Until probes are let through; present while open.
    pub opens_again_in: Option<Duration>,
    /// Probes under way.
    pub probes: u32,
    /// How often it has opened since it was made.
    pub times_opened: u64,
}

/// Cheap to clone; clones are the same breaker.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: Options,
    state: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    circuit: Circuit,
    /// Grows with every change of phase; permits of earlier ones have no say.
    generation: u64,
    next_pause: Duration,
    times_opened: u64,
}

#[derive(Debug)]
enum Circuit {
    Closed { consecutive_failures: u32, window: Window },
    Open { until: Instant, watcher_grace: Duration },
    HalfOpen { under_way: u32, succeeded: u32 },
}

/// Leave to make one call. Dropped without an outcome it counts as neutral.
#[derive(Debug)]
#[must_use = "a permit that is dropped says nothing about the target"]
pub struct Permit {
    breaker: Arc<Shared>,
    generation: u64,
    outcome: Outcome,
}

impl Breaker {
    pub fn new(options: Options) -> Self {
        let circuit = Circuit::Closed { consecutive_failures: 0, window: Window::default() };
        let inner = Inner { circuit, generation: 0, next_pause: options.pause, times_opened: 0 };
        Self(Arc::new(Shared { options, state: Mutex::new(inner) }))
    }

    /// `None` while the target is to be left alone.
    pub fn permit(&self) -> Option<Permit> {
        let mut inner = self.0.lock();
        inner.end_pause();
        let probes = self.0.options.probes.max(1);
        match &mut inner.circuit {
            Circuit::Closed { .. } => {}
            Circuit::HalfOpen { under_way, .. } if *under_way < probes => *under_way += 1,
            Circuit::HalfOpen { .. } | Circuit::Open { .. } => return None,
        }
        Some(Permit { breaker: self.0.clone(), generation: inner.generation, outcome: Outcome::Neutral })
    }

    /// The server answered while it was left alone: the next call may try.
    pub fn try_again(&self) {
        let mut inner = self.0.lock();
        if matches!(inner.circuit, Circuit::Open { .. }) {
            inner.change(Circuit::HalfOpen { under_way: 0, succeeded: 0 });
        }
    }

    /// The server did not answer: it is left alone that long from now.
    pub fn stay_open(&self, pause: Duration) {
        let mut inner = self.0.lock();
        if let Circuit::Open { until, .. } = &mut inner.circuit {
            *until = Instant::now() + pause;
        }
    }

    pub fn state(&self) -> State {
        let mut inner = self.0.lock();
        inner.end_pause();
        let now = Instant::now();
        let mut state = State {
            phase: Phase::Closed,
            calls: 0,
            failures: 0,
            consecutive_failures: 0,
            opens_again_in: None,
            probes: 0,
            times_opened: inner.times_opened,
        };
        match &mut inner.circuit {
            Circuit::Closed { consecutive_failures, window } => {
                (state.calls, state.failures) = window.counts(now, self.0.options.window);
                state.consecutive_failures = *consecutive_failures;
            }
            Circuit::Open { until, .. } => {
                state.phase = Phase::Open;
                state.opens_again_in = Some(until.saturating_duration_since(now));
            }
            Circuit::HalfOpen { under_way, .. } => {
                state.phase = Phase::HalfOpen;
                state.probes = *under_way;
            }
        }
        state
    }
}

impl Permit {
    /// The target has begun to answer, which is all that a probe is to find out. What becomes of the answer counts as the
    /// outcome of any call.
    pub fn answers(&mut self) {
        let mut inner = self.breaker.lock();
        if inner.generation == self.generation && matches!(inner.circuit, Circuit::HalfOpen { .. }) {
            inner.heed(Outcome::Success, &self.breaker.options);
            // A probe that has counted gives no place back.
            self.generation = if matches!(inner.circuit, Circuit::Closed { .. }) { inner.generation } else { u64::MAX };
        }
    }

    pub fn end(mut self, outcome: Outcome) {
        self.outcome = outcome;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inner = self.breaker.lock();
        if inner.generation == self.generation {
            inner.heed(self.outcome, &self.breaker.options);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn heed(&mut self, outcome: Outcome, options: &Options) {
        match (&mut self.circuit, outcome) {
            (Circuit::Closed { consecutive_failures, window }, Outcome::Success) => {
                *consecutive_failures = 0;
                window.add(Instant::now(), options.window, false);
            }
            (Circuit::Closed { consecutive_failures, window }, Outcome::Failure) => {
                let now = Instant::now();
                *consecutive_failures = consecutive_failures.saturating_add(1);
                window.add(now, options.window, true);
                let (calls, failures) = window.counts(now, options.window);
                let rate_is_bad = calls >= options.minimum_calls.max(1)
                    && f64::from(failures) >= options.failure_rate * f64::from(calls);
                if *consecutive_failures >= options.consecutive_failures.max(1) || rate_is_bad {
                    self.open(options);
                }
            }
            (Circuit::Closed { consecutive_failures, .. }, Outcome::Doubt) => {
                *consecutive_failures = consecutive_failures.saturating_add(1);
                if *consecutive_failures >= options.consecutive_failures.max(1) {
                    self.open(options);
                }
            }
            (Circuit::HalfOpen { under_way, succeeded }, Outcome::Success) => {
                *under_way = under_way.saturating_sub(1);
                *succeeded += 1;
                if *succeeded >= options.successes_to_close.max(1) {
                    self.next_pause = options.pause;
                    self.change(Circuit::Closed { consecutive_failures: 0, window: Window::default() });
                }
            }
            (Circuit::HalfOpen { .. }, Outcome::Failure | Outcome::Doubt) => self.open(options),
            (Circuit::HalfOpen { under_way, .. }, Outcome::Neutral) => *under_way = under_way.saturating_sub(1),
            (Circuit::Closed { .. }, Outcome::Neutral) | (Circuit::Open { .. }, _) => {}
        }
    }

    fn open(&mut self, options: &Options) {
        let now = Instant::now();
        let pause = self.next_pause.min(options.longest_pause);
        self.next_pause = pause.saturating_mul(2).min(options.longest_pause);
        self.times_opened += 1;
        // A pause beyond the clock's range is a mistake of the configuration; then it is none at all.
        let until = now.checked_add(pause).unwrap_or(now);
        self.change(Circuit::Open { until, watcher_grace: options.watcher_grace });
    }

    fn end_pause(&mut self) {
        if let Circuit::Open { until, watcher_grace } = self.circuit
            && Instant::now() >= until + watcher_grace
        {
            self.change(Circuit::HalfOpen { under_way: 0, succeeded: 0 });
        }
    }

    fn change(&mut self, circuit: Circuit) {
        self.circuit = circuit;
        self.generation += 1;
    }
}

/// Calls of the last while, in slices of a tenth of it: bounded, and exact to one slice.
#[derive(Debug, Default)]
struct Window(VecDeque<Slice>);

#[derive(Debug)]
struct Slice {
    began: Instant,
    calls: u32,
    failures: u32,
}

impl Window {
    const SLICES: u32 = 10;

    fn add(&mut self, now: Instant, length: Duration, failed: bool) {
        self.forget(now, length);
        match self.0.back_mut() {
            Some(slice) if now.saturating_duration_since(slice.began) < length / Self::SLICES => {
                slice.calls = slice.calls.saturating_add(1);
                slice.failures = slice.failures.saturating_add(u32::from(failed));
            }
            _ => self.0.push_back(Slice { began: now, calls: 1, failures: u32::from(failed) }),
        }
    }

    fn counts(&mut self, now: Instant, length: Duration) -> (u32, u32) {
        self.forget(now, length);
        self.0.iter().fold((0, 0), |(calls, failures), slice| {
            (calls.saturating_add(slice.calls), failures.saturating_add(slice.failures))
        })
    }

    fn forget(&mut self, now: Instant, length: Duration) {
        while self.0.front().is_some_and(|slice| now.saturating_duration_since(slice.began) >= length)
            || self.0.len() > 2 * Self::SLICES as usize
        {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
