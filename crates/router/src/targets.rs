//! What is known of each target from the calls it got: whether it works, how busy it is, how long it loads.
//!
//! ```text
//!   a call ends ─▶ Outcome ─┬─ the target's failure ─────────▶ the target's breaker: everybody leaves it alone
//!                           └─ the request's, perhaps ───────▶ that caller's breaker, until a second caller fails so, too
//!   an answer breaks off and stays so ─▶ others come first for that caller, for a moment
//!   a breaker opens ─▶ watch: pause ─▶ a listing of its server ─▶ down: another pause │ else: the next call tries
//! ```
//! A server that cannot stand one caller's requests still answers everybody else's, and nothing but another caller's requests
//! tells the two apart.

mod suspects;
mod unfinished;

use crate::{
    Error,
    breaker::{self, Breaker, Outcome, Phase},
    call::Caller,
    catalogue::{Freshness, LISTING_TIMEOUT, Shelf},
    plan::{Candidate, Load},
};
use protocol::Location;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use suspects::Suspects;
pub(crate) use suspects::Who;
use tokio::time::Instant;
use unfinished::Unfinished;

/// Share of the newest loading time in the average.
const NEWEST: f64 = 0.3;
/// Targets that are remembered. Names come from configuration and from callers that name models of their own, so there has
/// to be an end; what goes beyond it is simply not remembered.
const REMEMBERED: usize = 4096;
/// The longest that a target on this machine is left alone: whoever starts it again looks for it within seconds.
const LONGEST_PAUSE_LOCAL: Duration = Duration::from_secs(15);
/// The same in the cloud, where being asked by everybody at once is what keeps a service down.
const LONGEST_PAUSE_CLOUD: Duration = Duration::from_secs(30);
/// Between two looks at a server that is down: a refused connection or a small listing.
const LOOK_EVERY: Duration = Duration::from_secs(5);

#[derive(Default)]
pub(crate) struct Targets {
    known: RwLock<HashMap<String, Arc<Target>>>,
}

pub(crate) struct Target {
    breaker: Breaker,
    options: breaker::Options,
    suspects: Mutex<Suspects>,
    unfinished: Mutex<Unfinished>,
    last_failure: Mutex<Option<Failure>>,
    is_watched: AtomicBool,
    in_flight: AtomicUsize,
    resting_until: Mutex<Option<Instant>>,
    /// `None` before the first time.
    load: Mutex<Option<Duration>>,
}

/// In words that may be told to everybody.
#[derive(Clone)]
struct Failure {
    what: String,
    may_pass: bool,
}

/// The breakers' leave for one attempt, which counts as in flight as long as this lives.
pub(crate) struct Permit {
    target: Arc<Target>,
    shelf: Arc<Shelf>,
    who: Who,
    permit: Option<breaker::Permit>,
    /// Of the caller's own breaker, where it has one.
    own: Option<breaker::Permit>,
}

impl Target {
    fn new(location: Location) -> Self {
        let longest_pause = if location == Location::Local { LONGEST_PAUSE_LOCAL } else { LONGEST_PAUSE_CLOUD };
        let watcher_grace = LISTING_TIMEOUT + Duration::from_secs(1);
        let options = breaker::Options { longest_pause, watcher_grace, ..breaker::Options::default() };
        Self {
            breaker: Breaker::new(options),
            options,
            suspects: Mutex::default(),
            unfinished: Mutex::default(),
            last_failure: Mutex::default(),
            is_watched: AtomicBool::new(false),
            in_flight: AtomicUsize::new(0),
            resting_until: Mutex::new(None),
            load: Mutex::new(None),
        }
    }

    /// Why it may not be asked for this caller now.
    fn left_alone(&self, candidate: &Candidate, who: Who) -> Option<Error> {
        let closed = |state: &breaker::State| match state.phase {
            Phase::Closed => true,
            Phase::HalfOpen => state.probes < self.options.probes,
            Phase::Open => false,
        };
        let states = [Some(self.breaker.state()), lock(&self.suspects).state(who)];
        let state = states.into_iter().flatten().find(|state| !closed(state))?;
        let Failure { what, may_pass } = lock(&self.last_failure)
            .clone()
            .unwrap_or_else(|| Failure { what: "it failed again and again".to_owned(), may_pass: true });
        Some(Error::LeftAlone {
            provider: candidate.model.provider.clone(),
            model: candidate.model.name.clone(),
            after: what,
            // While somebody else's call tries it, that one's first word decides.
            retry_after: state.opens_again_in.unwrap_or(Duration::from_secs(1)),
            may_pass,
        })
    }
}

impl Targets {
    /// `None`: nothing is known of it.
    fn known(&self, id: &str) -> Option<Arc<Target>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    fn get(&self, candidate: &Candidate) -> Arc<Target> {
        if let Some(target) = self.known(candidate.id()) {
            return target;
        }
        let fresh = || Arc::new(Target::new(candidate.model.location));
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            return fresh();
        }
        known.entry(candidate.id().to_owned()).or_insert_with(fresh).clone()
    }

    /// # Errors
    /// [`Error::LeftAlone`] while one of the breakers is open.
    pub(crate) fn check(&self, candidate: &Candidate, caller: &Caller) -> Result<(), Error> {
        let target = self.known(candidate.id());
        target.and_then(|target| target.left_alone(candidate, Who::of(caller))).map_or(Ok(()), Err)
    }

    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn permit(&self, candidate: &Candidate, caller: &Caller, shelf: &Arc<Shelf>) -> Result<Permit, Error> {
        let target = self.get(candidate);
        let who = Who::of(caller);
        if let Some(error) = target.left_alone(candidate, who) {
            return Err(error);
        }
        // Somebody else may have become the probe in this very moment.
        let (permit, own) = (target.breaker.permit(), lock(&target.suspects).permit(who));
        if let Some(error) = target.left_alone(candidate, who).filter(|_| permit.is_none()) {
            return Err(error);
        }
        target.in_flight.fetch_add(1, Ordering::Relaxed);
        Ok(Permit { target, shelf: shelf.clone(), who, permit, own })
    }

    /// It asked to be left alone that long.
    pub(crate) fn rest(&self, candidate: &Candidate, wait: Duration) {
        *lock(&self.get(candidate).resting_until) = Some(Instant::now() + wait);
    }

    /// How long it still wants to be left alone.
    pub(crate) fn cooling(&self, id: &str) -> Option<Duration> {
        let until = (*lock(&self.known(id)?.resting_until))?;
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// It broke off in the middle of an answer to this caller, and nobody could go on with it.
    pub(crate) fn left_unfinished(&self, candidate: &Candidate, caller: &Caller) {
        lock(&self.get(candidate).unfinished).note(Who::of(caller));
    }

    /// Whether that happened a moment ago.
    pub(crate) fn was_unfinished(&self, candidate: &Candidate, caller: &Caller) -> bool {
        self.known(candidate.id()).is_some_and(|target| lock(&target.unfinished).is_fresh(Who::of(caller)))
    }

    /// An attempt went well, and told how long the model took to load.
    pub(crate) fn learn(&self, candidate: &Candidate, load: Option<Duration>) {
        // Well under this a model was in memory already.
        let Some(load) = load.filter(|load| *load > Duration::from_millis(200)) else { return };
        let target = self.get(candidate);
        let mut known = lock(&target.load);
        *known = Some(known.map_or(load, |known| known.mul_f64(1.0 - NEWEST) + load.mul_f64(NEWEST)));
    }

    pub(crate) fn load_time(&self, id: &str) -> Option<Duration> {
        *lock(&self.known(id)?.load)
    }

    /// Every target that was asked, by name, with its breaker and the calls it works on.
    pub(crate) fn states(&self) -> Vec<(String, breaker::State, usize)> {
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
        self.known(target).map_or(0, |target| target.in_flight.load(Ordering::Relaxed))
    }
}

/// Whose fault a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Targets,
    /// Perhaps. A server that answers has a reason, and templates and parsers fail with the request they are given.
    Requests,
    /// Neither: the request was wrong or was never sent, the caller left, or a limit is in the way.
    Nobodys,
}

/// `loaded` is what was known of the model before: the first answer of one that had to be loaded may be late, and that is no
/// failure.
fn fault(error: &Error, loaded: Option<bool>) -> Fault {
    match error {
        Error::TimedOut { awaited: crate::Awaited::Queue | crate::Awaited::Listing, .. } => Fault::Nobodys,
        Error::TimedOut { .. } if loaded == Some(false) => Fault::Nobodys,
        Error::Unreachable { .. }
        | Error::Unavailable { missing: false, .. }
        | Error::Cut { .. }
        | Error::TimedOut { .. } => Fault::Targets,
        Error::Unavailable { missing: true, .. }
        | Error::Failed { .. }
        | Error::Malformed { .. }
        | Error::Denied { .. }
        | Error::Forbidden { .. } => Fault::Requests,
        _ => Fault::Nobodys,
    }
}

impl Permit {
    /// The target says its first word.
    pub(crate) fn answers(&mut self) {
        for permit in [&mut self.permit, &mut self.own].into_iter().flatten() {
            permit.answers();
        }
    }

    pub(crate) fn succeeded(mut self) {
        self.end(Outcome::Success, Outcome::Success);
        lock(&self.target.suspects).cleared(self.who);
    }

    pub(crate) fn report(mut self, error: &Error, loaded: Option<bool>) {
        let fault = fault(error, loaded);
        if fault != Fault::Nobodys {
            let failure = Failure { what: error.recorded(), may_pass: error.may_pass() };
            *lock(&self.target.last_failure) = Some(failure);
        }
        match fault {
            Fault::Targets => self.end(Outcome::Failure, Outcome::Neutral),
            Fault::Requests => {
                let alone = lock(&self.target.suspects).suspect(self.who, self.own.take(), self.target.options);
                self.end(if alone { Outcome::Neutral } else { Outcome::Doubt }, Outcome::Neutral);
            }
            Fault::Nobodys => self.end(Outcome::Neutral, Outcome::Neutral),
        }
        if self.target.breaker.state().phase == Phase::Open {
            self.target.watch(&self.shelf);
        }
    }

    fn end(&mut self, shared: Outcome, own: Outcome) {
        for (permit, outcome) in [(self.permit.take(), shared), (self.own.take(), own)] {
            if let Some(permit) = permit {
                permit.end(outcome);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Target {
    /// Looks after its server until it answers again, so that no caller has to. Ends with the router.
    fn watch(self: &Arc<Self>, shelf: &Arc<Shelf>) {
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let (target, shelf) = (Arc::downgrade(self), shelf.clone());
        tokio::spawn(async move {
            let pause = || target.upgrade()?.breaker.state().opens_again_in;
            while let Some(pause) = pause() {
                tokio::time::sleep(pause).await;
                let listing = shelf.listing(Freshness::NOW).await;
                let Some(target) = target.upgrade() else { break };
                if !is_down(&listing) {
                    target.breaker.try_again();
                    break;
                }
                target.breaker.stay_open(LOOK_EVERY);
            }
            if let Some(target) = target.upgrade() {
                target.is_watched.store(false, Ordering::Release);
            }
        });
    }
}

/// Whether a server that was asked for its models is known to be down. One that lists none, not to everybody or not within
/// seconds may answer all the same, and only a call shows it.
fn is_down(listing: &crate::catalogue::Listing) -> bool {
    matches!(
        listing,
        Err(Error::Unreachable { .. }
            | Error::Cut { .. }
            | Error::Unavailable { missing: false, .. }
            | Error::Overloaded { .. })
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
