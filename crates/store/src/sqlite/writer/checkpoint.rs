//! When the write-ahead log goes into the database.
//!
//! SQLite would do it inside whichever commit passes a mark, and that caller would wait. Here it happens between
//! batches: PASSIVE after [`limits::CHECKPOINT_PAGES`], which never waits for anybody, and TRUNCATE, which wants all
//! readers out of the log, when nobody writes or the log has grown past [`limits::WAL_BYTES`].
//!
//! Neither is tried when the disk has no room for what the database would grow by. A checkpoint that runs out of room
//! half-way gives none of it back: the space an operator has just freed would go into a database that is no further,
//! beside a log that is no shorter, and writes would stay refused.
//!
//! While the disk is full the log is not cut but started over, RESTART: its blocks stay its own, and the next commit is
//! written over them. What a cut gives back is anybody's, and somebody who fills the disk takes it before the next commit.

use crate::{
    limits,
    sqlite::{connection::PAGE_BYTES, reserve::disk},
};
use rusqlite::{Connection, config::DbConfig};
use std::{path::PathBuf, time::Duration};

#[derive(Debug)]
pub(crate) struct Checkpoints {
    database: PathBuf,
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
    Restart,
    Truncate,
}

impl Checkpoints {
    pub(super) fn new(database: PathBuf) -> Self {
        // More than none: the log of the process before is cut as soon as nobody writes.
        Self { database, pages: 1, tried_at: 0 }
    }

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
        } else if self.has_room(connection) {
            self.pages = self.run(connection, Mode::Passive).unwrap_or(self.pages);
        }
        self.tried_at = self.pages;
    }

    /// Empties the log if there is room and no reader in the way. A failure is no harm: the log stays as it is.
    pub(super) fn truncate(&mut self, connection: &Connection) {
        if !self.has_room(connection) {
            return;
        }
        let waited = keep_bytes(connection, limits::WAL_KEPT_BYTES)
            .and_then(|()| connection.busy_timeout(limits::CHECKPOINT_WAIT));
        if waited.is_ok() {
            self.pages = self.run(connection, Mode::Truncate).unwrap_or(self.pages);
            self.tried_at = self.pages;
        }
        if let Err(error) = waited.and_then(|()| connection.busy_timeout(limits::LOCK_WAIT)) {
            tracing::warn!(%error, "the lock wait could not be set");
        }
    }

    /// Lets the next commit begin the log anew, over its own blocks, of which it keeps this much. A failure is no harm.
    pub(super) fn restart(&mut self, connection: &Connection, keeps_bytes: u64) {
        if !self.has_room(connection) {
            return;
        }
        let keeps = i64::try_from(keeps_bytes).unwrap_or(limits::WAL_KEPT_BYTES);
        let waited = keep_bytes(connection, keeps).and_then(|()| connection.busy_timeout(limits::CHECKPOINT_WAIT));
        if waited.is_ok() {
            self.pages = self.run(connection, Mode::Restart).unwrap_or(self.pages);
            self.tried_at = self.pages;
        }
        if let Err(error) = waited.and_then(|()| connection.busy_timeout(limits::LOCK_WAIT)) {
            tracing::warn!(%error, "the lock wait could not be set");
        }
    }

    /// Bytes of the log's file.
    pub(super) fn log_bytes(&self) -> u64 {
        let mut log = self.database.as_os_str().to_owned();
        log.push("-wal");
        std::fs::metadata(log).map_or(0, |file| file.len())
    }

    /// Closes the connection, without the checkpoint SQLite makes by itself when there is no room for it, or when the log is to
    /// keep what it has.
    pub(super) fn close(&self, connection: Connection, is_short: bool) {
        let keeps_log = is_short || !self.has_room(&connection);
        let closed = connection
            .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps_log)
            .and_then(|_| connection.close().map_err(|(_, error)| error));
        if let Err(error) = closed {
            tracing::warn!(%error, "the writing connection did not close cleanly");
        }
    }

    /// Whether the disk has what the database would grow by if the whole log went into it now.
    fn has_room(&self, connection: &Connection) -> bool {
        let pages = connection
            .prepare_cached("PRAGMA page_count")
            .and_then(|mut pragma| pragma.query_row((), |row| row.get::<_, i64>(0)));
        let (Ok(pages), Ok(file)) = (pages, std::fs::metadata(&self.database)) else { return false };
        let growth = pages.saturating_mul(PAGE_BYTES).unsigned_abs().saturating_sub(file.len());
        growth == 0 || self.free_bytes().is_none_or(|free| free >= growth)
    }

    /// `None` when the system does not say.
    fn free_bytes(&self) -> Option<u64> {
        disk(&self.database).ok().map(|(free, _)| free)
    }

    pub(super) fn log_is_empty(&self) -> bool {
        self.pages == 0
    }

    /// Pages in the log afterwards; `None` when that could not be found out.
    fn run(&self, connection: &Connection, mode: Mode) -> Option<u64> {
        let sql = match mode {
            Mode::Noop => "PRAGMA wal_checkpoint(NOOP)",
            Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
            Mode::Restart => "PRAGMA wal_checkpoint(RESTART)",
            Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
        };
        let found = connection.prepare_cached(sql).and_then(|mut statement| {
            statement.query_row((), |row| Ok((row.get::<_, bool>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        });
        match found {
            // All of it is in the database and nobody reads it there: the next commit begins anew.
            Ok((false, pages, copied)) if matches!(mode, Mode::Restart) && pages == copied => Some(0),
            Ok((_, pages, _)) => u64::try_from(pages).ok(),
            Err(error) => {
                tracing::warn!(%error, sql, "the write-ahead log could not be checkpointed; it goes on growing");
                None
            }
        }
    }
}

/// How long the log's file stays when a commit begins the log anew.
fn keep_bytes(connection: &Connection, bytes: i64) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_size_limit", bytes, |_| Ok(()))
}
