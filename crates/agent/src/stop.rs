//! Why and when an attempt has to stop, known to everything that works for it.

use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// What ended the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Somebody cancelled the job.
    Cancelled,
    /// The job's time is up.
    TimedOut,
    /// This agent is shutting down; another one goes on.
    ShuttingDown,
    /// The lease is gone. From here on this attempt writes nothing, anywhere.
    Lost,
}

/// Shared by clones. The first cause holds, except that a lost lease overrides them all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stop {
    cause: Arc<OnceLock<Cause>>,
    requested: CancellationToken,
    lost: CancellationToken,
}

impl Stop {
    pub(crate) fn request(&self, cause: Cause) {
        if cause == Cause::Lost {
            self.lost.cancel();
        }
        // Set already: the first cause holds.
        let _ = self.cause.set(cause);
        self.requested.cancel();
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        match self.lost.is_cancelled() {
            true => Some(Cause::Lost),
            false => self.cause.get().copied(),
        }
    }

    /// Fires with any cause: stop the tool and the model call.
    pub(crate) fn requested(&self) -> &CancellationToken {
        &self.requested
    }

    /// Fires when the lease is gone: also stop writing.
    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_holds_unless_the_lease_is_lost() {
        let stop = Stop::default();
        assert_eq!(stop.cause(), None);
        stop.request(Cause::Cancelled);
        stop.request(Cause::TimedOut);
        assert_eq!(stop.cause(), Some(Cause::Cancelled));
        assert!(stop.requested().is_cancelled() && !stop.lost().is_cancelled());
        stop.request(Cause::Lost);
        assert_eq!(stop.cause(), Some(Cause::Lost));
    }
}
