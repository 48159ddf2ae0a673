//! Write-behind: what calls leave behind waits here in memory until one task has written it.
//!
//! ```text
//!   add_spend ─▶ summed per account and window ─┐
//!   add_call  ─▶ queue, oldest dropped when full ┼─▶ Service: one Batch at a time ─▶ Disk
//!   add_entry ─▶ queue, refuses when full ───────┘      │ fails: the same batch again, after a growing pause
//!                                                       └ done: `written` goes up to the batch's last ticket
//! ```
//!
//! Every thing handed in gets a ticket, counting up. Spend is written as differences; a batch carries a number, so one whose
//! answer was lost on the way back is counted once however often it is sent.

use super::ledger::{Draft, LedgerError};
use async_trait::async_trait;
use domain::EventHash;
use protocol::{ModelCallRecord, Spend};
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use store::{BatchNumber, BooksBatch, LedgerRow, ModelCallRow, SpendCount, SpendKey, Store};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Model calls in one batch: a few milliseconds of the writer's time, so that no job's event waits long behind them. A batch
/// each [`Options::gather`] makes some 2,500 a second: what is on top of that waits for a quieter moment, because describing
/// calls must not take the processor from making them.
const CALLS_PER_BATCH: usize = 256;

/// Ledger entries in one batch, for the same reason.
const ENTRIES_PER_BATCH: usize = 1_024;

/// Pauses after a failed write double from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Finished model calls that wait for the disk; beyond it the oldest are dropped and counted. Default 10,000:
    /// some seconds of the fastest load there is, or hours of people's. What they spent is never dropped.
    pub waiting_calls: usize,
    /// Ledger entries that wait for the disk; beyond it nothing leaves the machine. Default 10,000.
    pub waiting_entries: usize,
    /// Model calls that are shown without a look at the disk. Default 1,000: longer than a write ever takes.
    pub recent_calls: usize,
    /// How long spend and calls are gathered before they are written. Default 100 ms: ten commits a second at most. Ledger
    /// entries and flushes do not wait for it.
    pub gather: Duration,
    /// How long the last writing may take at shutdown. Default 5 s, half of what container engines wait.
    pub last_flush: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            waiting_calls: 10_000,
            waiting_entries: 10_000,
            recent_calls: 1_000,
            gather: Duration::from_millis(100),
            last_flush: Duration::from_secs(5),
        }
    }
}

/// What is written in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    pub number: BatchNumber,
    pub spend: Vec<(SpendKey, SpendCount)>,
    pub calls: Vec<Arc<ModelCallRecord>>,
    pub ledger: Vec<LedgerRow>,
}

/// Where batches go: all of one or nothing, and a number seen before changes nothing.
#[async_trait]
pub trait Disk: Send + Sync + 'static {
    async fn write(&self, batch: Arc<Batch>) -> Result<(), store::Error>;
}

#[async_trait]
impl Disk for Store {
    async fn write(&self, batch: Arc<Batch>) -> Result<(), store::Error> {
        // Describing calls takes some milliseconds, which nobody who passes one on should wait for.
        let described = tokio::task::spawn_blocking(move || BooksBatch {
            number: batch.number,
            spend: batch.spend.clone(),
            calls: batch.calls.iter().filter_map(|call| call_row(call)).collect(),
            ledger: batch.ledger.clone(),
        });
        self.book(described.await.map_err(|_| store::Error::Closed)?).await.map(drop)
    }
}

/// The service is gone: what was handed in later is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal of model calls has stopped; the program is shutting down")]
pub struct Stopped;

/// What waits for the disk now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// Account windows with spend.
    pub spend: usize,
    pub calls: usize,
    pub ledger: usize,
    /// Since the start of the program.
    pub dropped_calls: u64,
}

/// Where things are handed in. Never waits. Clones share it.
#[derive(Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    written: watch::Receiver<u64>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Something waits.
    filled: Notify,
    /// Something waits that somebody waits for.
    urgent: Notify,
    options: Options,
}

#[derive(Default)]
struct Queue {
    /// The last one given.
    ticket: u64,
    /// Somebody waits for everything up to here.
    flush_to: u64,
    spend: HashMap<SpendKey, Spend>,
    calls: VecDeque<(u64, Arc<ModelCallRecord>)>,
    ledger: VecDeque<(u64, Draft)>,
    dropped_calls: u64,
    /// Of the batch under way.
    writing: Pending,
}

impl Queue {
    fn next_ticket(&mut self) -> u64 {
        self.ticket += 1;
        self.ticket
    }

    fn is_empty(&self) -> bool {
        self.spend.is_empty() && self.calls.is_empty() && self.ledger.is_empty()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    /// `head`: the last ledger entry on disk.
    pub(crate) fn new(disk: Arc<dyn Disk>, head: (u64, EventHash), options: Options) -> (Self, Service) {
        let shared = Shared { queue: Mutex::default(), filled: Notify::new(), urgent: Notify::new(), options };
        let (sender, written) = watch::channel(0);
        let journal = Self { shared: Arc::new(shared), written };
        let number = BatchNumber { run: Uuid::from_u128(rand::random()), batch: 0 };
        let service =
            Service { shared: Arc::clone(&journal.shared), disk, head, number, written: sender, current: None };
        (journal, service)
    }

    /// Adds `more` to each of these.
    pub(crate) fn add_spend(&self, keys: Vec<SpendKey>, more: Spend) {
        let mut queue = self.shared.queue();
        queue.next_ticket();
        for key in keys {
            let sum = queue.spend.entry(key).or_default();
            *sum = sum.plus(more);
        }
        drop(queue);
        self.shared.filled.notify_one();
    }

    pub(crate) fn add_call(&self, record: Arc<ModelCallRecord>) {
        let mut queue = self.shared.queue();
        let ticket = queue.next_ticket();
        queue.calls.push_back((ticket, record));
        if queue.calls.len() > self.shared.options.waiting_calls {
            queue.calls.pop_front();
            queue.dropped_calls += 1;
        }
        drop(queue);
        self.shared.filled.notify_one();
    }

    pub(crate) fn add_entry(&self, draft: Draft) -> Result<u64, LedgerError> {
        let mut queue = self.shared.queue();
        let waiting = queue.ledger.len();
        if waiting >= self.shared.options.waiting_entries {
            return Err(LedgerError::Full { waiting });
        }
        let ticket = queue.next_ticket();
        queue.ledger.push_back((ticket, draft));
        drop(queue);
        self.shared.filled.notify_one();
        self.shared.urgent.notify_one();
        Ok(ticket)
    }

    pub(crate) async fn written(&self, ticket: u64) -> Result<(), Stopped> {
        let mut written = self.written.clone();
        written.wait_for(|written| *written >= ticket).await.map(drop).map_err(|_| Stopped)
    }

    /// Ends when everything handed in before is on disk, however long the disk takes.
    ///
    /// # Errors
    /// [`Stopped`] when the service ended first.
    pub async fn flush(&self) -> Result<(), Stopped> {
        let ticket = {
            let mut queue = self.shared.queue();
            queue.flush_to = queue.ticket;
            queue.ticket
        };
        self.shared.filled.notify_one();
        self.shared.urgent.notify_one();
        self.written(ticket).await
    }

    pub fn pending(&self) -> Pending {
        let queue = self.shared.queue();
        Pending {
            spend: queue.spend.len() + queue.writing.spend,
            calls: queue.calls.len() + queue.writing.calls,
            ledger: queue.ledger.len() + queue.writing.ledger,
            dropped_calls: queue.dropped_calls,
        }
    }
}

/// The one task that writes. Run it once.
pub struct Service {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    /// The last entry chained.
    head: (u64, EventHash),
    number: BatchNumber,
    written: watch::Sender<u64>,
    /// Taken from the queue and not yet known to be on disk, with the last ticket it covers.
    current: Option<(Arc<Batch>, u64)>,
}

impl Service {
    /// Writes until `shutdown`, then what is left for as long as [`Options::last_flush`]. Says what could not be written.
    pub async fn run(mut self, shutdown: CancellationToken) -> Pending {
        tokio::select! {
            never = self.work() => match never {},
            () = shutdown.cancelled() => {}
        }
        let _ = timeout(self.shared.options.last_flush, self.drain()).await;
        let mut left = Journal { shared: Arc::clone(&self.shared), written: self.written.subscribe() }.pending();
        left.dropped_calls = 0;
        if left != Pending::default() {
            tracing::error!(
                spend = left.spend,
                calls = left.calls,
                ledger = left.ledger,
                "spend, model calls and ledger entries are lost: the data folder could not be written before the end"
            );
        }
        left
    }

    async fn work(&mut self) -> std::convert::Infallible {
        loop {
            let written = self.write_one().await;
            let shared = Arc::clone(&self.shared);
            if !written {
                shared.filled.notified().await;
            }
            let in_a_hurry = *self.written.borrow() < shared.queue().flush_to;
            if !in_a_hurry {
                // An urgent thing that came before this has left its permit.
                let _ = timeout(shared.options.gather, shared.urgent.notified()).await;
            }
        }
    }

    /// Until nothing is left.
    async fn drain(&mut self) {
        while self.write_one().await {}
    }

    /// One batch, however long the disk takes; `false` when there was nothing to write. Can be dropped at any await: the
    /// batch under way stays and is sent again.
    async fn write_one(&mut self) -> bool {
        if self.current.is_none() {
            self.current = self.take();
        }
        let Some((batch, covered)) = self.current.as_ref().map(|(batch, covered)| (Arc::clone(batch), *covered)) else {
            return false;
        };
        let mut pause = FIRST_PAUSE;
        let mut failing = false;
        while let Err(error) = self.disk.write(Arc::clone(&batch)).await {
            if !failing {
                tracing::warn!(%error, "model calls and spend cannot be written now; they wait in memory");
            }
            failing = true;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        if failing {
            tracing::info!("model calls and spend are written again");
        }
        self.current = None;
        self.shared.queue().writing = Pending::default();
        self.written.send_replace(covered);
        true
    }

    /// All spend, and as much of the rest as one batch holds.
    fn take(&mut self) -> Option<(Arc<Batch>, u64)> {
        let (spend, calls, ledger, covered);
        {
            let mut queue = self.shared.queue();
            if queue.is_empty() {
                return None;
            }
            spend = std::mem::take(&mut queue.spend);
            let count = queue.calls.len().min(CALLS_PER_BATCH);
            calls = queue.calls.drain(..count).map(|(_, record)| record).collect::<Vec<_>>();
            let count = queue.ledger.len().min(ENTRIES_PER_BATCH);
            ledger = queue.ledger.drain(..count).map(|(_, draft)| draft).collect::<Vec<_>>();
            let left = [queue.calls.front().map(|(at, _)| *at), queue.ledger.front().map(|(at, _)| *at)];
            covered = left.into_iter().flatten().min().map_or(queue.ticket, |first_left| first_left - 1);
            queue.writing = Pending { spend: spend.len(), calls: calls.len(), ledger: ledger.len(), dropped_calls: 0 };
        }
        self.number.batch += 1;
        let mut rows = Vec::with_capacity(ledger.len());
        for draft in ledger {
            let row = draft.chained(self.head.0 + 1, self.head.1);
            self.head = (row.seq, row.hash);
            rows.push(row);
        }
        let batch = Batch {
            number: self.number,
            spend: spend.into_iter().map(|(key, sum)| (key, count(sum))).collect(),
            calls,
            ledger: rows,
        };
        Some((Arc::new(batch), covered))
    }
}

fn count(spend: Spend) -> SpendCount {
    SpendCount { tokens: spend.tokens, microusd: spend.microusd, requests: spend.requests }
}

fn call_row(record: &ModelCallRecord) -> Option<ModelCallRow> {
    let detail = serde_json::to_string(record)
        .inspect_err(
            |error| tracing::error!(%error, call = %record.id, "a model call has no JSON form and is not kept"),
        )
        .ok()?;
    Some(ModelCallRow {
        id: record.id,
        at: record.at,
        principal: record.caller,
        job: record.job,
        route: record.route.clone(),
        provider: record.provider.clone(),
        model: record.model.clone(),
        digest: record.digest.clone(),
        state: record.state.as_str(),
        input_tokens: record.tokens.map(|tokens| tokens.input),
        output_tokens: record.tokens.map(|tokens| tokens.output),
        cost_microusd: record.cost_microusd,
        first_token_ms: record.first_token_ms,
        total_ms: record.total_ms,
        detail,
    })
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Journal").field(&self.pending()).finish()
    }
}
