//! Calls of foreign clients: a vendor's request comes in, a vendor's answer goes out.
//!
//! ```text
//!   body, headers ─▶ Call ─▶ Run ─▶ committed ─▶ head (who answers, at what cost) ─▶ frames through the dialect's encoder
//!                              └─ failed ─▶ the vendor's error
//! ```
//! The head of a stream waits for the first content, because only then it is known who answers. A client that streams and
//! would wait longer than [`HEAD_PATIENCE`] gets its head early and signs of life after it, with its place in the queue where
//! it waits in one; what fails then fails in band.

mod body;
mod embeddings;
mod head;
mod listing;
mod pass_through;
mod tokens;

use crate::{
    Error, Event, Frame, Router,
    answer::Whole,
    call::{Call, Caller},
    dialect::{Asked, Dialect, Envelope},
    run::{Run, Step},
    wire::ollama::{joined::joined, loading},
};
use body::Encoding;
use bytes::Bytes;
use domain::{ModelCallId, PrincipalId};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use protocol::Egress;
use std::{pin::Pin, time::Duration};
use tokio::time::{Instant, timeout_at};

pub use pass_through::PassThrough;

/// Under the idle limits of common proxies and clients.
const HEAD_PATIENCE: Duration = Duration::from_secs(15);
/// A stream with nothing to say says so this often.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A request of a foreign client.
#[derive(Debug)]
pub struct Inbound {
    pub id: ModelCallId,
    pub dialect: Dialect,
    pub body: Bytes,
    pub headers: HeaderMap,
    pub caller: Caller,
    /// What the caller's key allows.
    pub egress: Egress,
}

/// The bytes of an answer.
pub enum Body {
    Whole(Bytes),
    /// Dropping it ends the call upstream. It ends with an error where the provider broke off and no dialect has a word for
    /// that: then the connection to the caller must break off, too.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>),
}

impl Router {
    /// Answers a request in its own dialect, whatever becomes of it.
    pub async fn answer(&self, inbound: Inbound) -> Response<Body> {
        let (id, dialect, key) = (inbound.id, inbound.dialect, inbound.caller.principal);
        match self.try_answer(inbound).await {
            Ok(response) => response,
            Err(error) => self.refused(dialect, &error, id, key),
        }
    }

    /// An error, with what the limits of the key are where one of them is in the way.
    fn refused(&self, dialect: Dialect, error: &Error, id: ModelCallId, key: PrincipalId) -> Response<Body> {
        let mut response = failure(dialect, error, id);
        if matches!(error, Error::OverLimit { .. }) {
            let rates = self.inner.books.accounts().rates(key);
            head::limits(response.headers_mut(), rates, dialect, self.inner.clock.now());
        }
        response
    }

    async fn try_answer(&self, inbound: Inbound) -> Result<Response<Body>, Error> {
        let asked = Asked::new(inbound.dialect, inbound.body, head::forwarded(&inbound.headers))?;
        let call = head::call(inbound.id, asked, inbound.caller, inbound.egress, &inbound.headers)?;
        if let Some(loading) = loading::asked(call.asked.dialect, &call.asked.peek, &call.asked.body) {
            return self.load(&call, loading).await;
        }
        self.run(call).await
    }

    async fn run(&self, call: Call) -> Result<Response<Body>, Error> {
        let (asked, id) = (call.asked.clone(), call.id);
        let created_s = self.inner.clock.now().as_millis() / 1000;
        let envelope = || Envelope {
            id: id.0.as_simple().to_string(),
            model: asked.peek.model.clone(),
            created_s,
            wants_usage: asked.peek.wants_usage,
            estimated_input_tokens: asked.peek.estimated_tokens(),
            asked: Some(asked.clone()),
        };
        let run = Run::new(self.inner.clone(), call);
        let standing = run.standing.clone();
        let mut steps = run.steps();
        let head_due = Instant::now() + HEAD_PATIENCE;
        let committed = loop {
            let step = if asked.peek.stream {
                match timeout_at(head_due, steps.next()).await {
                    Ok(step) => step,
                    Err(_) => break None,
                }
            } else {
                steps.next().await
            };
            match step {
                Some(Step::Committed(committed)) => break Some(*committed),
                Some(Step::Failed { error, .. }) => return Err(error),
                Some(Step::Accepted { .. } | Step::Gave(_)) => {}
                Some(Step::Frame(_) | Step::Finished { .. }) | None => return Err(Error::Cancelled),
            }
        };
        if asked.peek.stream {
            let encoding = Encoding::new(asked.dialect, envelope(), steps, HEARTBEAT, standing);
            let stream = encoding.into_stream(committed.is_none()).map(Ok);
            let mut response = Response::new(Body::Stream(Box::pin(stream)));
            head::stream(response.headers_mut(), asked.dialect);
            head::tell(response.headers_mut(), committed.as_ref(), id);
            let rates = committed.as_ref().and_then(|committed| committed.rates);
            head::limits(response.headers_mut(), rates, asked.dialect, self.inner.clock.now());
            return Ok(response);
        }
        let committed = committed.ok_or(Error::Cancelled)?;
        let mut response = whole(gathered(asked.dialect, envelope, &mut steps).await?);
        head::tell(response.headers_mut(), Some(&committed), id);
        head::limits(response.headers_mut(), committed.rates, asked.dialect, self.inner.clock.now());
        Ok(response)
    }
}

/// The one body of an answer that was not asked for as a stream.
async fn gathered(
    dialect: Dialect,
    envelope: impl FnOnce() -> Envelope,
    steps: &mut (impl Stream<Item = Step> + Unpin),
) -> Result<Bytes, Error> {
    let mut whole = Whole::default();
    let mut is_first = true;
    // Of an Ollama, which is always asked for a stream.
    let mut lines = matches!(dialect, Dialect::OllamaChat | Dialect::OllamaGenerate).then(Vec::new);
    while let Some(step) = steps.next().await {
        match step {
            Step::Frame(Frame { raw, events, .. }) | Step::Finished { frame: Frame { raw, events, .. }, .. } => {
                let finished = events.iter().any(|event| matches!(event, Event::Finished(_)));
                // The provider's own body, to the byte.
                if let Some(body) = raw.clone().filter(|_| is_first && finished) {
                    return Ok(body);
                }
                match raw {
                    Some(line) => lines.iter_mut().for_each(|lines| lines.push(line.clone())),
                    None if finished || events.iter().any(Event::is_content) => lines = None,
                    None => {}
                }
                is_first = false;
                for event in &events {
                    whole.add(event);
                }
                if finished {
                    if let Some(body) = lines.as_deref().and_then(joined) {
                        return Ok(body);
                    }
                    return Ok(Bytes::from(dialect.whole(&envelope(), &whole).to_string()));
                }
            }
            Step::Failed { error, .. } => return Err(error),
            Step::Accepted { .. } | Step::Committed(_) | Step::Gave(_) => {}
        }
    }
    Err(Error::Cancelled)
}

/// An error as the vendor would say it, or as it said it: to a caller of the API that it came in.
fn failure(dialect: Dialect, error: &Error, id: ModelCallId) -> Response<Body> {
    let mut response = match error.verbatim() {
        Some((Some(status), body)) => {
            let mut response = whole(Bytes::from(body.to_owned()));
            *response.status_mut() = status;
            response
        }
        _ => {
            let (status, body) = dialect.error(error, &id.to_string());
            json(status, &body)
        }
    };
    head::tell(response.headers_mut(), None, id);
    head::retry(response.headers_mut(), error);
    response
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = whole(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    response
}

/// An answer in one body of JSON.
fn whole(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::Whole(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
