//! A consistent copy of a running database, and a database made of one.

use crate::sqlite::Reader;
use crate::{
    ArtifactRow, ContentPlace, DATABASE_FILE, Error,
    folder::create_private_file,
    sqlite::{connection, migration},
};
use domain::Epoch;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// While it is made. It has no name afterwards.
const COPY_FILE: &str = ".backup.db";
/// Steps of SQLite's machine between two looks whether anybody still wants the copy: well under a millisecond.
const STEPS: i32 = 10_000;

/// A compact copy of the state of one moment, without a name: nothing of it stays, whatever happens.
pub(crate) struct Copy {
    file: File,
    connection: Connection,
    epoch: Epoch,
}

impl Copy {
    /// Reads and writes go on meanwhile; the write-ahead log cannot start over, so it grows by what is written. Ends early
    /// when it is abandoned.
    pub(crate) fn make(database: &Path, is_abandoned: impl Fn() -> bool + Send + 'static) -> Result<Self, Error> {
        let copy = Named(database.with_file_name(COPY_FILE));
        copy.remove()?; // of a process that was killed in this very moment
        create_private_file(&copy.0)?;
        let name = copy.0.to_str().ok_or_else(|| Error::File {
            path: copy.0.clone(),
            what: "used as the name of a copy",
            source: io::Error::new(io::ErrorKind::InvalidFilename, "SQLite needs a name in UTF-8"),
        })?;
        // Not `query_only`: VACUUM INTO writes, though only to the copy. The source is open for reading alone.
        let mut source = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        source.progress_handler(STEPS, Some(is_abandoned))?;
        source.execute("VACUUM INTO ?1", [name])?;
        source.close().map_err(|(_, error)| error)?;
        let connection = Connection::open_with_flags(&copy.0, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let epoch = Epoch(connection.query_row("SELECT epoch FROM store", (), |row| row.get(0))?);
        let file = File::open(&copy.0).map_err(Error::file(&copy.0, "opened"))?;
        Ok(Self { file, connection, epoch })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// See [`Reader::named_content`].
    pub(crate) fn named_content(&self, after: Option<&ContentPlace>, limit: usize) -> Result<Vec<ArtifactRow>, Error> {
        Reader::new(&self.connection, self.epoch).named_content(after, limit)
    }
}

/// Removes a copy that a killed process was making.
pub(crate) fn remove_left_copy(folder: &Path) -> Result<(), Error> {
    Named(folder.join(COPY_FILE)).remove()
}

/// A name that goes with this.
struct Named(PathBuf);

impl Named {
    fn remove(&self) -> Result<(), Error> {
        for suffix in ["", "-journal"] {
            let mut name = self.0.clone().into_os_string();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file(name, "removed")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        // What cannot be removed now is removed before the next copy.
        let _ = self.remove();
    }
}

/// Makes a copy a database of its own: whole, ours, not too new, and under another epoch, so that a cursor from before is answered
/// with a reset and never with other events under the same numbers.
pub(crate) fn adopt_copy(file: &Path, new_epoch: Epoch) -> Result<(), Error> {
    let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // An empty file passes for a new database, but as a backup it is none.
    if migration::check(&connection, file)? == 0 {
        return Err(Error::ForeignDatabase { file: file.to_owned(), application_id: 0 });
    }
    let damage: String = connection.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
    if damage != "ok" {
        return Err(Error::Corrupt(damage));
    }
    connection.execute("UPDATE store SET epoch = ?1 WHERE only_row = 1", [new_epoch.0])?;
    // It is the copy that goes on. Earlier builds did not remember a file.
    if connection.column_exists(None, "store", "file")? {
        connection.execute("UPDATE store SET file = NULL", ())?;
    }
    settle(connection)
}

/// Makes a database that nobody has open one complete file, on disk.
pub(crate) fn settle_database(folder: &Path) -> Result<(), Error> {
    settle(Connection::open_with_flags(folder.join(DATABASE_FILE), OpenFlags::SQLITE_OPEN_READ_WRITE)?)
}

fn settle(connection: Connection) -> Result<(), Error> {
    connection::keep(&connection, "synchronous", 2.into())?;
    connection::keep(&connection, "journal_mode", "delete".to_owned().into())?;
    let file = connection.path().map(PathBuf::from).unwrap_or_default();
    connection.close().map_err(|(_, error)| error)?;
    File::open(&file).and_then(|file| file.sync_all()).map_err(Error::file(file, "synced"))
}
