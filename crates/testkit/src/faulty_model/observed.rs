//! What the server saw: requests, connections, and clients that went away.

use bytes::Bytes;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// One request, its body included.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    /// With its query.
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    /// `Null` when the body is not JSON.
    pub body: Value,
    pub bytes: Bytes,
    /// When the body had come whole.
    pub at: Instant,
}

/// A client that went away before its answer's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// Index into [`super::FaultyModel::received`].
    pub request: usize,
    pub at: Instant,
    /// Between the request and its going.
    pub after_request: Duration,
    /// Between the last piece sent and its going; `None` when nothing was sent but perhaps the head.
    pub after_last_piece: Option<Duration>,
    /// Tokens it could have got.
    pub tokens_sent: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    pub(super) received: Vec<Received>,
    pub(super) paths: Vec<String>,
    pub(super) disconnected: Vec<Disconnect>,
    pub(super) finished: usize,
    pub(super) connections: u64,
    pub(super) open_connections: u64,
    /// Names of models that were asked something since they were unloaded.
    pub(super) loaded: BTreeSet<String>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    log: Arc<watch::Sender<Log>>,
}

impl Observed {
    pub(super) fn note(&self, change: impl FnOnce(&mut Log)) {
        self.log.send_modify(change);
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.log.borrow())
    }

    /// # Panics
    /// When [`crate::DEADLINE`] passes; the message names `what`.
    pub(super) async fn wait<T>(&self, what: &str, look: impl Fn(&Log) -> Option<T>) -> T {
        let mut changes = self.log.subscribe();
        let waited = timeout(crate::DEADLINE, async {
            loop {
                if let Some(found) = look(&changes.borrow_and_update()) {
                    return found;
                }
                // The sender lives in `self`, so the channel cannot close while this waits.
                let _ = changes.changed().await;
            }
        });
        waited.await.unwrap_or_else(|_| {
            let log = self.log.borrow();
            panic!(
                "the model server waited {:?} in vain for {what}. Asked so far: {:?}; answered to the end: {}; gone: {:?}",
                crate::DEADLINE,
                log.paths,
                log.finished,
                log.disconnected
            )
        })
    }

    pub(super) fn connected(&self) -> Connected {
        self.note(|log| {
            log.connections += 1;
            log.open_connections += 1;
        });
        Connected(self.clone())
    }

    /// Records the request; what comes back watches over its answer.
    pub(super) fn asked(&self, received: Received) -> Watch {
        let (mut request, asked_at) = (0, received.at);
        self.note(|log| {
            request = log.received.len();
            log.received.push(received);
        });
        Watch { observed: self.clone(), request, asked_at, last_piece: None, tokens_sent: 0, over: false }
    }
}

/// Counts an open connection for as long as it lives, aborted or not.
pub(super) struct Connected(Observed);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.note(|log| log.open_connections -= 1);
    }
}

/// Lives as long as its answer is being made. Dropped before the answer is over, it says that the client has gone: nobody
/// else gives an answer up.
pub(super) struct Watch {
    observed: Observed,
    request: usize,
    asked_at: Instant,
    last_piece: Option<Instant>,
    tokens_sent: usize,
    over: bool,
}

impl Watch {
    pub(super) fn sent(&mut self, is_token: bool) {
        self.last_piece = Some(Instant::now());
        self.tokens_sent += usize::from(is_token);
    }

    /// From here on the client may hang up as it likes.
    pub(super) fn over(&mut self) {
        if !std::mem::replace(&mut self.over, true) {
            self.observed.note(|log| log.finished += 1);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let at = Instant::now();
        let disconnect = Disconnect {
            request: self.request,
            at,
            after_request: at - self.asked_at,
            after_last_piece: self.last_piece.map(|last| at - last),
            tokens_sent: self.tokens_sent,
        };
        self.observed.note(|log| log.disconnected.push(disconnect));
    }
}
