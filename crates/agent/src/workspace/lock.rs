//! Locks that the kernel gives free however their holder ended.

use super::{Error, doing};
use std::{
    fs::{File, TryLockError},
    path::Path,
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Between two looks at a lock that somebody has.
const PAUSE: Duration = Duration::from_millis(50);

/// Held until dropped.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    /// Closing is not enough: a command that is just being started has its copy of the file until it becomes the command.
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Takes the lock `file`; `None` when somebody has it.
pub(super) fn try_lock(path: &Path) -> Result<Option<Lock>, Error> {
    let failed = || format!("locking {}", path.display());
    let file = File::options().write(true).create(true).truncate(false).open(path).map_err(doing(failed))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(doing(failed)(error)),
    }
}

/// Waits for the lock, at most this long.
pub(super) async fn lock(path: &Path, patience: Duration) -> Result<Option<Lock>, Error> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(lock) = try_lock(path)? {
            return Ok(Some(lock));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        sleep(PAUSE).await;
    }
}
