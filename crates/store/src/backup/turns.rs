//! One backup at a time, and none that stands in the way of the next.
//!
//! ```text
//!   free ──▶ read ──▶ free
//!             │ whoever reads it leaves, or takes nothing for a while and somebody else wants a turn
//!             ▼
//!         abandoned ── notices within a moment ──▶ free
//! ```

use crate::{Error, limits};
use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Backups being read at once: each reads the whole data folder.
const BACKUPS: usize = 1;

#[derive(Debug)]
pub(crate) struct Turns {
    turns: Arc<Semaphore>,
    current: Mutex<Weak<Progress>>,
    /// How long whoever reads may take nothing.
    pause: Duration,
}

/// How far the backup has come that has the turn.
#[derive(Debug)]
pub(crate) struct Progress {
    abandoned: watch::Sender<bool>,
    is_complete: AtomicBool,
    moved_at: Mutex<Instant>,
    pause: Duration,
}

impl Turns {
    pub(crate) fn new(pause: Duration) -> Self {
        Self { turns: Arc::new(Semaphore::new(BACKUPS)), current: Mutex::default(), pause }
    }

    /// A turn now, in place of one that nobody reads any more.
    pub(super) async fn take(&self) -> Result<(OwnedSemaphorePermit, Arc<Progress>), Error> {
        let turn = match Arc::clone(&self.turns).try_acquire_owned() {
            Ok(turn) => turn,
            Err(_) => self.take_over().await?,
        };
        let (abandoned, moved_at) = (watch::Sender::new(false), Mutex::new(Instant::now()));
        let is_complete = AtomicBool::new(false);
        let progress = Arc::new(Progress { abandoned, is_complete, moved_at, pause: self.pause });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&progress);
        Ok((turn, progress))
    }

    async fn take_over(&self) -> Result<OwnedSemaphorePermit, Error> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(current) = current {
            let is_read = !current.is_abandoned() && current.idle() < self.pause / limits::BACKUP_TAKEN_OVER_AFTER;
            if is_read {
                return Err(Error::BackupRunning);
            }
            current.abandon();
        }
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(limits::LONGEST_WAIT, turn).await {
            Ok(turn) => turn.map_err(|_| Error::Closed),
            Err(_) => Err(Error::BackupRunning),
        }
    }
}

impl Progress {
    pub(crate) fn is_abandoned(&self) -> bool {
        *self.abandoned.borrow()
    }

    pub(super) fn abandon(&self) {
        self.abandoned.send_replace(true);
    }

    pub(super) async fn abandoned(&self) {
        // The sender is this.
        let _ = self.abandoned.subscribe().wait_for(|abandoned| *abandoned).await;
    }

    /// All of it was handed over.
    pub(super) fn complete(&self) {
        self.is_complete.store(true, Ordering::Release);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::Acquire)
    }

    pub(super) fn moved(&self) {
        *self.moved_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn idle(&self) -> Duration {
        self.moved_at.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn pause(&self) -> Duration {
        self.pause
    }
}
