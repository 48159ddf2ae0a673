//! What stays of a call, whichever way it ends: its record, its metrics, and what it spent.

use super::{Ended, Mode, Trace};
use crate::{
    accounts::{RateLimits, Refusal, Reservation},
    call::Call,
    plan::Candidate,
    route::Policy,
    router::Inner,
    telemetry::Operation,
};
use std::sync::Arc;
use tokio::time::Instant;

/// Ends with the call. Dropped before, it says that the caller left, and what was used until then is booked all the same.
pub(crate) struct Booking {
    inner: Arc<Inner>,
    pub(crate) trace: Trace,
    reservation: Option<Reservation>,
    /// What is left of the key's limits, for the answer's head.
    rates: Option<RateLimits>,
    /// The target that was asked and did not even say yet that it heard.
    asking: Option<Asking>,
}

/// A request on its way.
struct Asking {
    candidate: Arc<Candidate>,
    mode: Mode,
    begun: Instant,
}

impl Booking {
    pub(crate) fn new(inner: Arc<Inner>, call: &Call, operation: Option<Operation>) -> Self {
        let trace = Trace::new(&inner, call, operation);
        Self { inner, trace, reservation: None, rates: None, asking: None }
    }

    /// Holds what this target may come to, beside what those before it came to.
    ///
    /// # Errors
    /// [`Refusal`], with the limit that is in the way; then what is held stays as it was.
    pub(crate) fn hold(&mut self, call: &Call, candidate: &Candidate, policy: Option<&Policy>) -> Result<(), Refusal> {
        let estimate = self.inner.books.estimate(call, candidate, policy);
        if let Some(reservation) = &mut self.reservation {
            return reservation.change(self.trace.spent(), &estimate, candidate.id());
        }
        let reservation = self.inner.books.reserve(call, candidate, estimate)?;
        self.rates = Some(reservation.rates());
        self.reservation = Some(reservation);
        Ok(())
    }

    pub(crate) fn rates(&self) -> Option<RateLimits> {
        self.rates
    }

    /// From here on the target may be reading the prompt.
    pub(crate) fn asking(&mut self, candidate: &Arc<Candidate>, mode: &Mode, begun: Instant) {
        self.asking = Some(Asking { candidate: candidate.clone(), mode: mode.clone(), begun });
    }

    /// The target said something, or failed; whoever heard it notes what. Tells whether it was asked at all.
    pub(crate) fn heard(&mut self) -> bool {
        self.asking.take().is_some()
    }

    /// Nobody listens any more to the target that was asked: it may be reading the prompt all the same.
    pub(crate) fn stops_listening(&mut self) {
        if let Some(Asking { candidate, mode, begun }) = self.asking.take() {
            self.trace.abandoned_unheard(&candidate, &mode, begun);
        }
    }

    /// Books the call, once.
    pub(crate) fn end(&mut self, ended: Ended) {
        if let Some(reservation) = self.reservation.take() {
            let spent = self.trace.spent();
            match ended {
                Ended::Succeeded if self.trace.is_counted() => reservation.settle(spent),
                _ if self.trace.asked_nobody() => reservation.release(),
                Ended::Failed(_) => reservation.settle(spent),
                // The prompt was read, at least.
                Ended::Succeeded | Ended::Cancelled => reservation.settle_partial(spent),
            }
        }
        self.inner.ended(&mut self.trace, &ended);
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        self.stops_listening();
        self.end(Ended::Cancelled);
    }
}
