//! The handle: what the rest of the program holds.

use crate::{
    Blobs, Error, Health, Reader, Transaction,
    operations::Database,
    sqlite::{self, Sqlite},
    watch::JobWatches,
};
use domain::{Epoch, JobId};
use std::{
    ops::Deref,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
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
}

impl Options {
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), readers: 4 }
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
        let opened = tokio::task::spawn_blocking(move || {
            let announcements = Arc::new(Announcements::new());
            let (sqlite, blobs) = Sqlite::open(&options, &announcements)?;
            Ok(Self { shared: Arc::new(Shared { sqlite, announcements, blobs }) })
        });
        opened.await.map_err(|_| Error::Closed)?
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.shared.sqlite.file.parent().unwrap_or(Path::new("."))
    }

    /// Of cursors handed out now. Another one after a restore.
    pub fn epoch(&self) -> Epoch {
        self.shared.sqlite.epoch
    }

    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + std::error::Error + Send + Sync + 'static,
    {
        self.shared.sqlite.write(move |transaction| work(transaction).map_err(Error::refused)).await.map_err(unrefused)
    }

    pub async fn relieve<T, E, F>(&self, mut work: F) -> Result<T, E>
    where
        F: FnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + std::error::Error + Send + Sync + 'static,
    {
        let relief = self.shared.sqlite.relieve(move |transaction| work(transaction).map_err(Error::refused));
        relief.await.map_err(unrefused)
    }

    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + std::error::Error + Send + Sync + 'static,
    {
        self.shared.sqlite.read(move |reader| work(reader).map_err(Error::refused)).await.map_err(unrefused)
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

    /// Copies the database as it is at one moment into a new file (0600), while everything goes on. Blobs are files of
    /// their own; [`Reader::blob_digests`] lists which.
    pub async fn backup(&self, file: PathBuf) -> Result<(), Error> {
        let store = self.clone();
        tokio::task::spawn_blocking(move || sqlite::backup(&store.shared.sqlite.file, &file))
            .await
            .map_err(|_| Error::Closed)?
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

fn unrefused<E: From<Error> + std::error::Error + 'static>(error: Error) -> E {
    match error {
        Error::Refused(refused) => match refused.downcast::<E>() {
            Ok(refused) => *refused,
            Err(other) => Error::Refused(other).into(),
        },
        other => other.into(),
    }
}
