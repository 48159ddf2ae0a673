//! A consistent copy of a running database, and a data folder made of one.

use crate::{
    Error,
    folder::{Folder, create_private_file, sync_folder},
    sqlite::{connection, migration},
};
use domain::Epoch;
use rusqlite::{Connection, OpenFlags};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Writes a compact copy of the state of one moment; reads and writes go on. The copy appears under its name when it is
/// whole and on disk. Until then the write-ahead log cannot start over, so it grows by what is written meanwhile.
pub(crate) fn backup(database: &Path, file: &Path) -> Result<(), Error> {
    if file.exists() {
        return Err(Error::FileExists(file.to_owned()));
    }
    let partial = beside(file);
    remove_if_there(&partial)?;
    let copied = copy(database, &partial).and_then(|()| put_in_place(&partial, file));
    if copied.is_err() {
        let _ = std::fs::remove_file(&partial); // the first error is the one to tell
    }
    copied
}

fn copy(database: &Path, partial: &Path) -> Result<(), Error> {
    create_private_file(partial)?;
    let name = partial.to_str().ok_or_else(|| Error::File {
        path: partial.to_owned(),
        what: "used as the name of a backup",
        source: io::Error::new(io::ErrorKind::InvalidFilename, "SQLite needs a name in UTF-8"),
    })?;
    // Not `query_only`: VACUUM INTO writes, though only to the copy. The source is open for reading alone.
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.execute("VACUUM INTO ?1", [name])?;
    connection.close().map_err(|(_, error)| error.into())
}

/// Makes a new data folder out of a backup. Its epoch is another one, so a cursor from before is answered with a reset
/// and never with other events under the same numbers. Refuses a folder that holds anything. Blobs are files beside the
/// database and come back as files, after this.
pub fn restore(backup: &Path, folder: &Path, new_epoch: Epoch) -> Result<(), Error> {
    connection::assert_safe_sqlite()?;
    let folder = Folder::claim(folder)?;
    if let Some(entry) = folder.first_entry()? {
        return Err(Error::FolderNotEmpty { folder: folder.path().to_owned(), entry });
    }
    let partial = beside(&folder.database());
    let restored = refill(backup, &partial, new_epoch).and_then(|()| put_in_place(&partial, &folder.database()));
    if restored.is_err() {
        let _ = std::fs::remove_file(&partial); // the first error is the one to tell
    }
    restored
}

fn refill(backup: &Path, partial: &Path, new_epoch: Epoch) -> Result<(), Error> {
    create_private_file(partial)?;
    let mut source = File::open(backup).map_err(Error::file(backup, "opened"))?;
    let mut target = File::options().write(true).open(partial).map_err(Error::file(partial, "opened"))?;
    io::copy(&mut source, &mut target).map_err(Error::file(partial, "written"))?;
    drop(target);
    let connection = Connection::open_with_flags(partial, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    // An empty file passes for a new database, but as a backup it is none.
    if migration::check(&connection, backup)? == 0 {
        return Err(Error::ForeignDatabase { file: backup.to_owned(), application_id: 0 });
    }
    let damage: String = connection.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0))?;
    if damage != "ok" {
        return Err(Error::Corrupt(damage));
    }
    connection::keep(&connection, "journal_mode", "delete".to_owned().into())?;
    connection::keep(&connection, "synchronous", 2.into())?;
    connection.execute("UPDATE store SET epoch = ?1 WHERE only_row = 1", [new_epoch.0])?;
    connection.close().map_err(|(_, error)| error.into())
}

fn put_in_place(partial: &Path, file: &Path) -> Result<(), Error> {
    File::open(partial).and_then(|copy| copy.sync_all()).map_err(Error::file(partial, "synced"))?;
    std::fs::rename(partial, file).map_err(Error::file(file, "put in place"))?;
    match file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => sync_folder(folder),
        None => sync_folder(Path::new(".")),
    }
}

/// Where a copy grows until it is whole.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

fn remove_if_there(file: &Path) -> Result<(), Error> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(file, "removed")(error)),
        _ => Ok(()),
    }
}
