//! What lies in a data folder is its own.
//!
//! The lock is that of the folder. A database that is linked to from a second folder would be open under two locks, and content that
//! two folders share is removed by the one that has no row for it. The folder itself may be reached through links: its lock is the same
//! by every name.

use super::{BLOB_FOLDER, DATABASE_FILE};
use crate::Error;
use std::{fs::Metadata, io::ErrorKind, os::unix::fs::MetadataExt, path::Path};

/// Refuses a folder whose database, or content, another folder has too. What is not there yet will be its own.
pub(super) fn check(folder: &Path) -> Result<(), Error> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        check_one(&folder.join(format!("{DATABASE_FILE}{suffix}")), shared_file)?;
    }
    check_one(&folder.join(BLOB_FOLDER), shared_folder)
}

fn check_one(path: &Path, shared: impl Fn(&Metadata) -> Option<String>) -> Result<(), Error> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        metadata => metadata.map_err(Error::file(path, "looked at"))?,
    };
    let found = match std::fs::read_link(path) {
        Ok(target) => Some(format!("a link to {}", target.display())),
        Err(_) => shared(&metadata),
    };
    found.map_or(Ok(()), |found| Err(Error::NotItsOwn { path: path.to_owned(), found }))
}

fn shared_file(metadata: &Metadata) -> Option<String> {
    match (metadata.is_file(), metadata.nlink()) {
        (false, _) => Some("no file".to_owned()),
        // None at all: it was removed in this moment.
        (true, 0 | 1) => None,
        (true, names) => Some(format!("a file with {names} names (hard links)")),
    }
}

fn shared_folder(metadata: &Metadata) -> Option<String> {
    (!metadata.is_dir()).then(|| "no folder".to_owned())
}
