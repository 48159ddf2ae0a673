//! The handle: what the rest of the program holds.

use crate::{
    Blobs, Error, Health, Reader, Transaction, backup, connection,
    folder::{Folder, create_private_file, sync_folder},
    limits, migration,
    readers::{Readers, take_turn},
    reserve::Reserve,
    watch::JobWatches,
    writer::{
        Message, Writer,
        request::{Class, Pending},
    },
};
use domain::{Epoch, JobId};
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};
use tokio::sync::{Semaphore, watch};

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

/// An open data folder. Clones share it; the last one to go, or [`Store::close`], ends it.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    epoch: Epoch,
    database: PathBuf,
    queue: SyncSender<Message>,
    /// Places in the queue. Taken before a request is sent, so sending never blocks a task.
    places: Arc<Semaphore>,
    readers: Readers,
    announcements: Arc<Announcements>,
    blobs: Blobs,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn open_database(database: &Path) -> Result<(Connection, Epoch), Error> {
    create_private_file(database)?;
    let mut connection = connection::open_writer(database)?;
    let epoch = migration::migrate(&mut connection, database, Epoch(rand::random()))?;
    Ok((connection, epoch))
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
        tokio::task::spawn_blocking(move || Self::open_here(&options)).await.map_err(|_| Error::Closed)?
    }

    fn open_here(options: &Options) -> Result<Self, Error> {
        connection::assert_safe_sqlite()?;
        let folder = Folder::claim(&options.folder)?;
        let database = folder.database();
        let is_new = !database.exists();
        let mut reserve = Reserve::open(folder.reserve(), folder.write_ahead_log());
        let (connection, epoch) = loop {
            match open_database(&database) {
                // Even opening takes some blocks, and on a full disk somebody has to get in to delete something.
                Err(Error::StorageFull(_)) if reserve.release() => {}
                opened => break opened?,
            }
        };
        if is_new {
            sync_folder(folder.path())?;
        }
        let blobs = Blobs::open(folder.blobs(), reserve.short())?;
        let readers = Readers::new(database.clone(), epoch, options.readers);
        let announcements = Arc::new(Announcements::new());
        // One place more than there are permits, for the message that closes.
        let (queue, requests) = sync_channel(limits::QUEUED_WRITES + 1);
        let writer =
            Writer::new(connection, folder, reserve, epoch, requests, Arc::clone(&announcements), blobs.clone())?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(Error::file(&database, "given a writer thread"))?;
        let places = Arc::new(Semaphore::new(limits::QUEUED_WRITES));
        let thread = Mutex::new(Some(thread));
        Ok(Self { shared: Arc::new(Shared { epoch, database, queue, places, readers, announcements, blobs, thread }) })
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.shared.database.parent().unwrap_or(Path::new("."))
    }

    /// Of cursors handed out now. Another one after a restore.
    pub fn epoch(&self) -> Epoch {
        self.shared.epoch
    }

    /// Runs `work` on the writer thread and answers after the COMMIT that covers it. An `Err` from `work`, or a panic in
    /// it, undoes only this request. On [`Error::StorageFull`] and [`Error::StorageFailed`] nothing of it may be relied
    /// on: repeat it.
    ///
    /// Dropping the future while it waits for a place in the queue (up to [`limits::LONGEST_WAIT`]) drops the request;
    /// afterwards it drops only the answer.
    pub async fn write<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let mut work = Some(work);
        let once = move |transaction: &mut Transaction<'_>| match work.take() {
            Some(work) => work(transaction),
            None => Err(Error::Closed.into()),
        };
        self.send(Class::Ordinary, once).await
    }

    /// [`Self::write`] for what ends work or frees space: it works on a full disk too, on the room kept for it. `work` is
    /// run again when the first COMMIT had no room, so it must not depend on having run before. Keep it small: the room is
    /// a few megabytes.
    pub async fn relieve<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.send(Class::Relief, work).await
    }

    async fn send<T, E, F>(&self, class: Class, work: F) -> Result<T, E>
    where
        F: FnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let place = take_turn(&self.shared.places).await?;
        let (request, answer) = Pending::new(class, work);
        self.shared.queue.try_send(Message::Run(Box::new(request), place)).map_err(|_| Error::Closed)?;
        answer.await.unwrap_or_else(|_| Err(Error::Closed.into()))
    }

    /// Runs `work` in one short read transaction on a blocking thread. Keep it to a page: a reader that stays keeps the
    /// write-ahead log from starting over.
    pub async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.shared.readers.read(work).await
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
        tokio::task::spawn_blocking(move || backup::backup(&store.shared.database, &file))
            .await
            .map_err(|_| Error::Closed)?
    }

    /// Refuses new requests, finishes those in the queue, empties the write-ahead log and gives the folder free. Other
    /// clones answer [`Error::Closed`] from then on.
    pub async fn close(self) {
        self.shared.places.close();
        self.shared.readers.close().await;
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let queue = self.shared.queue.clone();
        let ended = tokio::task::spawn_blocking(move || {
            // Every place holder and this fit into the queue, so this does not block; a writer that is gone is fine too.
            let _ = queue.send(Message::Close);
            thread.map(JoinHandle::join)
        });
        if !matches!(ended.await, Ok(None | Some(Ok(())))) {
            tracing::error!("the writer thread panicked; the write-ahead log is recovered at the next start");
        }
    }
}
