//! A few connections that only read, each lent for one short transaction.

use crate::{Error, Reader, connection, limits, writer::request::panic_message};
use domain::Epoch;
use rusqlite::Connection;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{Semaphore, TryAcquireError};

#[derive(Debug)]
pub(crate) struct Readers {
    file: PathBuf,
    epoch: Epoch,
    count: u32,
    /// One permit per connection there may be; closed with the store.
    turns: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(file: PathBuf, epoch: Epoch, count: usize) -> Self {
        let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
        let turns = Arc::new(Semaphore::new(count as usize));
        Self { file, epoch, count, turns, idle: Arc::default() }
    }

    pub(crate) async fn read<T, E, F>(&self, work: F) -> Result<T, E>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let turn = take_turn(&self.turns).await?;
        let (file, epoch, idle) = (self.file.clone(), self.epoch, Arc::clone(&self.idle));
        let reading = tokio::task::spawn_blocking(move || {
            // Held to the end of the work: a caller that went away frees no connection that is still in use.
            let _turn = turn;
            let lent = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = lent.map_or_else(|| connection::open_reader(&file), Ok)?;
            let outcome = in_transaction(&connection, epoch, work);
            // One whose transaction did not end cleanly, or that met a failing disk, is not lent again.
            if connection.is_autocommit() && outcome.is_sound {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            }
            outcome.answer
        });
        match reading.await {
            Ok(answer) => answer,
            Err(error) if error.is_panic() => Err(Error::Panicked(panic_message(error.into_panic().as_ref())).into()),
            Err(_) => Err(Error::Closed.into()),
        }
    }

    /// Waits for the reads under way and refuses others.
    pub(crate) async fn close(&self) {
        let all = self.turns.acquire_many(self.count).await;
        self.turns.close();
        drop(all);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

struct Outcome<T, E> {
    answer: Result<T, E>,
    is_sound: bool,
}

fn in_transaction<T, E, F>(connection: &Connection, epoch: Epoch, work: F) -> Outcome<T, E>
where
    F: FnOnce(&Reader<'_>) -> Result<T, E>,
    E: From<Error>,
{
    if let Err(error) = connection.execute_batch("BEGIN") {
        return Outcome { answer: Err(Error::from(error).into()), is_sound: false };
    }
    let reader = Reader::new(connection, epoch);
    let answer = catch_unwind(AssertUnwindSafe(|| work(&reader)))
        .unwrap_or_else(|panic| Err(Error::Panicked(panic_message(panic.as_ref())).into()));
    let failure = reader.failure();
    let ended = connection.execute_batch("ROLLBACK");
    let is_sound = failure.is_none() && ended.is_ok();
    match failure {
        // The closure may have made light of it; an answer from a failing disk is none.
        Some(failure) if answer.is_ok() => Outcome { answer: Err(Error::from(failure).into()), is_sound },
        _ => Outcome { answer, is_sound },
    }
}

/// A turn at a limited resource, within [`limits::LONGEST_WAIT`].
pub(crate) async fn take_turn(turns: &Arc<Semaphore>) -> Result<tokio::sync::OwnedSemaphorePermit, Error> {
    match Arc::clone(turns).try_acquire_owned() {
        Ok(turn) => return Ok(turn),
        Err(TryAcquireError::Closed) => return Err(Error::Closed),
        Err(TryAcquireError::NoPermits) => {}
    }
    match tokio::time::timeout(limits::LONGEST_WAIT, Arc::clone(turns).acquire_owned()).await {
        Ok(Ok(turn)) => Ok(turn),
        Ok(Err(_closed)) => Err(Error::Closed),
        Err(_elapsed) => Err(Error::Busy { waited_ms: limits::LONGEST_WAIT.as_millis() }),
    }
}
