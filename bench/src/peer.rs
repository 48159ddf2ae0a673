//! The direct path: SQLite alone, with the same promise about the disk.

use anyhow::Result;
use rusqlite::{Connection, params};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// One connection, WAL, `synchronous=FULL`, one narrow table.
pub struct Sqlite(Connection);

impl Sqlite {
    pub fn open(folder: &Path) -> Result<Self> {
        let connection = Connection::open(folder.join("peer.db"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS rows (job INTEGER, seq INTEGER, payload TEXT, PRIMARY KEY (job, seq)) STRICT, WITHOUT ROWID",
        )?;
        Ok(Self(connection))
    }

    /// One transaction of `rows` rows of `bytes` bytes each, fsynced.
    pub fn commit(&mut self, first: i64, rows: i64, bytes: usize) -> Result<Duration> {
        let payload = "x".repeat(bytes);
        let started = Instant::now();
        let transaction = self.0.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO rows VALUES (1, ?1, ?2)")?;
            for seq in first..first + rows {
                insert.execute(params![seq, payload])?;
            }
        }
        transaction.commit()?;
        Ok(started.elapsed())
    }
}
