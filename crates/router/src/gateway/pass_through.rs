//! A provider's other endpoints (audio, images, files, batches): passed on by prefix, under the provider's key, the caller's
//! limits and the egress rule.

use super::{Body, failure, head};
use crate::{
    Error, Router,
    admission::{Slot, Standing},
    answer::Usage,
    call::{Call, Caller},
    conversation::Conversation,
    dialect::{Asked, Dialect},
    plan::{Candidate, nothing_left, placed_wrongly},
    providers::{ByteStream, Forward, Patience},
    run::{Booking, Ended, Mode},
};
use bytes::Bytes;
use domain::ModelCallId;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Method, Response, StatusCode};
use protocol::{Egress, Model};
use std::{borrow::Cow, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A batch of images takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Of a caller's headers, those that describe the body and the answer. Everything else stays here.
const FORWARDED: [&str; 9] = [
    "content-type",
    "accept",
    "range",
    "openai-beta",
    "openai-organization",
    "openai-project",
    "anthropic-beta",
    "anthropic-version",
    "idempotency-key",
];

/// A request to one provider's own API.
#[derive(Debug)]
pub struct PassThrough {
    pub id: ModelCallId,
    pub provider: String,
    pub method: Method,
    /// Below the provider's base URL, with a slash.
    pub path: String,
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub caller: Caller,
    pub egress: Egress,
}

impl Router {
    /// The provider's answer, whatever its status.
    pub async fn pass_through(&self, request: PassThrough) -> Response<Body> {
        let id = request.id;
        match self.try_pass_through(request).await {
            Ok(response) => response,
            Err(error) => failure(Dialect::OpenAiChat, &error, id),
        }
    }

    async fn try_pass_through(&self, request: PassThrough) -> Result<Response<Body>, Error> {
        let asked = Asked::own(request.provider.clone(), Conversation::default(), request.body.len());
        let mut call = Call::new(request.id, request.provider.clone(), Arc::new(asked), request.caller.clone());
        call.egress = request.egress;
        let mut booking = Booking::new(self.inner.clone(), &call, None);
        booking.trace.passes_on(&request.method, &request.path);
        let mut passing = Passing { booking, begun: Instant::now(), candidate: None, status: StatusCode::OK };
        match self.pass_on(request, &call, &mut passing).await {
            Ok((slot, answer)) => Ok(answer.map(|body| Body::Stream(Box::pin(passing.watched(slot, body))))),
            Err(error) => {
                passing.failed(&error);
                Err(error)
            }
        }
    }

    /// The provider's answer as it begins.
    async fn pass_on(
        &self,
        request: PassThrough,
        call: &Call,
        passing: &mut Passing,
    ) -> Result<(Slot, Response<ByteStream>), Error> {
        let PassThrough { id, provider: name, method, path, query, headers, body, egress, .. } = request;
        let shelf = self.inner.shelves.iter().position(|shelf| shelf.provider.name() == name).ok_or_else(|| {
            let known: Vec<_> = self.inner.shelves.iter().map(|shelf| shelf.provider.name()).collect();
            Error::UnknownRoute { name: name.clone(), known: known.join(", ") }
        })?;
        let provider = self.inner.shelves[shelf].provider.clone();
        let placement = head::placement_of(&headers)?;
        let location = provider.location();
        if placed_wrongly(location, placement.tightened(egress), placement).is_some() {
            return Err(nothing_left(&name, true, placement));
        }
        if let Some(own) = own_endpoint(&method, &path) {
            let message = format!(
                "`{path}` calls a model, and calls are counted and bounded at this server's own endpoints; ask at `{own}`"
            );
            return Err(Error::NotAllowed { message });
        }
        self.inner.books.check_route(call)?;
        let candidate = Arc::new(Candidate {
            provider: provider.clone(),
            shelf,
            model: Model::new(&name, path.trim_start_matches('/'), location).into(),
            egress,
            why: Cow::Borrowed(""),
            loaded: None,
            notice: None,
            // Nobody can tell what such a request costs.
            price: None,
        });
        self.inner.books.check_target(call, &candidate)?;
        passing.booking.hold(call, &candidate)?;
        let checkpoint = self.inner.departures(call, &candidate);
        if checkpoint.as_ref().is_some_and(|checkpoint| crate::egress::Checkpoint::redacts(&**checkpoint)) {
            // Placeholders in an answer nobody reads here could not be undone.
            return Err(Error::EgressRefused { route: name });
        }
        let slot = self.inner.slot(&candidate, None, &Standing::default()).await?;
        let forward = Forward {
            method,
            path,
            query,
            headers: head::only(&FORWARDED, &headers),
            body,
            checkpoint: checkpoint.map(|checkpoint| checkpoint as Arc<dyn crate::egress::Checkpoint>),
            patience: Patience { headers: PATIENCE },
        };
        passing.booking.asking(&candidate, &Mode::Fresh, passing.begun);
        passing.candidate = Some(candidate);
        let mut answer = provider.forward(forward).await?;
        passing.status = answer.status();
        head::tell(answer.headers_mut(), None, id);
        Ok((slot, answer))
    }
}

/// What is kept of a request while its answer passes.
struct Passing {
    booking: Booking,
    begun: Instant,
    /// Once it was asked.
    candidate: Option<Arc<Candidate>>,
    status: StatusCode,
}

impl Passing {
    /// The answer's bytes as they come. Its slot and its record end with them, or with whoever reads them.
    fn watched(self, slot: Slot, body: ByteStream) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        stream::unfold(Some((self, slot, body)), |state| async {
            let (mut passing, slot, mut body) = state?;
            match body.next().await {
                Some(Ok(bytes)) => Some((Ok(bytes), Some((passing, slot, body)))),
                Some(Err(error)) => {
                    passing.failed(&error);
                    Some((Err(error), None))
                }
                None => {
                    passing.answered();
                    None
                }
            }
        })
    }

    fn answered(&mut self) {
        let Some(candidate) = &self.candidate else { return };
        self.booking.heard();
        let (provider, status) = (candidate.model.provider.clone(), self.status);
        if status.is_success() {
            self.booking.trace.answered(candidate, self.begun, Usage::default());
            self.booking.end(Ended::Succeeded);
        } else if status.is_client_error() {
            self.failed(&Error::Refused { provider, message: format!("it answered with status {status}") });
        } else {
            self.failed(&Error::Failed { provider, message: format!("it answered with status {status}") });
        }
    }

    fn failed(&mut self, error: &Error) {
        self.booking.heard();
        if let Some(candidate) = &self.candidate {
            self.booking.trace.tried_in_vain(candidate, &Mode::Fresh, self.begun, error, None);
        }
        self.booking.end(Ended::Failed(error.clone()));
    }
}

/// Where to ask instead, for what this server has words for: passed on unread, it would go by every budget.
fn own_endpoint(method: &Method, path: &str) -> Option<&'static str> {
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.first() == Some(&"v1") {
        segments.remove(0);
    }
    match (method, segments.join("/").to_ascii_lowercase().as_str()) {
        (&Method::POST, "chat/completions") => Some("/v1/chat/completions"),
        (&Method::POST, "completions") => Some("/v1/completions"),
        (&Method::POST, "responses") => Some("/v1/responses"),
        (&Method::POST, "embeddings") => Some("/v1/embeddings"),
        (&Method::POST, "messages") => Some("/v1/messages"),
        (&Method::POST, "messages/count_tokens") => Some("/v1/messages/count_tokens"),
        _ => None,
    }
}
