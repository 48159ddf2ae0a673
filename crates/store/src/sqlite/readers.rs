//! Threads that only read, each with a connection of its own, fed by one line.
//!
//! A read is one short transaction. It is run whether or not whoever asked is being polled just then, and not at all if
//! nobody waits for it any more when its turn comes.

use super::{
    queue::{Message, Queue, Queued},
    reader::Reader,
    writer::request::panic_message,
};
use crate::{Error, limits, operations::Answer, sqlite::connection};
use domain::Epoch;
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc::Receiver},
    task::{Context, Poll},
    thread::JoinHandle,
    time::Instant,
};
use tokio::sync::oneshot;

pub(crate) struct Readers {
    queue: Queue<Box<dyn Read>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// A read request on its way.
pub(crate) trait Read: Send {
    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()>;
    fn is_abandoned(&self) -> bool;
    fn queued_at(&self) -> Instant;
    /// Whether the connection can be used again.
    fn run(self: Box<Self>, connection: &Connection, epoch: Epoch) -> bool;
    fn refuse(self: Box<Self>, error: Error);
}

impl Queued for Box<dyn Read> {
    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()> {
        (**self).poll_abandoned(context)
    }

    fn refuse(self, error: Error) {
        Read::refuse(self, error);
    }
}

struct Pending<T, F> {
    work: F,
    reply: oneshot::Sender<Result<T, Error>>,
    queued_at: Instant,
}

impl<T, F> Read for Pending<T, F>
where
    F: FnOnce(&Reader<'_>) -> Result<T, Error> + Send,
    T: Send,
{
    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.reply.poll_closed(context)
    }

    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn queued_at(&self) -> Instant {
        self.queued_at
    }

    fn run(self: Box<Self>, connection: &Connection, epoch: Epoch) -> bool {
        let (answer, is_sound) = in_transaction(connection, epoch, self.work);
        // Nobody there any more: nothing was changed.
        let _ = self.reply.send(answer);
        is_sound
    }

    fn refuse(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error)); // to nobody, if it left
    }
}

impl Readers {
    pub(crate) fn start(file: &Path, epoch: Epoch, count: usize) -> Result<Self, Error> {
        let count = count.max(1);
        let (queue, requests) = Queue::new(limits::QUEUED_READS, count);
        let requests = Arc::new(Mutex::new(requests));
        let threads = (0..count).map(|number| {
            let reading = Reading { file: file.to_owned(), epoch, requests: Arc::clone(&requests), connection: None };
            let thread = std::thread::Builder::new().name(format!("store-reader-{number}"));
            thread.spawn(move || reading.run()).map_err(Error::file(file, "given a reader thread"))
        });
        let threads = threads.collect::<Result<Vec<_>, _>>()?;
        Ok(Self { queue, threads: Mutex::new(threads) })
    }

    pub(crate) fn read<T, F>(&self, work: F) -> Answer<T>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, Error> + Send + 'static,
        T: Send + 'static,
    {
        let queue = self.queue.clone();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            queue.send(Box::new(Pending { work, reply, queued_at: Instant::now() }));
            answer.await.unwrap_or(Err(Error::Closed))
        })
    }

    /// Serves whoever is in line, refuses others, and gives the connections up. Blocks.
    pub(crate) fn close(&self) {
        self.queue.refuse_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for _ in &threads {
            self.queue.close_one();
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a reader thread panicked");
            }
        }
    }
}

type Line = Receiver<Message<Box<dyn Read>>>;

/// One thread.
struct Reading {
    file: PathBuf,
    epoch: Epoch,
    requests: Arc<Mutex<Line>>,
    /// Opened when there is something to read. One whose transaction did not end cleanly, or that met a failing disk, is not
    /// used again.
    connection: Option<Connection>,
}

impl Reading {
    fn run(mut self) {
        loop {
            // Whoever has the lock takes the next request; the others stand behind it.
            let next = self.requests.lock().unwrap_or_else(PoisonError::into_inner).recv();
            match next {
                Ok(Message::Run(request, place)) => {
                    drop(place);
                    self.serve(request);
                }
                Ok(Message::Close) | Err(_) => return,
            }
        }
    }

    fn serve(&mut self, request: Box<dyn Read>) {
        if request.is_abandoned() {
            return;
        }
        if request.queued_at().elapsed() > limits::LONGEST_WAIT {
            return request.refuse(Error::busy());
        }
        let connection = match self.connection.take().map_or_else(|| connection::open_reader(&self.file), Ok) {
            Ok(connection) => connection,
            Err(error) => return request.refuse(error),
        };
        if request.run(&connection, self.epoch) && connection.is_autocommit() {
            self.connection = Some(connection);
        }
    }
}

fn in_transaction<T, F>(connection: &Connection, epoch: Epoch, work: F) -> (Result<T, Error>, bool)
where
    F: FnOnce(&Reader<'_>) -> Result<T, Error>,
{
    if let Err(error) = connection.execute_batch("BEGIN") {
        return (Err(error.into()), false);
    }
    let reader = Reader::new(connection, epoch);
    let answer = catch_unwind(AssertUnwindSafe(|| work(&reader)))
        .unwrap_or_else(|panic| Err(Error::Panicked(panic_message(panic.as_ref()))));
    let failure = reader.failure();
    let ended = connection.execute_batch("ROLLBACK");
    let is_sound = failure.is_none() && ended.is_ok();
    match failure {
        // The work may have made light of it; an answer from a failing disk is none.
        Some(failure) if answer.is_ok() => (Err(failure.into()), is_sound),
        _ => (answer, is_sound),
    }
}
