//! A bounded line of requests in front of threads.
//!
//! A place in the line is taken by somebody who is sure to be awake: at once, or by a task of its own that waits for one.
//! A caller that is not polled, because it serves a client that does not read, holds nothing that others wait for.

use crate::{Error, limits};
use std::{
    future::poll_fn,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    task::{Context, Poll},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Something to be done on another thread, and who waits for it.
pub(crate) trait Queued: Send + 'static {
    /// Ready when whoever asked is gone.
    fn poll_abandoned(&mut self, context: &mut Context<'_>) -> Poll<()>;
    fn refuse(self, error: Error);
}

pub(crate) enum Message<R> {
    /// With the place it holds, which is free again once it is taken out.
    Run(R, OwnedSemaphorePermit),
    /// Stop; whoever waits in line is served first where there is one thread.
    Close,
}

pub(crate) struct Queue<R> {
    sender: SyncSender<Message<R>>,
    /// Taken before a request is sent, so that sending never blocks.
    places: Arc<Semaphore>,
}

impl<R> Clone for Queue<R> {
    fn clone(&self) -> Self {
        Self { sender: self.sender.clone(), places: Arc::clone(&self.places) }
    }
}

impl<R: Queued> Queue<R> {
    /// `threads` messages that close fit in beside the requests.
    pub(crate) fn new(places: usize, threads: usize) -> (Self, Receiver<Message<R>>) {
        let (sender, requests) = sync_channel(places + threads);
        (Self { sender, places: Arc::new(Semaphore::new(places)) }, requests)
    }

    /// Puts a request in line, or refuses it: when the store closes, or when there is no place within
    /// [`limits::LONGEST_WAIT`].
    pub(crate) fn send(&self, request: R) {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => self.put(request, place),
            Err(TryAcquireError::Closed) => request.refuse(Error::Closed),
            Err(TryAcquireError::NoPermits) => {
                let queue = self.clone();
                tokio::spawn(async move { queue.wait_and_put(request).await });
            }
        }
    }

    /// Puts a request in line if that can be done at once. Also outside of any runtime.
    pub(crate) fn send_if_there_is_a_place(&self, request: R) {
        match Arc::clone(&self.places).try_acquire_owned() {
            Ok(place) => self.put(request, place),
            Err(TryAcquireError::Closed | TryAcquireError::NoPermits) => request.refuse(Error::busy()),
        }
    }

    async fn wait_and_put(&self, mut request: R) {
        let place = Arc::clone(&self.places).acquire_owned();
        let waited = tokio::select! {
            biased;
            () = poll_fn(|context| request.poll_abandoned(context)) => return,
            place = tokio::time::timeout(limits::LONGEST_WAIT, place) => place,
        };
        match waited {
            Ok(Ok(place)) => self.put(request, place),
            Ok(Err(_closed)) => request.refuse(Error::Closed),
            Err(_elapsed) => request.refuse(Error::busy()),
        }
    }

    fn put(&self, request: R, place: OwnedSemaphorePermit) {
        if let Err(unsent) = self.sender.try_send(Message::Run(request, place))
            && let std::sync::mpsc::TrySendError::Full(message) | std::sync::mpsc::TrySendError::Disconnected(message) =
                unsent
            && let Message::Run(request, _place) = message
        {
            request.refuse(Error::Closed);
        }
    }

    /// Nobody gets a place any more.
    pub(crate) fn refuse_all(&self) {
        self.places.close();
    }

    /// Tells one thread to stop. Blocks for no longer than it takes to find a place that is kept for this.
    pub(crate) fn close_one(&self) {
        // A thread that is gone already needs no telling.
        let _ = self.sender.send(Message::Close);
    }
}
