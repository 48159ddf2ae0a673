//! A job's log as it grows.
//!
//! ```text
//!            connect             bytes
//!  Waiting ─────────▶ Connecting ─────▶ Live ──closed──▶ end
//!     ▲                   │ fails        │ breaks, ends early, skips
//!     └── backoff ────────┴──────────────┘
//! ```
//! The cursor moves only with an event handed out, so whatever a broken connection swallowed is read again and whatever is
//! sent twice is dropped. A stream that cannot go on says why with its last event, `error`. A refusal that time does not mend ends the stream as an `Err`, and so does a silence longer than
//! `stream_give_up_after`.

use crate::{Error, Result, http::Client, sse};
use domain::{Cursor, JobId};
use futures_util::{Stream, StreamExt, stream};
use protocol::{Event, Problem, Reset};
use reqwest::{Method, header};
use sse_stream::Sse;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{sync::watch, time::Instant};

/// How the stream is doing, for people who watch it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    Connecting,
    Live,
    /// Broken, and going to be tried again.
    Waiting {
        why: String,
    },
}

/// Every event once, in order; ends after `closed`. An `Err` is the last item: [`Error::Reset`] says where to begin again.
pub struct EventStream {
    inner: Pin<Box<dyn Stream<Item = Result<Event>> + Send>>,
    connection: watch::Receiver<Connection>,
}

impl EventStream {
    pub(crate) fn new(client: Client, job: JobId, after: Option<Cursor>) -> Self {
        let (state, connection) = watch::channel(Connection::Connecting);
        let reader =
            Reader { client, job, after, stream: None, last_contact: Instant::now(), failures: 0, skips: 0, state };
        let inner = stream::unfold(Some(reader), |reader| async move {
            let mut reader = reader?;
            match reader.next().await {
                Ok(event) => {
                    let more = event.event_type != "closed";
                    Some((Ok(event), more.then_some(reader)))
                }
                Err(error) => Some((Err(error), None)),
            }
        });
        Self { inner: Box::pin(inner), connection }
    }

    /// Follows whether the stream is live. Changes only while the stream is being read.
    pub fn connection(&self) -> watch::Receiver<Connection> {
        self.connection.clone()
    }
}

impl Stream for EventStream {
    type Item = Result<Event>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("connection", &*self.connection.borrow()).finish_non_exhaustive()
    }
}

/// A stream that skips events is read again from the last good one, but not for ever: then it is not a hiccup of the
/// connection but something that does not keep the contract.
const MOST_SKIPS: u32 = 3;

struct Reader {
    client: Client,
    job: JobId,
    after: Option<Cursor>,
    stream: Option<Pin<Box<dyn Stream<Item = Result<Sse>> + Send>>>,
    last_contact: Instant,
    failures: u32,
    skips: u32,
    state: watch::Sender<Connection>,
}

/// What one server-sent event means.
enum Said {
    Event(Box<Event>),
    Reset(Box<Reset>),
    /// Why nothing more comes on this connection.
    Failed(Box<Problem>),
    Nothing,
}

impl Reader {
    async fn next(&mut self) -> Result<Event> {
        loop {
            let Some(stream) = &mut self.stream else {
                self.connect().await?;
                continue;
            };
            let said = match stream.next().await {
                Some(Ok(sse)) => said(&sse, &self.client)?,
                Some(Err(error)) if error.is_retryable() => {
                    self.wait(error, None).await?;
                    continue;
                }
                Some(Err(error)) => return Err(error),
                None => {
                    let ended = Error::Interrupted {
                        url: self.client.base_url().to_owned(),
                        detail: "the stream ended early".into(),
                    };
                    self.wait(ended, None).await?;
                    continue;
                }
            };
            self.last_contact = Instant::now();
            if !matches!(said, Said::Failed(_)) {
                self.failures = 0;
            }
            match said {
                Said::Nothing => {}
                Said::Failed(problem) => self.wait(Error::Problem(problem), None).await?,
                Said::Reset(reset) => return Err(Error::Reset(reset)),
                Said::Event(event) => match self.place(&event) {
                    Place::Next => {
                        self.after = Some(event.cursor);
                        self.skips = 0;
                        return Ok(*event);
                    }
                    Place::Repeated => {}
                    Place::Skipped { expected } => self.skipped(expected, event.seq).await?,
                },
            }
        }
    }

    fn place(&self, event: &Event) -> Place {
        let Some(after) = self.after else { return Place::Next };
        if event.cursor.epoch != after.epoch {
            // A new epoch announces itself with a reset; without one the numbers do not belong together.
            return Place::Skipped { expected: after.seq + 1 };
        }
        match event.seq {
            seq if seq <= after.seq => Place::Repeated,
            seq if seq == after.seq + 1 => Place::Next,
            _ => Place::Skipped { expected: after.seq + 1 },
        }
    }

    async fn skipped(&mut self, expected: u64, seq: u64) -> Result<()> {
        self.skips += 1;
        let detail = format!("event {seq} came where {expected} was due");
        if self.skips > MOST_SKIPS {
            return Err(self.client.protocol(detail));
        }
        self.wait(Error::Interrupted { url: self.client.base_url().to_owned(), detail }, None).await
    }

    async fn connect(&mut self) -> Result<()> {
        self.state.send_replace(Connection::Connecting);
        let mut url = self.client.api(&["jobs", &self.job.to_string(), "events"]);
        if let Some(after) = self.after {
            url.query_pairs_mut().append_pair("after", &after.to_string());
        }
        let request = self.client.request(Method::GET, url).header(header::ACCEPT, "text/event-stream");
        match self.client.send(request, self.client.options.answer_timeout).await {
            Ok(response) => {
                self.last_contact = Instant::now();
                self.stream =
                    Some(Box::pin(sse::events(self.client.stream(response), self.client.base_url().to_owned())));
                self.state.send_replace(Connection::Live);
                Ok(())
            }
            Err(refusal) => self.wait(refusal.error, refusal.retry_after).await,
        }
    }

    /// Lets go of the connection and waits for the next try, or gives up with `error`.
    async fn wait(&mut self, error: Error, at_least: Option<std::time::Duration>) -> Result<()> {
        if self.stream.take().is_some() {
            // However long ago the last event was read, until now the stream was there.
            self.last_contact = Instant::now();
        }
        self.failures += 1;
        let delay = self.client.options.retry.delay(self.failures).max(at_least.unwrap_or_default());
        let too_long = self.last_contact.elapsed() + delay > self.client.options.stream_give_up_after;
        if too_long || !error.is_retryable() {
            return Err(error);
        }
        self.state.send_replace(Connection::Waiting { why: error.to_string() });
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

enum Place {
    Next,
    /// Handed out before.
    Repeated,
    Skipped {
        expected: u64,
    },
}

fn said(sse: &Sse, client: &Client) -> Result<Said> {
    let Some(data) = &sse.data else { return Ok(Said::Nothing) };
    match sse.event.as_deref() {
        Some("heartbeat") => Ok(Said::Nothing),
        Some("error") => Ok(Said::Failed(Box::new(client.parse(data.as_bytes())?))),
        Some("reset") => Ok(Said::Reset(Box::new(client.parse(data.as_bytes())?))),
        _ => Ok(Said::Event(Box::new(client.parse(data.as_bytes())?))),
    }
}
