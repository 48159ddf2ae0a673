//! The one way events of an attempt reach the log: a task with a bounded queue that sends them in numbered batches. While
//! one batch is on its way the next one fills, so many small events cost few requests, and whoever produces faster than
//! the backend stores has to wait.

use crate::{
    halt::{Halt, persist},
    stop::Stop,
};
use client::Client;
use domain::{Epoch, JobId};
use protocol::{AppendEvents, EventBody};
use std::sync::{Arc, OnceLock};
use tokio::sync::{mpsc, oneshot};

/// Entries waiting to be sent. Tool output is the only producer in bulk, at 8 KiB an entry: about 512 KiB.
const QUEUE: usize = 64;
/// Events of one batch, as the backend takes them.
const BATCH_EVENTS: usize = 256;
/// Bytes of one batch: far below the backend's limit for a body, far above one event.
const BATCH_BYTES: usize = 512 * 1024;

enum Entry {
    /// Stored together or not at all.
    Events(Vec<EventBody>),
    /// Everything before this is durable.
    Flush(oneshot::Sender<()>),
}

/// A handle on the queue.
#[derive(Clone)]
pub(crate) struct Appender {
    queue: mpsc::Sender<Entry>,
    stop: Stop,
    /// Why the backend takes no more of our events.
    refused: Arc<OnceLock<String>>,
}

/// The task behind it.
pub(crate) struct Sender {
    queue: mpsc::Receiver<Entry>,
    client: Client,
    job: JobId,
    /// The epoch and the number of the attempt.
    attempt: (Epoch, u32),
    producer_seq: u64,
    stop: Stop,
    refused: Arc<OnceLock<String>>,
}

pub(crate) fn new(client: Client, job: JobId, attempt: (Epoch, u32), stop: Stop) -> (Appender, Sender) {
    let (queue, entries) = mpsc::channel(QUEUE);
    let refused = Arc::new(OnceLock::new());
    let sender =
        Sender { queue: entries, client, job, attempt, producer_seq: 0, stop: stop.clone(), refused: refused.clone() };
    (Appender { queue, stop, refused }, sender)
}

impl Appender {
    /// Queues events that belong together: a reader sees all of them or none. At most 256. Waits while the queue is full.
    pub(crate) async fn append(&self, events: Vec<EventBody>) -> Result<(), Halt> {
        self.enqueue(Entry::Events(events)).await
    }

    /// Returns once everything queued before is durable.
    pub(crate) async fn flush(&self) -> Result<(), Halt> {
        let (done, durable) = oneshot::channel();
        self.enqueue(Entry::Flush(done)).await?;
        tokio::select! {
            biased;
            () = self.stop.lost().cancelled() => Err(Halt::Stopped),
            durable = durable => durable.map_err(|_| self.closed()),
        }
    }

    async fn enqueue(&self, entry: Entry) -> Result<(), Halt> {
        tokio::select! {
            biased;
            () = self.stop.lost().cancelled() => Err(Halt::Stopped),
            sent = self.queue.send(entry) => sent.map_err(|_| self.closed()),
        }
    }

    fn closed(&self) -> Halt {
        match self.refused.get() {
            Some(message) => Halt::error(format!("the backend refused an event of this job: {message}")),
            None => Halt::Stopped,
        }
    }
}

impl Sender {
    /// Sends until the handle is dropped and the queue is empty, or the lease is lost.
    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while let Some(entry) = self.queue.recv().await {
            let mut entry = Some(entry);
            let mut flushed = Vec::new();
            while let Some(next) = entry.take() {
                match next {
                    Entry::Flush(done) => flushed.push(done),
                    Entry::Events(events) => {
                        let size: usize = events.iter().map(size).sum();
                        let is_full = batch.len() + events.len() > BATCH_EVENTS || bytes + size > BATCH_BYTES;
                        if is_full && self.send(std::mem::take(&mut batch)).await.is_err() {
                            return;
                        }
                        bytes = if is_full { size } else { bytes + size };
                        batch.extend(events);
                    }
                }
                entry = self.queue.try_recv().ok();
            }
            bytes = 0;
            if self.send(std::mem::take(&mut batch)).await.is_err() {
                return;
            }
            for done in flushed {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }

    async fn send(&mut self, events: Vec<EventBody>) -> Result<(), Halt> {
        if events.is_empty() {
            return Ok(());
        }
        self.producer_seq += 1;
        let (epoch, attempt) = self.attempt;
        let append = AppendEvents { epoch, attempt, producer_seq: self.producer_seq, events };
        let sent = persist(&self.stop, self.stop.lost(), || self.client.append_events(self.job, &append));
        match sent.await {
            Ok(_) => Ok(()),
            Err(halt) => {
                if let Halt::Failed { message, .. } = &halt {
                    tracing::error!(job = %self.job, %message, "events were refused");
                    // Set by nobody else.
                    let _ = self.refused.set(message.clone());
                }
                Err(halt)
            }
        }
    }
}

/// About how many bytes an event takes on the wire.
fn size(event: &EventBody) -> usize {
    const ENVELOPE: usize = 128;
    ENVELOPE
        + match event {
            EventBody::ToolOutput { text, .. } => text.len(),
            EventBody::ToolFinished { output, .. } | EventBody::CheckFinished { output, .. } => output.len(),
            EventBody::CheckStarted { command, .. } => command.len(),
            EventBody::ToolStarted { arguments, .. } => arguments
                .as_object()
                .into_iter()
                .flat_map(|fields| fields.values())
                .filter_map(|v| v.as_str())
                .map(str::len)
                .sum(),
            EventBody::AgentNote { message } => message.len(),
            EventBody::GuidedStarted { files, .. } => files.iter().map(|file| file.path.len() + ENVELOPE / 4).sum(),
            EventBody::ModelEscalated { why, .. } => why.len(),
            _ => 0,
        }
}
