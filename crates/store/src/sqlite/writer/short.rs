//! The writer on a full disk: who may still write, on what, and how it ends.

use super::{Writer, request::Class};
use crate::{error::Failure, sqlite::writer::request::Request};

impl Writer {
    /// The request, if it may be tried now. Otherwise it was answered.
    pub(super) fn admit(&mut self, request: Box<dyn Request>) -> Option<Box<dyn Request>> {
        if !self.reserve.is_short() || request.class() == Class::Relief || self.reserve.refill() {
            return Some(request);
        }
        request.answer(Err(Failure::Full(self.reserve.reason())));
        None
    }

    /// A batch did not fit. Whoever was in it for relief is run once more, alone: what did not fit may have been somebody
    /// else's. While it does not, on more and more of the reserve.
    pub(super) fn relieve(&mut self, failure: &Failure, requests: Vec<Box<dyn Request>>) {
        let (relief, ordinary) = requests.into_iter().partition(|request| request.class() == Class::Relief);
        self.settle(&Err(failure.clone()), ordinary);
        for mut request in relief {
            let outcome = loop {
                match self.commit_alone(request.as_mut()) {
                    Err(failure) if failure.is_full() => {
                        self.give_up(&failure);
                        self.batch.forget();
                        if !self.reserve.release() {
                            break Err(failure);
                        }
                    }
                    outcome => break outcome,
                }
            };
            self.settle(&outcome, vec![request]);
        }
    }

    fn commit_alone(&mut self, request: &mut dyn Request) -> Result<(), Failure> {
        let outcome = self.begin().and_then(|()| self.run_one(request)).and_then(|()| self.execute("COMMIT"));
        outcome.map_err(|failure| self.named(failure))
    }

    /// Whether writes of all kinds go on: what was deleted or checkpointed meanwhile may have made room.
    pub(super) fn recover(&mut self) -> bool {
        let keeps = self.reserve.log_keeps();
        if let Some(connection) = &self.connection {
            self.checkpoints.restart(connection, keeps);
        }
        if self.reserve.refill() {
            return true;
        }
        // Frees what the log has beyond its share, and pages of the database for what comes later, as long as the log starts
        // over each time.
        self.overlong = self.checkpoints.log_is_empty() && self.checkpoints.log_bytes() > keeps;
        if self.connection.is_some() && (self.overlong || self.batch.purge_pending && self.may_purge()) {
            self.commit(None);
        }
        self.overlong = false;
        false
    }

    /// Purging grows the log, which on a short disk may take no room that is kept for others.
    pub(super) fn may_purge(&self) -> bool {
        !self.reserve.is_short() || self.checkpoints.log_is_empty()
    }

    /// SQLite has one code for a full disk and others for what comes of it: a file that cannot be made or extended.
    pub(super) fn named(&self, failure: Failure) -> Failure {
        match failure {
            Failure::Failed(text) if self.reserve.disk_is_full() => Failure::Full(text),
            other => other,
        }
    }
}
