//! The handle: what the rest of the program holds.

use crate::{
    Blobs, Error, Health,
    backup::{self, Archive, Copying},
    blobs::take_up_strays,
    limits,
    operations::{Content, Database},
    sqlite::Sqlite,
    watch::JobWatches,
};
use domain::{Epoch, JobId, Timestamp};
use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// How to open a data folder.
#[derive(Clone, Debug)]
pub struct Options {
    /// Made for its owner alone (0700) if there is none. On a local disk.
    pub folder: PathBuf,
    /// Reads that run at once; each keeps a connection. Default 4: twice a small machine's cores, since a read that
    /// waits for the disk leaves a core free.
    pub readers: usize,
    /// How long a backup waits for whoever reads it. Default [`limits::BACKUP_PAUSE`].
    pub backup_pause: Duration,
}

impl Options {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), readers: 4, backup_pause: limits::BACKUP_PAUSE }
    }
}

/// An open data folder, and the operations on it: it derefs to its [`Database`]. Clones share it; the last one to go, or
/// [`Store::close`], ends it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sqlite: Sqlite,
    announcements: Arc<Announcements>,
    blobs: Blobs,
    backups: backup::Turns,
}

impl Deref for Store {
    type Target = dyn Database;

    fn deref(&self) -> &Self::Target {
        &self.shared.sqlite
    }
}

/// What the writer thread tells everyone.
#[derive(Debug)]
pub(crate) struct Announcements {
    health: Mutex<Health>,
    jobs: JobWatches,
    revision: watch::Sender<u64>,
}

impl Announcements {
    fn new() -> Self {
        Self { health: Mutex::new(Health::Writable), jobs: JobWatches::default(), revision: watch::Sender::new(0) }
    }

    pub(crate) fn heads(&self, heads: &[(JobId, u64)]) {
        self.jobs.announce(heads);
    }

    pub(crate) fn revision(&self, revision: u64) {
        self.revision.send_replace(revision);
    }

    pub(crate) fn health(&self, health: Health) {
        let mut current = self.health.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == health {
            return;
        }
        match &health {
            Health::Writable => tracing::info!("the data folder is writable again"),
            Health::NotWritable { reason } if current.is_writable() => {
                tracing::error!(%reason, "the data folder is not writable; reads go on, writes are refused until it is");
            }
            Health::NotWritable { .. } => {}
        }
        *current = health;
    }
}

impl Store {
    /// Opens a data folder, making it if there is none: file system, lock, library, pragmas, migrations, in this order.
    pub async fn open(options: Options) -> Result<Self, Error> {
        let opened = tokio::task::spawn_blocking(move || -> Result<Self, Error> {
            let announcements = Arc::new(Announcements::new());
            let (sqlite, blobs) = Sqlite::open(&options, &announcements)?;
            let backups = backup::Turns::new(options.backup_pause);
            Ok(Self { shared: Arc::new(Shared { sqlite, announcements, blobs, backups }) })
        });
        let store = opened.await.map_err(|_| Error::Closed)??;
        store.look_for_strays();
        Ok(store)
    }

    /// Beside everything else, so that a start does not wait for a look through all content.
    fn look_for_strays(&self) {
        let (blobs, shared) = (self.shared.blobs.clone(), Arc::downgrade(&self.shared));
        tokio::spawn(async move {
            let register = |files| Some(shared.upgrade()?.sqlite.register_blobs(files));
            take_up_strays(&blobs, register).await;
        });
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.shared.sqlite.file.parent().unwrap_or(Path::new("."))
    }

    /// Of cursors handed out now. Another one after a restore.
    pub fn epoch(&self) -> Epoch {
        self.shared.sqlite.epoch
    }

    /// Told after each COMMIT that appended to this job: its log goes at least as far as this seq. Begins at what was
    /// last told to others or at 0, so watch first and read the head afterwards.
    pub fn watch_job(&self, job: JobId) -> watch::Receiver<u64> {
        self.shared.announcements.jobs.watch(job)
    }

    /// The highest committed revision of any job.
    pub fn watch_jobs(&self) -> watch::Receiver<u64> {
        self.shared.announcements.revision.subscribe()
    }

    pub fn health(&self) -> Health {
        self.shared.announcements.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Content-addressed files.
    pub fn blobs(&self) -> &Blobs {
        &self.shared.blobs
    }

    /// Everything this folder keeps, as of one moment, as one archive to read while everything goes on. `version` is the build
    /// that writes it. [`Error::BackupRunning`] while another one is read.
    pub async fn backup(&self, created_at: Timestamp, version: &str) -> Result<Archive, Error> {
        let (database, blobs) = (self.shared.sqlite.file.clone(), self.shared.blobs.clone());
        let copying = Copying { database, blobs, created_at, version: version.to_owned() };
        backup::begin(&self.shared.backups, copying).await
    }

    /// Refuses new requests, finishes those in the queue, empties the write-ahead log and gives the folder free. Other
    /// clones answer [`Error::Closed`] from then on.
    pub async fn close(self) {
        let closed = tokio::task::spawn_blocking(move || self.shared.sqlite.close());
        if closed.await.is_err() {
            tracing::error!("the store did not close cleanly; the write-ahead log is recovered at the next start");
        }
    }
}
