//! Content that may not be removed now, although nobody names it.

use super::Blobs;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Who needs content. Bounded by the uploads and the backups there are at once.
#[derive(Default)]
pub(super) struct Uses(Mutex<Now>);

#[derive(Default)]
struct Now {
    /// How many are about to name it, by digest.
    pinned: HashMap<String, usize>,
    /// Backups that read.
    keeping: usize,
}

impl Uses {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does it if nobody needs the content; nobody begins to meanwhile.
    pub(super) fn unless_used<T>(&self, sha256: &str, work: impl FnOnce() -> T) -> Option<T> {
        let now = self.now();
        (now.keeping == 0 && !now.pinned.contains_key(sha256)).then(work)
    }
}

/// Somebody is about to name this content.
pub(super) struct Pin {
    blobs: Blobs,
    sha256: String,
}

impl Pin {
    pub(super) fn new(blobs: Blobs, sha256: String) -> Self {
        *blobs.shared.uses.now().pinned.entry(sha256.clone()).or_default() += 1;
        Self { blobs, sha256 }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut now = self.blobs.shared.uses.now();
        if let Some(count) = now.pinned.get_mut(&self.sha256) {
            *count -= 1;
            if *count == 0 {
                now.pinned.remove(&self.sha256);
            }
        }
        drop(now);
        // It was named, or it is of no use.
        self.blobs.sweep();
    }
}

/// All content stays, whoever names it.
pub(crate) struct Keeping(Blobs);

impl Keeping {
    pub(super) fn new(blobs: Blobs) -> Self {
        blobs.shared.uses.now().keeping += 1;
        Self(blobs)
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.0.shared.uses.now().keeping -= 1;
        self.0.sweep();
    }
}
