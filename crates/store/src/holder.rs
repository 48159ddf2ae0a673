//! Whether a process has a data folder, and having it.
//!
//! The lock lies on the folder itself, which nobody can remove while there is something in it, and on [`LOCK_FILE`] in it,
//! which says who has it. A file alone would not do: once somebody removed it, the next process would make and lock another.
//! The file is locked too, for builds that know of nothing else.

use crate::LOCK_FILE;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

/// Held for the two advisory locks, which go with their last descriptors: also when the process is killed.
#[derive(Debug)]
pub(crate) struct Hold {
    directory: File,
    file: File,
}

/// Why there is no [`Hold`].
#[derive(Debug)]
pub(crate) enum Refused {
    /// Somebody else has the folder: the process of this number, where it is known.
    InUse(Option<u32>),
    Io(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Hold {
    /// Takes the folder for this process alone and writes its number down there.
    pub(crate) fn take(folder: &Path) -> Result<Self, Refused> {
        let directory = File::open(folder)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join(LOCK_FILE))?;
        for lock in [&directory, &file] {
            match take(lock) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(Refused::InUse(number_in(&file))),
                Err(TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        let mut hold = Self { directory, file };
        // Only for whoever meets the lock: a full disk must not keep the folder from being opened to free some space.
        if let Err(error) = hold.write_number() {
            tracing::warn!(%error, path = %folder.display(), "the folder is held, but the process number could not be written into its lock");
        }
        Ok(hold)
    }

    fn write_number(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{}", std::process::id())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        // Said aloud, because a child process on its way to `exec` has a copy of the descriptors for a moment.
        for lock in [&self.file, &self.directory] {
            if let Err(error) = lock.unlock() {
                tracing::warn!(%error, "the lock of the data folder goes with the process");
            }
        }
    }
}

fn number_in(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether some process, this one or another, has the folder open.
///
/// The lock goes with the process that has it, however that dies, so this cannot be left behind as a file can.
///
/// # Errors
/// When the folder or the lock's file is there and cannot be opened: it is another user's.
pub fn is_held(folder: &Path) -> io::Result<bool> {
    Ok(is_locked(folder)? || is_locked(&folder.join(LOCK_FILE))?)
}

fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(false),
        Err(error) => return Err(error),
    };
    // Shared: many may look at once. It is gone with `file`.
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// How often a lock that somebody only looks at is tried again, and the pause between: looking takes microseconds.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(1);

/// Takes the lock for this process alone. Whoever just looks, as [`is_held`] does, is waited for.
fn take(file: &File) -> Result<(), TryLockError> {
    for _ in 0..TRIES {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if is_only_looked_at(file)? => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
    file.try_lock()
}

fn is_only_looked_at(file: &File) -> Result<bool, TryLockError> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true).map_err(TryLockError::Error),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_by(folder: &Path) -> Option<u32> {
        match Hold::take(folder) {
            Err(Refused::InUse(process)) => process,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_folder_is_held_as_long_as_its_process_has_it_and_looking_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()).unwrap());
        assert!(!is_held(&folder.path().join("nowhere")).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let held = Hold::take(folder.path()).unwrap();
        assert!(is_held(folder.path()).unwrap());
        assert!(is_held(folder.path()).unwrap(), "looking takes nothing away");
        assert_eq!(refused_by(folder.path()), Some(std::process::id()));
        drop(held);
        assert!(!is_held(folder.path()).unwrap());
        Hold::take(folder.path()).unwrap();
    }

    #[test]
    fn removing_the_file_lets_nobody_in() {
        let folder = tempfile::tempdir().unwrap();
        let held = Hold::take(folder.path()).unwrap();
        std::fs::remove_file(folder.path().join(LOCK_FILE)).unwrap();
        assert!(is_held(folder.path()).unwrap());
        assert_eq!(refused_by(folder.path()), None, "who has it is not known any more");
        assert_eq!(refused_by(folder.path()), None, "and the file made meanwhile changes nothing");
        drop(held);
        Hold::take(folder.path()).unwrap();
    }

    #[test]
    fn a_build_that_locks_only_the_file_is_respected() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(LOCK_FILE), "4711\n").unwrap();
        let older = File::open(folder.path().join(LOCK_FILE)).unwrap();
        older.lock().unwrap();
        assert!(is_held(folder.path()).unwrap());
        assert_eq!(refused_by(folder.path()), Some(4711));
        older.unlock().unwrap();
        assert!(!is_held(folder.path()).unwrap());
        Hold::take(folder.path()).unwrap();
    }

    #[test]
    fn whoever_looks_is_told_from_whoever_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let held = Hold::take(folder.path()).unwrap();
        let file = File::open(folder.path()).unwrap();
        assert!(!is_only_looked_at(&file).unwrap());
        assert!(matches!(take(&file), Err(TryLockError::WouldBlock)));
        drop(held);
        let looking = File::open(folder.path()).unwrap();
        looking.lock_shared().unwrap();
        assert!(is_only_looked_at(&file).unwrap());
        looking.unlock().unwrap();
        take(&file).unwrap();
    }
}
