//! Where a call stands in a queue, for whoever tells its caller.

use super::Admission;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// A call's place in one queue. It tells nothing any more once the call has left the queue.
#[derive(Clone)]
pub(crate) struct Place {
    admission: Admission,
    number: u64,
}

/// What is before a call that waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ahead {
    /// 1 for the next one.
    pub(crate) position: usize,
    /// Until its turn, from how long calls took so far; `None` before the first one ended.
    pub(crate) eta: Option<Duration>,
}

/// The place of a call that may wait now and then, shared with what writes to its caller.
#[derive(Clone, Default)]
pub(crate) struct Standing(Arc<Mutex<Option<Place>>>);

impl Place {
    pub(super) fn new(admission: Admission, number: u64) -> Self {
        Self { admission, number }
    }

    pub(crate) fn ahead(&self) -> Option<Ahead> {
        let state = self.admission.lock();
        let mut waiting = state.waiting.iter().filter(|waiter| !waiter.tell.is_closed());
        let position = waiting.position(|waiter| waiter.number == self.number)? + 1;
        let rounds = position as f64 / state.slots as f64;
        let eta = state.average_s.map(|average| Duration::from_secs_f64((rounds * average).min(86_400.0)));
        Some(Ahead { position, eta })
    }
}

impl Standing {
    pub(crate) fn at(&self, place: Option<Place>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }

    pub(crate) fn now(&self) -> Option<Ahead> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.ahead()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_place_moves_up_and_says_how_long_it_takes() {
        let admission = Admission::new(1);
        let first = admission.enter("a").unwrap().slot().await.unwrap();
        let second = admission.enter("a").unwrap();
        let third = admission.enter("a").unwrap();
        let standing = Standing::default();
        assert_eq!(standing.now(), None);
        standing.at(third.place());
        assert_eq!(standing.now(), Some(Ahead { position: 2, eta: None }), "nothing is known of how long calls take");
        tokio::time::advance(Duration::from_secs(4)).await;
        drop(first);
        let second = second.slot().await.unwrap();
        assert_eq!(standing.now(), Some(Ahead { position: 1, eta: Some(Duration::from_secs(4)) }));
        let gone = admission.enter("a").unwrap();
        let last = admission.enter("a").unwrap();
        drop(gone);
        let ahead = last.place().and_then(|place| place.ahead());
        assert_eq!(ahead.map(|ahead| ahead.position), Some(2), "who left is not counted");
        drop(second);
        let _third = third.slot().await.unwrap();
        assert_eq!(standing.now(), None, "it waits no longer");
    }
}
