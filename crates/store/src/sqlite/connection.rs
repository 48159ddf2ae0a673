//! Connections: every pragma that matters is set and read back, because SQLite ignores the ones it cannot keep.

use crate::{Error, limits, sqlite::migration};
use rusqlite::{Connection, OpenFlags, config::DbConfig, types::Value};
use std::path::Path;

/// Before this, two connections that write and checkpoint at once can damage the log (fixed in 3.51.3).
const OLDEST_SAFE_SQLITE: (i32, &str) = (3_051_003, "3.51.3");

/// `DMSH`, so that `file` and we ourselves know the database for ours.
pub(crate) const APPLICATION_ID: i32 = 0x444d_5348;

/// Version of the SQLite inside this program.
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}

pub(crate) fn assert_safe_sqlite() -> Result<(), Error> {
    let (needed_number, needed) = OLDEST_SAFE_SQLITE;
    if rusqlite::version_number() < needed_number {
        return Err(Error::UnsafeSqlite { found: rusqlite::version().to_owned(), needed });
    }
    Ok(())
}

/// Bytes per page of a new database; fixed from then on. One page of a file system, so a commit writes no more of them
/// than it changed.
pub(crate) const PAGE_BYTES: i64 = 4_096;

/// The one connection that writes. Refuses a file that is not ours before anything in it changes, then switches the
/// write-ahead log on.
pub(crate) fn open_writer(file: &Path) -> Result<Connection, Error> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    if migration::check(&connection, file)? == 0 {
        keep(&connection, "page_size", PAGE_BYTES.into())?;
    }
    keep(&connection, "journal_mode", "wal".to_owned().into())?;
    keep(&connection, "synchronous", 2.into())?; // FULL: every commit syncs the log
    // Checkpoints happen between batches, not inside whichever commit passes a mark.
    keep(&connection, "wal_autocheckpoint", 0.into())?;
    keep(&connection, "journal_size_limit", limits::WAL_KEPT_BYTES.into())?;
    keep(&connection, "foreign_keys", 1.into())?;
    keep(&connection, "cache_size", (-limits::WRITER_CACHE_KIB).into())?;
    // Where a plain fsync stays in the drive's cache (macOS), ask for the one that does not. No effect elsewhere.
    keep(&connection, "fullfsync", 1.into())?;
    keep(&connection, "checkpoint_fullfsync", 1.into())?;
    Ok(connection)
}

/// A connection that cannot write, whatever it is asked.
pub(crate) fn open_reader(file: &Path) -> Result<Connection, Error> {
    let connection = open(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    // Whether the log goes into the database when the last connection closes is the writer's to decide.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    keep(&connection, "query_only", 1.into())?;
    keep(&connection, "cache_size", (-limits::READER_CACHE_KIB).into())?;
    Ok(connection)
}

fn open(file: &Path, access: OpenFlags) -> Result<Connection, Error> {
    // A connection belongs to one thread at a time, so SQLite need not lock inside it.
    let connection = Connection::open_with_flags(file, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(limits::CACHED_STATEMENTS);
    connection.busy_timeout(limits::LOCK_WAIT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // One plan per statement. Otherwise it is planned anew for every value that could match a partial index, which takes
    // ten times as long as running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    keep(&connection, "trusted_schema", 0.into())?;
    keep(&connection, "mmap_size", 0.into())?; // mapped pages turn a disk error into a crash
    keep(&connection, "temp_store", 2.into())?; // in memory: sorting needs no room on a full disk
    keep(&connection, "busy_timeout", (limits::LOCK_WAIT.as_millis() as i64).into())?;
    Ok(connection)
}

/// Sets a pragma and asks for it again.
pub(crate) fn keep(connection: &Connection, pragma: &'static str, wanted: Value) -> Result<(), Error> {
    // Some answer with the new value and some with nothing; only the question afterwards counts.
    connection.pragma_update_and_check(None, pragma, &wanted, |_| Ok(())).or_else(ignore_no_row)?;
    let found = match connection.pragma_query_value(None, pragma, |row| row.get::<_, Value>(0)) {
        Ok(found) => found,
        // A build without memory mapping has no such pragma, and nothing to switch off.
        Err(rusqlite::Error::QueryReturnedNoRows) if pragma == "mmap_size" => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if found != wanted {
        return Err(Error::Pragma { pragma, wanted: printed(&wanted), found: printed(&found) });
    }
    Ok(())
}

fn ignore_no_row(error: rusqlite::Error) -> rusqlite::Result<()> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pragma(connection: &Connection, name: &str) -> Value {
        connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_writer_is_set_up_for_durability_and_a_reader_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.db");
        std::fs::write(&file, "").unwrap();
        let writer = open_writer(&file).unwrap();
        assert_eq!(pragma(&writer, "journal_mode"), Value::Text("wal".into()));
        assert_eq!(pragma(&writer, "synchronous"), Value::Integer(2));
        assert_eq!(pragma(&writer, "foreign_keys"), Value::Integer(1));
        writer.execute_batch("CREATE TABLE t (x INTEGER) STRICT").unwrap();
        let reader = open_reader(&file).unwrap();
        assert!(reader.execute_batch("INSERT INTO t VALUES (1)").is_err());
        assert!(reader.execute_batch("PRAGMA query_only = 0; INSERT INTO t VALUES (1)").is_err());
    }

    #[test]
    fn a_pragma_that_does_not_hold_is_an_error() {
        let connection = Connection::open_in_memory().unwrap();
        let error = keep(&connection, "journal_mode", "wal".to_owned().into()).unwrap_err();
        assert!(matches!(&error, Error::Pragma { pragma: "journal_mode", found, .. } if found == "memory"), "{error}");
    }

    #[test]
    fn the_bundled_library_is_new_enough() {
        assert_safe_sqlite().unwrap();
    }
}
