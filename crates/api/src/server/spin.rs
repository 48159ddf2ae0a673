//! Looking for what comes next before falling asleep.
//!
//! To wake a thread that sleeps takes longer than to pass a call on. So a worker that expects the next thing soon keeps
//! looking for it, for [`WINDOW`] at most. What it expects is that a wait takes as long as the last one of its kind did:
//! callers of a model that thinks for seconds cost nothing here.
//!
//! It does not yield its core while it looks: with that, calls that came while others were busy waited for milliseconds
//! before the thread had its turn again (`docs/adr/0012-workers-look-before-they-sleep.md`).

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;

/// Some times what it takes to wake a thread, and an upstream on this machine to answer.
const WINDOW: Duration = Duration::from_micros(150);

/// What happened last, and so what is waited for.
#[derive(Clone, Copy)]
pub enum Last {
    /// A request came: what it asks for.
    Request,
    /// A response went: the next request.
    Response,
}

#[derive(Default)]
struct Worker {
    last: Cell<Option<(Last, Instant)>>,
    /// How long the last wait after each took.
    waits: [Cell<Option<Duration>>; 2],
    until: Cell<Option<Instant>>,
    begin: Notify,
}

thread_local! {
    static WORKER: Rc<Worker> = Rc::default();
}

/// To be told of everything that ends one wait of this thread and begins another.
pub fn saw(last: Last) {
    WORKER.with(|worker| worker.saw(last, Instant::now()));
}

impl Worker {
    fn saw(&self, last: Last, now: Instant) {
        if let Some((before, at)) = self.last.replace(Some((last, now))) {
            self.waits[before as usize].set(Some(now - at));
        }
        let is_near = self.waits[last as usize].get().is_some_and(|wait| wait < WINDOW);
        if self.until.replace(is_near.then(|| now + WINDOW)).is_none() && is_near {
            self.begin.notify_one();
        }
    }
}

/// Keeps its thread awake where that may pay. Never ends.
pub async fn spin() {
    let worker = WORKER.with(Rc::clone);
    loop {
        worker.begin.notified().await;
        while worker.until.get().is_some_and(|until| Instant::now() < until) {
            // Looks for input and lets everything else on this thread have its turn.
            tokio::task::yield_now().await;
        }
        worker.until.set(None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(100);
    const LONG: Duration = Duration::from_millis(3);

    /// Whether it looks for more after the last of these, each of which came so long after the one before.
    fn spins(seen: &[(Last, Duration)]) -> bool {
        let (worker, mut now) = (Worker::default(), Instant::now());
        for &(last, after) in seen {
            now += after;
            worker.saw(last, now);
        }
        worker.until.get().is_some()
    }

    #[test]
    fn a_wait_is_expected_to_take_as_long_as_the_last_of_its_kind() {
        use Last::{Request, Response};
        assert!(!spins(&[(Request, LONG)]), "nothing is known yet");
        assert!(!spins(&[(Request, LONG), (Response, SHORT)]), "of this kind, either");
        assert!(spins(&[(Request, LONG), (Response, SHORT), (Request, LONG)]), "the last answer was quick");
        assert!(!spins(&[(Request, LONG), (Response, SHORT), (Request, LONG), (Response, SHORT)]), "requests are rare");
        assert!(!spins(&[(Request, LONG), (Response, LONG), (Request, SHORT)]), "the last answer took its time");
        assert!(
            spins(&[(Request, LONG), (Response, LONG), (Request, SHORT), (Response, LONG)]),
            "requests follow closely"
        );
    }

    #[tokio::test(flavor = "current_thread")]
    async fn looking_ends_by_itself_and_keeps_nobody_from_working() {
        let looking = tokio::select! {
            biased;
            () = spin() => false,
            done = async {
                // Quick answers, then nothing.
                for last in [Last::Request, Last::Response, Last::Request, Last::Response] {
                    saw(last);
                    tokio::task::yield_now().await;
                }
                let begun = WORKER.with(|worker| worker.until.get().is_some());
                while WORKER.with(|worker| worker.until.get().is_some()) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                begun
            } => done,
        };
        assert!(looking);
    }
}
