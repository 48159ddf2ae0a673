//! When the write-ahead log goes into the database.
//!
//! SQLite would do it inside whichever commit passes a mark, and that caller would wait. Here it happens between
//! batches: PASSIVE after [`limits::CHECKPOINT_PAGES`], which never waits for anybody, and TRUNCATE, which wants all
//! readers out of the log, when nobody writes or the log has grown past [`limits::WAL_BYTES`].

use crate::{connection::PAGE_BYTES, limits};
use rusqlite::Connection;
use std::time::Duration;

#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// Pages in the log.
    pages: u64,
    /// Pages in the log when it was last copied or cut, or when that was last tried.
    tried_at: u64,
}

#[derive(Clone, Copy)]
enum Mode {
    /// Only tells.
    Noop,
    Passive,
    Truncate,
}

impl Checkpoints {
    /// How long to wait before the log is cut because nobody writes; `None` when it is empty.
    pub(super) fn patience(&self) -> Option<Duration> {
        (self.pages > 0).then_some(limits::IDLE_BEFORE_TRUNCATE)
    }

    pub(super) fn after_commit(&mut self, connection: &Connection) {
        self.pages = self.run(connection, Mode::Noop).unwrap_or(self.pages);
        if self.pages < self.tried_at {
            self.tried_at = 0; // the log started over
        }
        if self.pages - self.tried_at < limits::CHECKPOINT_PAGES {
            return;
        }
        // A reader that stays, a backup say, keeps the log from starting over. It may grow until then; trying again
        // after each further thousand pages, not after each commit, keeps writes quick meanwhile.
        if self.pages.saturating_mul(PAGE_BYTES.unsigned_abs()) > limits::WAL_BYTES {
            self.truncate(connection);
        } else {
            self.pages = self.run(connection, Mode::Passive).unwrap_or(self.pages);
        }
        self.tried_at = self.pages;
    }

    /// Empties the log if no reader is in the way. A failure is no harm: the log stays as it is.
    pub(super) fn truncate(&mut self, connection: &Connection) {
        let waited = connection.busy_timeout(limits::CHECKPOINT_WAIT);
        if waited.is_ok() {
            self.pages = self.run(connection, Mode::Truncate).unwrap_or(self.pages);
            self.tried_at = self.pages;
        }
        if let Err(error) = waited.and_then(|()| connection.busy_timeout(limits::LOCK_WAIT)) {
            tracing::warn!(%error, "the lock wait could not be set");
        }
    }

    /// Pages in the log afterwards; `None` when that could not be found out.
    fn run(&self, connection: &Connection, mode: Mode) -> Option<u64> {
        let sql = match mode {
            Mode::Noop => "PRAGMA wal_checkpoint(NOOP)",
            Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let found = connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row((), |row| row.get::<_, i64>(1)));
        match found {
            Ok(pages) => u64::try_from(pages).ok(),
            Err(error) => {
                tracing::warn!(%error, sql, "the write-ahead log could not be checkpointed; it goes on growing");
                None
            }
        }
    }
}
