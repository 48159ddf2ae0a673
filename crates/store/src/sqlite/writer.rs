//! The one thread that writes.
//!
//! ```text
//!                    a request, or time for a chore
//!        ┌──────────────────────────────────────────────┐
//!        ▼                                              │
//!   ┌─────────┐ BEGIN IMMEDIATE  ┌─────────┐  COMMIT  ┌─┴────┐
//!   │ waiting ├─────────────────▶│ batch   ├─────────▶│ told │   watchers, then every caller of the batch
//!   └─────────┘                  └───┬─────┘ (synced) └──────┘
//!        ▲     each request: SAVEPOINT, closure,
//!        │     then RELEASE, or ROLLBACK TO when it answers Err or panics
//!        │                           │ a statement or the COMMIT fails for want of a disk
//!        │                           ▼
//!        │                    ┌──────────────┐  ROLLBACK; every caller of the batch is told the reason;
//!        │   a commit works   │ not writable │  the connection is closed
//!        └────────────────────┤              │◀─┐ a request or, every 250 ms, a probe: open a fresh connection and try
//!                             └──────┬───────┘  │
//!                                    ├──────────┘ it fails again
//!                                    │ the disk is full, and what failed was for relief: each such request alone, and
//!                                    ▼ while it does not fit, on one more step of the reserve
//!                               ┌─────────┐
//!                               │  short  │  requests for relief go on; others are refused before they touch anything;
//!                               └────┬────┘  every 250 ms: start the log over, take the reserve back
//!                                    └─ the reserve is whole again: not writable, until a commit works
//! ```
//!
//! - A batch takes what is queued and never waits for company: a lone request is committed at once, and a busy system
//!   batches by itself while the commit before is syncing. It ends at [`limits::REQUESTS_PER_COMMIT`] requests or
//!   [`limits::WORK_PER_COMMIT`] of work.
//! - Nobody is answered before the COMMIT that covers the request has returned, with `synchronous=FULL`.
//! - After a failed COMMIT or sync nobody knows what the connection believes is on disk, so it is never used again.
//! - A caller that went away drops its reply, not its request.
//! - Between batches: checkpoints ([`checkpoint`]), and the deletion of events nobody can read any more rides along with each COMMIT.

mod checkpoint;
pub(crate) mod request;
mod short;

use crate::sqlite::{Reader, Transaction};
use crate::{
    Blobs, Error, Health,
    error::Failure,
    folder::Folder,
    limits,
    sqlite::{
        connection,
        queue::Message,
        reserve::Reserve,
        transaction::{
            Batch,
            artifacts::{forget, unnamed},
            events::purge_some,
        },
    },
    store::Announcements,
};
use checkpoint::Checkpoints;
use domain::Epoch;
use request::{Class, Request, Verdict};
use rusqlite::Connection;
use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, TryRecvError},
    },
    time::{Duration, Instant},
};

pub(crate) struct Writer {
    /// None after a failure, until a fresh one is needed.
    connection: Option<Connection>,
    file: PathBuf,
    epoch: Epoch,
    queue: Receiver<Message<Box<dyn Request>>>,
    announcements: Arc<Announcements>,
    blobs: Blobs,
    batch: Batch,
    checkpoints: Checkpoints,
    closing: bool,
    reserve: Reserve,
    /// Nobody knows whether writes work: the next commit of its own accord writes something.
    unproven: bool,
    /// The log's file is longer than what is kept for relief: the next commit of its own accord begins it anew and cuts it.
    overlong: bool,
    /// Never used, only open: while no reader is lent and the writing connection was given up, it keeps the log's index from
    /// going, which could not be made again on a full disk. `None` when it could not be opened.
    anchor: Option<Connection>,
    /// Last, so that the lock goes after the connection.
    _folder: Folder,
}

impl Writer {
    pub(crate) fn new(
        connection: Connection,
        folder: Folder,
        reserve: Reserve,
        epoch: Epoch,
        queue: Receiver<Message<Box<dyn Request>>>,
        announcements: Arc<Announcements>,
        blobs: Blobs,
    ) -> Result<Self, Error> {
        let revision = Reader::new(&connection, epoch).revision()?;
        announcements.revision(revision);
        if reserve.is_short() {
            announcements.health(Health::NotWritable { reason: Failure::Full(reserve.reason()).reason() });
        }
        let batch = Batch {
            revision,
            heads: Vec::new(),
            jobs_changed: false,
            purge_pending: true, // of the process before; one look finds out
            sweep_pending: true, // the same
            forgotten_blobs: Vec::new(),
            released_blobs: Vec::new(),
        };
        let file = folder.database();
        let checkpoints = Checkpoints::new(file.clone());
        let anchor = connection::open_reader(&file).and_then(|anchor| {
            Reader::new(&anchor, epoch).revision()?; // opens the index as well
            Ok(anchor)
        });
        let anchor = anchor.inspect_err(|error| tracing::warn!(%error, "reads may fail while the disk is full")).ok();
        let connection = Some(connection);
        Ok(Self {
            connection,
            file,
            epoch,
            queue,
            announcements,
            blobs,
            batch,
            checkpoints,
            closing: false,
            reserve,
            unproven: false,
            overlong: false,
            anchor,
            _folder: folder,
        })
    }

    /// Until every handle is gone, or [`Message::Close`].
    pub(crate) fn run(mut self) {
        loop {
            match self.next() {
                Ok(Message::Run(request, place)) => {
                    drop(place);
                    if let Some(request) = self.admit(request) {
                        self.commit(Some(request));
                    }
                }
                Ok(Message::Close) => self.closing = true,
                Err(RecvTimeoutError::Timeout) => self.chores(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(connection) = self.connection.take() {
            if !self.reserve.is_short() {
                self.checkpoints.truncate(&connection);
            }
            self.anchor = None;
            self.checkpoints.close(connection, self.reserve.is_short());
        }
    }

    fn next(&self) -> Result<Message<Box<dyn Request>>, RecvTimeoutError> {
        if self.closing {
            // Whoever holds a place in the queue is still served; nobody gets a new one.
            return self.queue.try_recv().map_err(|_| RecvTimeoutError::Disconnected);
        }
        match self.patience() {
            Some(patience) => self.queue.recv_timeout(patience),
            None => self.queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// How long to wait for a request before there is something else to do; `None`: nothing else.
    fn patience(&self) -> Option<Duration> {
        if self.connection.is_none() || self.reserve.is_short() {
            Some(limits::PROBE_INTERVAL)
        } else if self.batch.purge_pending || self.batch.blobs_wait() {
            Some(Duration::ZERO)
        } else {
            self.checkpoints.patience()
        }
    }

    /// Nobody asked for anything.
    fn chores(&mut self) {
        if self.reserve.is_short() && !self.recover() {
            return;
        }
        if self.connection.is_none() || self.batch.purge_pending || self.batch.blobs_wait() || self.unproven {
            self.commit(None);
        } else if let Some(connection) = &self.connection {
            self.checkpoints.truncate(connection);
        }
    }

    /// One COMMIT: the first request, if any, and whatever else is queued by then.
    fn commit(&mut self, first: Option<Box<dyn Request>>) {
        let mut requests = Vec::with_capacity(1);
        let outcome = self.try_commit(first, &mut requests);
        match &outcome {
            Err(failure) if failure.is_full() && requests.iter().any(|request| request.class() == Class::Relief) => {
                self.relieve(failure, requests);
            }
            _ => self.settle(&outcome, requests),
        }
    }

    /// What a commit came to, for everybody it concerns.
    fn settle(&mut self, outcome: &Result<(), Failure>, requests: Vec<Box<dyn Request>>) {
        match outcome {
            Ok(()) => self.tell(),
            Err(failure) => self.give_up(failure),
        }
        for request in requests {
            request.answer(outcome.clone());
        }
        if outcome.is_ok() {
            self.remove_released_blobs();
            if let Some(connection) = &self.connection {
                self.checkpoints.after_commit(connection);
            }
        }
        self.batch.forget();
    }

    fn try_commit(
        &mut self,
        first: Option<Box<dyn Request>>,
        requests: &mut Vec<Box<dyn Request>>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        if let Err(failure) = self.begin() {
            requests.extend(first); // to be answered
            return Err(self.named(failure));
        }
        self.fill_batch(first, requests, started).map_err(|failure| self.named(failure))
    }

    fn fill_batch(
        &mut self,
        first: Option<Box<dyn Request>>,
        requests: &mut Vec<Box<dyn Request>>,
        started: Instant,
    ) -> Result<(), Failure> {
        if self.batch.blobs_wait() && self.may_purge() {
            self.sweep().map_err(fatal)?;
        }
        let mut next = first;
        while let Some(request) = next.take() {
            requests.push(request);
            if let Some(request) = requests.last_mut() {
                self.run_one(request.as_mut())?;
            }
            if requests.len() < limits::REQUESTS_PER_COMMIT && started.elapsed() < limits::WORK_PER_COMMIT {
                next = self.already_queued();
            }
        }
        if self.batch.purge_pending && self.may_purge() {
            let left = purge_some(self.open_connection()?).map_err(fatal)?;
            self.batch.purge_pending = left;
        }
        self.execute("COMMIT")
    }

    fn already_queued(&mut self) -> Option<Box<dyn Request>> {
        loop {
            match self.queue.try_recv() {
                Ok(Message::Run(request, _place)) => {
                    if let Some(request) = self.admit(request) {
                        return Some(request);
                    }
                }
                Ok(Message::Close) => {
                    self.closing = true;
                    return None;
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return None,
            }
        }
    }

    fn run_one(&mut self, request: &mut dyn Request) -> Result<(), Failure> {
        self.execute("SAVEPOINT request")?;
        let mark = self.batch.mark();
        let connection = self.connection.as_ref().ok_or_else(no_connection)?;
        let reader = Reader::new(connection, self.epoch);
        let mut transaction = Transaction::new(reader, &mut self.batch, &self.blobs);
        let verdict = request.run(&mut transaction);
        if let Some(failure) = transaction.into_reader().failure() {
            return Err(failure);
        }
        if connection.is_autocommit() {
            // SQLite gave the whole transaction up on its own, with every request before this one.
            return Err(Failure::Failed("SQLite rolled the transaction back".to_owned()));
        }
        if verdict == Verdict::Undo {
            self.batch.rewind(mark);
            self.execute("ROLLBACK TO request")?;
        }
        self.execute("RELEASE request")
    }

    fn begin(&mut self) -> Result<(), Failure> {
        self.open()?;
        self.execute("BEGIN IMMEDIATE")?;
        if self.overlong || self.unproven && !self.reserve.is_short() {
            // Shows that there is room again, also when nobody asks for a write, and begins a log that starts over.
            self.execute("UPDATE store SET probes = probes + 1 WHERE only_row = 1")?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), Failure> {
        if self.connection.is_some() {
            return Ok(());
        }
        let connection = connection::open_writer(&self.file).map_err(|error| match error {
            Error::StorageFull(reason) => Failure::Full(reason),
            Error::Corrupt(reason) => Failure::Corrupt(reason),
            other => Failure::Failed(other.to_string()),
        })?;
        // Where the log goes into holes of the database, there is room in it again.
        self.checkpoints.restart(&connection, self.reserve.log_keeps());
        self.connection = Some(connection);
        Ok(())
    }

    fn open_connection(&self) -> Result<&Connection, Failure> {
        self.connection.as_ref().ok_or_else(no_connection)
    }

    fn execute(&self, sql: &str) -> Result<(), Failure> {
        let run = |connection: &Connection| connection.prepare_cached(sql)?.execute(()).map(drop);
        run(self.open_connection()?).map_err(fatal)
    }

    /// After a COMMIT: now, and not earlier, others may know.
    fn tell(&mut self) {
        if !self.reserve.is_short() {
            self.unproven = false;
            self.announcements.health(Health::Writable);
        }
        self.announcements.heads(&self.batch.heads);
        if self.batch.jobs_changed {
            self.announcements.revision(self.batch.revision);
        }
    }

    /// Gives the transaction up, and the connection with it: after a failed sync nobody knows what it believes is on disk.
    fn give_up(&mut self, failure: &Failure) {
        self.announcements.health(Health::NotWritable { reason: failure.reason() });
        if let Some(connection) = self.connection.take() {
            if !connection.is_autocommit()
                && let Err(error) = connection.execute_batch("ROLLBACK")
            {
                tracing::warn!(%error, "the transaction ends with its connection instead of a rollback");
            }
            self.checkpoints.close(connection, self.reserve.is_short());
        }
        // A request that set this may be undone; one look finds out.
        self.batch.purge_pending = true;
        self.batch.sweep_pending = true;
        self.unproven = true;
    }

    /// Of content that was removed the rows go, and of what is left some that nobody names goes after this COMMIT. Looked for
    /// before the batch's own requests: what those leave unnamed is not committed yet.
    fn sweep(&mut self) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Ok(()) };
        for sha256 in &self.batch.forgotten_blobs {
            // Somebody who is storing it again has counted on the row.
            if self.blobs.is_free(sha256) {
                forget(connection, sha256)?;
            }
        }
        if self.batch.sweep_pending {
            let unnamed = unnamed(connection, &self.blobs)?;
            self.batch.sweep_pending = unnamed.len() >= limits::SWEPT_PER_COMMIT;
            self.batch.released_blobs.extend(unnamed);
        }
        self.batch.forgotten_blobs.clear();
        Ok(())
    }

    /// Deletes content whose last artifact went with this COMMIT.
    fn remove_released_blobs(&mut self) {
        for sha256 in std::mem::take(&mut self.batch.released_blobs) {
            let Some(connection) = &self.connection else { return };
            match Reader::new(connection, self.epoch).blob_in_use(&sha256) {
                Ok(true) => {}
                Ok(false) => match self.blobs.remove(&sha256) {
                    Ok(true) => self.batch.forgotten_blobs.push(sha256),
                    Ok(false) => {} // in use; whoever uses it has it swept
                    Err(error) => {
                        tracing::warn!(%error, sha256, "content no artifact names could not be removed");
                        // Not at once again.
                        self.batch.sweep_pending = false;
                    }
                },
                Err(error) => tracing::warn!(%error, sha256, "content stays, because its users could not be counted"),
            }
        }
    }
}

fn no_connection() -> Failure {
    Failure::Failed("the database is not open".to_owned())
}

/// The writer's own statements are known to be right: whatever makes one fail makes the batch fail.
fn fatal(error: rusqlite::Error) -> Failure {
    Failure::of(&error).unwrap_or_else(|| Failure::Failed(error.to_string()))
}
