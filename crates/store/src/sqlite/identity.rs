//! Whether a database lies where it lay, or is a copy.
//!
//! A copy goes its own way from the moment it was made: under the epoch of the original, numbers would come twice that stand for
//! different things, and agents of the one would be taken for those of the other. So a database remembers which file it is, by
//! inode number and time of birth, and one that finds itself in another file begins another epoch. Renamed folders and other mounts
//! keep both. A snapshot of a whole file system is not told apart from it.

use crate::Error;
use domain::Epoch;
use rusqlite::Connection;
use std::{os::unix::fs::MetadataExt, path::Path, time::UNIX_EPOCH};

/// Compares the file with what its database remembers, and answers with the epoch that goes on from here: `new_epoch` in a copy.
pub(super) fn recognise(connection: &Connection, file: &Path, epoch: Epoch, new_epoch: Epoch) -> Result<Epoch, Error> {
    let found = identity_of(file)?;
    let remembered: Option<String> = connection.query_row("SELECT file FROM store", (), |row| row.get(0))?;
    if remembered.as_ref() == Some(&found) {
        return Ok(epoch);
    }
    // What remembers nothing was just made, or restored under an epoch of its own, or is of a build before this.
    let goes_on = if remembered.is_some() { new_epoch } else { epoch };
    connection.execute("UPDATE store SET file = ?1, epoch = ?2 WHERE only_row = 1", (&found, goes_on.0))?;
    if let Some(remembered) = remembered {
        tracing::warn!(
            database = %file.display(), %remembered, %found,
            "the database is a copy, or was moved to another file system; readers are told to begin again, and what ran is queued again"
        );
    }
    Ok(goes_on)
}

/// No device number: it may be another one after each start of the machine. Not every file system knows when a file was made.
fn identity_of(file: &Path) -> Result<String, Error> {
    let metadata = std::fs::metadata(file).map_err(Error::file(file, "looked at"))?;
    let born = metadata.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
    Ok(match born {
        Some(born) => format!("{} {}.{:09}", metadata.ino(), born.as_secs(), born.subsec_nanos()),
        None => metadata.ino().to_string(),
    })
}
