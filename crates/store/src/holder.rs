//! Whether a process has a data folder, without taking it or leaving anything in it.

use crate::LOCK_FILE;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, ErrorKind},
    path::Path,
    time::Duration,
};

/// Whether some process, this one or another, has the folder open.
///
/// The lock goes with the process that has it, however that dies, so this cannot be left behind as a file can.
///
/// # Errors
/// When the lock's file is there and cannot be opened: the folder is another user's.
pub fn is_held(folder: &Path) -> io::Result<bool> {
    let file = match OpenOptions::new().read(true).open(folder.join(LOCK_FILE)) {
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
pub(crate) fn take(file: &File) -> Result<(), TryLockError> {
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
    use crate::folder::Folder;

    #[test]
    fn a_folder_is_held_as_long_as_its_process_has_it_and_looking_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!is_held(folder.path()).unwrap());
        assert!(!is_held(&folder.path().join("nowhere")).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let held = Folder::claim(folder.path()).unwrap();
        assert!(is_held(folder.path()).unwrap());
        assert!(is_held(folder.path()).unwrap(), "looking takes nothing away");
        drop(held);
        assert!(!is_held(folder.path()).unwrap());
    }

    #[test]
    fn whoever_looks_is_told_from_whoever_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let held = Folder::claim(folder.path()).unwrap();
        let file = File::open(folder.path().join(LOCK_FILE)).unwrap();
        assert!(!is_only_looked_at(&file).unwrap());
        assert!(matches!(take(&file), Err(TryLockError::WouldBlock)));
        drop(held);
        let looking = File::open(folder.path().join(LOCK_FILE)).unwrap();
        looking.lock_shared().unwrap();
        assert!(is_only_looked_at(&file).unwrap());
        looking.unlock().unwrap();
        take(&file).unwrap();
    }
}
