//! The data folder: who may look into it, what lies in it, and that only one process has it.

use crate::{Error, filesystem, holder};
use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The database, beside it while it is open `-wal` and `-shm`.
pub const DATABASE_FILE: &str = "devmesh.db";
/// Locked by the process that has the folder; its number stands inside.
pub const LOCK_FILE: &str = "devmesh.lock";
/// Room kept free for what frees space, on a full disk.
pub const RESERVE_FILE: &str = "reserve";
/// Content-addressed files.
pub const BLOB_FOLDER: &str = "blobs";
/// Where a backup is unpacked before its database becomes this folder's. May be there when a folder is restored.
pub const RESTORING_FOLDER: &str = ".restoring";

/// A data folder this process has to itself, until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held for its advisory lock, which goes with the last descriptor: also when the process is killed.
    lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Said aloud, because a child process on its way to `exec` has a copy of the descriptor for a moment.
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, path = %self.path.display(), "the lock of the data folder goes with the process");
        }
    }
}

impl Folder {
    /// Creates the folder for its owner alone (0700) where there is none, checks its file system and takes its lock.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::file(path, "created"))?;
        filesystem::check(path)?;
        Ok(Self { path: path.to_owned(), lock: lock(path)? })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path.join(DATABASE_FILE)
    }

    pub(crate) fn write_ahead_log(&self) -> PathBuf {
        self.path.join(format!("{DATABASE_FILE}-wal"))
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.path.join(RESERVE_FILE)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join(BLOB_FOLDER)
    }

    /// The first thing in the folder besides its lock and what is about to be restored.
    pub(crate) fn first_entry(&self) -> Result<Option<String>, Error> {
        for entry in std::fs::read_dir(&self.path).map_err(Error::file(&self.path, "listed"))? {
            let name = entry.map_err(Error::file(&self.path, "listed"))?.file_name();
            if name != LOCK_FILE && name != RESTORING_FOLDER {
                return Ok(Some(name.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(Error::file(&path, "opened"))?;
    match holder::take(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut text = String::new();
            let _ = file.take(32).read_to_string(&mut text);
            return Err(Error::FolderInUse { folder: folder.to_owned(), pid: text.trim().parse().ok() });
        }
        Err(TryLockError::Error(source)) => return Err(Error::File { path, what: "locked", source }),
    }
    // Only for whoever meets the lock: a full disk must not keep the folder from being opened to free some space.
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::warn!(%error, path = %path.display(), "the lock is held, but the process number could not be written into it");
    }
    Ok(file)
}

/// Makes a file for its owner alone (0600), unless it exists.
pub(crate) fn create_private_file(path: &Path) -> Result<(), Error> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(drop)
        .map_err(Error::file(path, "created"))
}

/// Makes a new name in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file(folder, "synced"))
}
