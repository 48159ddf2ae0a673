//! The store's operations on SQLite: one thread that writes, a few that read.
//!
//! ```text
//!   operation ──▶ queue ──▶ writer ── group commit ──▶ answer, announcements
//!            └──▶ queue ──▶ readers ── one transaction ──▶ answer
//! ```
//! Every operation is one request and one transaction. The SQL lies in `transaction/` and `reader/`, a file per noun; the
//! files beside them put the operations together.

mod access;
mod backup;
mod books;
mod column;
pub(crate) mod connection;
mod content;
mod identity;
mod jobs;
mod lists;
pub(crate) mod migration;
mod profiles;
mod queue;
pub(crate) mod reader;
mod readers;
mod recovery;
pub(crate) mod reserve;
pub(crate) mod transaction;
pub(crate) mod writer;

pub(crate) use backup::{Copy, adopt_copy, settle_database};
pub(crate) use reader::Reader;
pub(crate) use transaction::Transaction;

use crate::{
    Blobs, Error, Options,
    folder::{Folder, create_private_file, sync_folder},
    limits,
    operations::{Answer, Database},
    store::Announcements,
};
use content::BlobRegister;
use domain::Epoch;
use queue::Queue;
use readers::Readers;
use reserve::Reserve;
use rusqlite::Connection;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread::JoinHandle,
};
use tokio::sync::oneshot;
use writer::{
    Writer,
    request::{Class, Pending, Request},
};

/// An open database.
pub(crate) struct Sqlite {
    pub(crate) file: PathBuf,
    pub(crate) epoch: Epoch,
    queue: Queue<Box<dyn Request>>,
    readers: Readers,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Here for as long as the database is open.
    _blob_register: Arc<BlobRegister>,
}

impl Database for Sqlite {}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite").field("file", &self.file).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

fn open_database(database: &Path) -> Result<(Connection, Epoch), Error> {
    create_private_file(database)?;
    let mut connection = connection::open_writer(database)?;
    let new_epoch = Epoch(rand::random());
    let epoch = migration::migrate(&mut connection, database, new_epoch)?;
    let epoch = identity::recognise(&connection, database, epoch, new_epoch)?;
    Ok((connection, epoch))
}

fn send<T, F>(queue: &Queue<Box<dyn Request>>, class: Class, work: F) -> Answer<T>
where
    F: FnMut(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
    T: Send + 'static,
{
    let queue = queue.clone();
    Box::pin(async move {
        let (request, answer): (_, oneshot::Receiver<_>) = Pending::new(class, work);
        queue.send(Box::new(request));
        answer.await.unwrap_or(Err(Error::Closed))
    })
}

impl Sqlite {
    /// Lock, library, pragmas, migrations, threads.
    pub(crate) fn open(options: &Options, announcements: &Arc<Announcements>) -> Result<(Self, Blobs), Error> {
        connection::assert_safe_sqlite()?;
        let folder = Folder::claim(&options.folder)?;
        folder.clear_after_restore()?;
        backup::remove_left_copy(folder.path())?;
        let file = folder.database();
        let is_new = !file.exists();
        let mut reserve = Reserve::open(folder.reserve(), folder.write_ahead_log(), folder.write_ahead_index());
        let (connection, epoch) = loop {
            match open_database(&file) {
                // Even opening takes some blocks, and on a full disk somebody has to get in to delete something.
                Err(Error::StorageFull(_)) if reserve.release() => {}
                opened => break opened?,
            }
        };
        if is_new {
            sync_folder(folder.path())?;
        }
        let blobs = Blobs::open(folder.blobs(), reserve.short())?;
        let readers = Readers::start(&file, epoch, options.readers)?;
        let (queue, requests) = Queue::new(limits::QUEUED_WRITES, 1);
        let announcements = Arc::clone(announcements);
        let writer = Writer::new(connection, folder, reserve, epoch, requests, announcements, blobs.clone())?;
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(Error::file(&file, "given a writer thread"))?;
        let blob_register = Arc::new(BlobRegister(queue.clone()));
        let for_blobs: Weak<BlobRegister> = Arc::downgrade(&blob_register);
        blobs.register_with(for_blobs);
        let writer = Mutex::new(Some(thread));
        Ok((Self { file, epoch, queue, readers, writer, _blob_register: blob_register }, blobs))
    }

    /// Runs `work` on the writer thread and answers after the COMMIT that covers it. An `Err` from `work`, or a panic in
    /// it, undoes only this request.
    ///
    /// Dropping the future while it waits for a place in the queue (up to [`limits::LONGEST_WAIT`]) drops the request;
    /// afterwards it drops only the answer.
    pub(crate) fn write<T, F>(&self, work: F) -> Answer<T>
    where
        F: FnOnce(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let mut work = Some(work);
        let once = move |transaction: &mut Transaction<'_>| match work.take() {
            Some(work) => work(transaction),
            None => Err(Error::Closed),
        };
        self.send(Class::Ordinary, once)
    }

    /// [`Self::write`] for what ends work or frees space: it works on a full disk too, on the room kept for it. `work` is
    /// run again when the first COMMIT had no room, so it must not depend on having run before. Keep it small: the room is
    /// a few megabytes.
    pub(crate) fn relieve<T, F>(&self, work: F) -> Answer<T>
    where
        F: FnMut(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.send(Class::Relief, work)
    }

    fn send<T, F>(&self, class: Class, work: F) -> Answer<T>
    where
        F: FnMut(&mut Transaction<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        send(&self.queue, class, work)
    }

    /// Runs `work` in one short read transaction on a reader thread. Keep it to a page: a reader that stays keeps the
    /// write-ahead log from starting over.
    pub(crate) fn read<T, F>(&self, work: F) -> Answer<T>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.readers.read(work)
    }

    /// Refuses new requests, finishes those in line, empties the write-ahead log and gives the folder free. Blocks.
    pub(crate) fn close(&self) {
        self.queue.refuse_all();
        self.readers.close();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.queue.close_one();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the writer thread panicked; the write-ahead log is recovered at the next start");
        }
    }
}
