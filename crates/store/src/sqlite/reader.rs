//! One short read transaction: everything it answers belongs to the same moment.

pub(crate) mod access;
pub(crate) mod approvals;
pub(crate) mod artifacts;
pub(crate) mod events;
pub(crate) mod jobs;
pub(crate) mod models;
mod page;
#[cfg(test)]
mod plans;
pub(crate) mod profiles;

use crate::{Error, error::Failure};
use domain::Epoch;
use rusqlite::Connection;
use std::cell::RefCell;

/// What a closure handed to [`crate::Store::read`] works on.
pub struct Reader<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) epoch: Epoch,
    /// The first error after which this transaction cannot be trusted, kept even when the closure makes light of it.
    failure: RefCell<Option<Failure>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(connection: &'a Connection, epoch: Epoch) -> Self {
        Self { connection, epoch, failure: RefCell::new(None) }
    }

    /// The epoch of cursors handed out now.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Every statement goes through here.
    pub(crate) fn run<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        work(self.connection).map_err(|error| {
            if let Some(failure) = Failure::of(&error) {
                self.failure.borrow_mut().get_or_insert(failure);
            }
            error.into()
        })
    }

    pub(crate) fn failure(self) -> Option<Failure> {
        self.failure.into_inner()
    }
}
