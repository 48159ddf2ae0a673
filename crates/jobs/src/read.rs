//! Reading a job's log by cursor, to its end and as it grows.
//!
//! A reader is nothing but a position. It registers to be woken, reads the head, reads the rows after its position, and
//! only then waits: an event committed at any moment is either among the rows or wakes it. Nothing is handed over from
//! a buffer, so there is no seam between old and new, however many readers there are and however slow they read.

use crate::{
    Caller, Error, Handle,
    event::{CLOSED, to_wire},
    handle::Shared,
};
use domain::{Cursor, Epoch, JobId};
use protocol::{Event, EventPage, Reset, ResetReason};
use std::{sync::Arc, time::Duration};
use store::{EventRow, JobHead};
use tokio::{sync::watch, time::Instant};

/// Events of one page.
const PAGE_EVENTS: u32 = 1_000;
/// Payload bytes of one page; it holds one event at least. Bounds what a slow reader of a log full of tool output keeps
/// in memory.
const PAGE_BYTES: usize = 1 << 20;
/// Longest wait of one page: below the idle time-outs of common proxies.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Reads one job's log from a position on.
pub struct EventReader {
    shared: Arc<Shared>,
    job: JobId,
    after: Cursor,
    head: Cursor,
    woken: watch::Receiver<u64>,
    ended: bool,
}

/// What a reader comes upon.
#[derive(Debug)]
pub enum Read<P = EventPage> {
    /// One event or more. With `closed` set they are the last.
    Events(P),
    /// The position cannot be honoured; nothing was read. Only a new reader goes on.
    Reset(Reset),
    /// The log has ended and was read to its end.
    Closed,
    /// The backend shuts down; go on from the same cursor once it is back.
    Stopping,
}

/// A stretch of a log as it is stored: payloads are canonical JSON text, which a stream passes on untouched.
#[derive(Debug)]
pub struct Stretch {
    pub rows: Vec<EventRow>,
    /// That of the data folder now, for cursors; a row may have been written under an earlier one.
    pub epoch: Epoch,
    pub next_cursor: Cursor,
    pub head: Cursor,
    pub closed: bool,
}

impl Stretch {
    fn into_page(self) -> Result<EventPage, Error> {
        let events = self.rows.into_iter().map(|row| to_wire(row, self.epoch)).collect::<Result<Vec<Event>, _>>()?;
        Ok(EventPage { events, next_cursor: self.next_cursor, head: self.head, closed: self.closed })
    }
}

impl Handle {
    /// A reader of everything after `after`; from the start without it. Nothing is read yet.
    pub async fn events(&self, caller: &Caller, job: JobId, after: Option<Cursor>) -> Result<EventReader, Error> {
        let shared = self.shared.clone();
        let woken = shared.store.watch_job(job);
        let row = shared.store.job_head(job).await?.filter(|head| caller.sees_head(head));
        let row = row.ok_or_else(|| Error::no_job(job))?;
        let epoch = shared.store.epoch();
        let after = after.unwrap_or(Cursor { epoch, seq: 0 });
        Ok(EventReader { shared, job, after, head: Cursor { epoch, seq: row.head_seq }, woken, ended: false })
    }
}

impl EventReader {
    /// Up to here everything was read.
    pub fn cursor(&self) -> Cursor {
        self.after
    }

    /// Where the log ended when it was last looked at.
    pub fn head(&self) -> Cursor {
        self.head
    }

    /// The next events, waiting for as long as it takes. Safe to drop half-way and call again.
    pub async fn next(&mut self, max_events: u32) -> Result<Read, Error> {
        Ok(match self.next_rows(max_events, PAGE_BYTES).await? {
            Read::Events(stretch) => Read::Events(stretch.into_page()?),
            Read::Reset(reset) => Read::Reset(reset),
            Read::Closed => Read::Closed,
            Read::Stopping => Read::Stopping,
        })
    }

    /// The same as stored, with at most `max_bytes` of payload or one event.
    pub async fn next_rows(&mut self, max_events: u32, max_bytes: usize) -> Result<Read<Stretch>, Error> {
        loop {
            if self.ended {
                return Ok(Read::Closed);
            }
            match self.look(max_events, max_bytes).await? {
                Look::Page(page) if page.rows.is_empty() && page.closed => return Ok(Read::Closed),
                Look::Page(page) if page.rows.is_empty() => {}
                Look::Page(page) => return Ok(Read::Events(page)),
                Look::Reset(reset) => return Ok(Read::Reset(reset)),
            }
            tokio::select! {
                biased;
                () = self.shared.live.stopping().cancelled() => return Ok(Read::Stopping),
                woken = self.woken.changed() => self.stand_by(woken)?,
            }
        }
    }

    /// One page, waiting up to `wait` for something to read. A page without events and `closed` says: nothing yet.
    pub async fn page(&mut self, max_events: u32, wait: Duration) -> Result<EventPage, Error> {
        let until = Instant::now() + wait.min(LONGEST_WAIT);
        loop {
            let page = match self.look(max_events, PAGE_BYTES).await? {
                Look::Page(page) => page.into_page()?,
                Look::Reset(reset) => return Err(Error::Reset(reset)),
            };
            if !page.events.is_empty() || page.closed {
                return Ok(page);
            }
            tokio::select! {
                biased;
                () = self.shared.live.stopping().cancelled() => return Ok(page),
                woken = self.woken.changed() => self.stand_by(woken)?,
                () = tokio::time::sleep_until(until) => return Ok(page),
            }
        }
    }

    /// The store closes its watches only when it goes away itself.
    fn stand_by(&self, woken: Result<(), watch::error::RecvError>) -> Result<(), Error> {
        woken.map_err(|_| Error::Stopping)
    }

    /// Reads what there is now.
    async fn look(&mut self, max_events: u32, max_bytes: usize) -> Result<Look, Error> {
        // From here on a commit wakes the wait that may follow.
        self.woken.borrow_and_update();
        let (job, after, epoch) = (self.job, self.after, self.shared.store.epoch());
        let (max_events, max_bytes) = (max_events.clamp(1, PAGE_EVENTS), max_bytes.min(PAGE_BYTES));
        let gone = || Error::no_job(job);
        let (row, rows) = if after.epoch == epoch {
            let page = store::EventPage { job, after_seq: after.seq, max_events: max_events as usize, max_bytes };
            self.shared.store.page_of_events(page).await?.ok_or_else(gone)?
        } else {
            (self.shared.store.job_head(job).await?.ok_or_else(gone)?, Vec::new())
        };
        self.head = Cursor { epoch, seq: row.head_seq };
        if after.epoch != epoch {
            let resume_from = Cursor { epoch, seq: 0 };
            return Ok(Look::Reset(Reset { reason: ResetReason::EpochChanged, resume_from, head: self.head }));
        }
        if after.seq > row.head_seq {
            return Err(Error::CursorAhead { after, head: self.head });
        }
        let page = stretch(rows, &row, after, self.head);
        self.after = page.next_cursor;
        self.ended = page.closed;
        Ok(Look::Page(page))
    }
}

enum Look {
    Page(Stretch),
    Reset(Reset),
}

fn stretch(rows: Vec<EventRow>, row: &JobHead, after: Cursor, head: Cursor) -> Stretch {
    let read_to_end = after.seq == head.seq && row.state.is_terminal();
    let closed = rows.last().map_or(read_to_end, |last| last.event_type == CLOSED);
    let epoch = head.epoch;
    let next_cursor = rows.last().map_or(after, |last| Cursor { epoch, seq: last.seq });
    Stretch { rows, epoch, next_cursor, head, closed }
}
