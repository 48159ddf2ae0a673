//! The data folder: who may look into it, what lies in it, and that only one process has it.

mod own;

use crate::{
    Error, filesystem,
    holder::{Hold, Refused},
};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The database, beside it while it is open `-wal` and `-shm`.
pub const DATABASE_FILE: &str = "devmesh.db";
/// Says which process has the folder: its number stands inside.
pub const LOCK_FILE: &str = "devmesh.lock";
/// Room kept free for what frees space, on a full disk.
pub const RESERVE_FILE: &str = "reserve";
/// Content-addressed files.
pub const BLOB_FOLDER: &str = "blobs";
/// Where a backup is unpacked before its database becomes this folder's.
pub const RESTORING_FOLDER: &str = ".restoring";

/// A data folder this process has to itself, until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _hold: Hold,
}

impl Folder {
    /// Creates the folder for its owner alone (0700) where there is none, durably, checks its file system, takes its lock
    /// and sees to it that no other folder has what lies in it.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        make_folder(path)?;
        filesystem::check(path)?;
        let hold = Hold::take(path).map_err(|refused| match refused {
            Refused::InUse(pid) => Error::FolderInUse { folder: path.to_owned(), pid },
            Refused::Io(source) => Error::file(path.join(LOCK_FILE), "locked")(source),
        })?;
        own::check(path)?;
        Ok(Self { path: path.to_owned(), _hold: hold })
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

    pub(crate) fn write_ahead_index(&self) -> PathBuf {
        self.path.join(format!("{DATABASE_FILE}-shm"))
    }

    pub(crate) fn reserve(&self) -> PathBuf {
        self.path.join(RESERVE_FILE)
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.path.join(BLOB_FOLDER)
    }

    /// Whether somebody began to restore into the folder and did not come to the end.
    pub(crate) fn is_half_restored(&self) -> bool {
        is_half_restored(&self.path)
    }

    /// Removes what a restore left that was killed in its last moment. One that came less far is no data folder.
    pub(crate) fn clear_after_restore(&self) -> Result<(), Error> {
        if self.is_half_restored() {
            return Err(Error::RestoreUnfinished { folder: self.path.clone() });
        }
        let left = self.path.join(RESTORING_FOLDER);
        let content = left.join(BLOB_FOLDER);
        // Earlier builds put the database in place first.
        if content.is_dir() && !self.blobs().exists() {
            std::fs::rename(&content, self.blobs()).map_err(Error::file(self.blobs(), "put in place"))?;
            sync_folder(&self.path)?;
        }
        match std::fs::remove_dir_all(&left) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file(left, "removed")(error)),
            _ => Ok(()),
        }
    }

    /// The first thing in the folder besides its lock.
    pub(crate) fn first_entry(&self) -> Result<Option<String>, Error> {
        for entry in std::fs::read_dir(&self.path).map_err(Error::file(&self.path, "listed"))? {
            let name = entry.map_err(Error::file(&self.path, "listed"))?.file_name();
            if name != LOCK_FILE {
                return Ok(Some(name.to_string_lossy().into_owned()));
            }
        }
        Ok(None)
    }
}

/// Whether somebody began to restore into a folder and did not come to the end, or has not yet.
pub fn is_half_restored(folder: &Path) -> bool {
    folder.join(RESTORING_FOLDER).is_dir() && !folder.join(DATABASE_FILE).exists()
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

/// Makes a folder for its owner alone (0700) and whatever is missing above it. All of it survives a power cut.
pub(crate) fn make_folder(path: &Path) -> Result<(), Error> {
    let missing = path.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).count();
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(Error::file(path, "created"))?;
    path.ancestors().skip(1).take(missing).try_for_each(sync_folder)
}

/// Makes a new name in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::file(folder, "synced"))
}
