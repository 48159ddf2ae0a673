//! A provider's other endpoints (audio, images, files, stored answers): passed on under the provider's key, the caller's limits
//! and the egress rule. Only those that are known not to call a model with a conversation: what is passed on unread goes by
//! every budget, and vendors add endpoints.

mod endpoints;

use super::{Body, failure, head};
use crate::{
    Awaited, Error, Router,
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
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Until the head of an answer. A batch of images takes its time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Of a caller's headers, those that describe the body and the answer. Everything else stays here.
const FORWARDED: [&str; 7] =
    ["content-type", "accept", "range", "openai-beta", "anthropic-beta", "anthropic-version", "idempotency-key"];

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
        call.deadline = head::deadline_of(&request.headers)?;
        let mut booking = Booking::new(self.inner.clone(), &call, None);
        booking.trace.passes_on(&request.method, &request.path);
        let mut passing = Passing {
            booking,
            begun: Instant::now(),
            candidate: None,
            status: StatusCode::OK,
            idle: self.inner.limits.inter_token,
            due: self.inner.limits.total,
            deadline: None,
            revoked: request.caller.revoked.clone(),
        };
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
        endpoints::check(&method, &path)?;
        self.inner.books.check_route(call, false)?;
        let candidate = Arc::new(Candidate {
            provider: provider.clone(),
            shelf,
            model: Model::new(&name, path.trim_start_matches('/'), location).into(),
            egress,
            why: Cow::Borrowed(""),
            loaded: None,
            is_stopgap: false,
            notice: None,
            // Nobody can tell what such a request costs.
            price: None,
        });
        self.inner.books.check_target(call, &candidate)?;
        passing.booking.hold(call, &candidate, None)?;
        let checkpoint = self.inner.departures(call, &candidate);
        if checkpoint.as_ref().is_some_and(|checkpoint| crate::egress::Checkpoint::redacts(&**checkpoint)) {
            // Placeholders in an answer nobody reads here could not be undone.
            return Err(Error::EgressRefused { route: name });
        }
        let deadline = call.deadline.map(|deadline| passing.begun + deadline);
        let slot = self.inner.slot(&candidate, deadline, &Standing::default()).await?;
        let forward = Forward {
            method,
            path,
            query,
            headers: head::only(&FORWARDED, &headers),
            body,
            checkpoint: checkpoint.clone().map(|checkpoint| checkpoint as Arc<dyn crate::egress::Checkpoint>),
            patience: Patience { headers: PATIENCE },
        };
        let timeouts = self.inner.timeouts(&candidate);
        let limits = &self.inner.limits;
        passing.idle = timeouts.inter_token.unwrap_or(limits.inter_token);
        let total = timeouts.total.unwrap_or(limits.total);
        passing.due = call.deadline.map_or(total, |deadline| deadline.min(total));
        passing.deadline = call.deadline;
        passing.booking.asking(&candidate, &Mode::Fresh, passing.begun);
        passing.candidate = Some(candidate);
        let answer = tokio::select! {
            answer = timeout_at(passing.begun + passing.due, provider.forward(forward)) => {
                answer.unwrap_or_else(|_| Err(passing.overdue()))
            }
            () = call.caller.revoked.cancelled() => Err(Error::revoked()),
        };
        if let (Err(error), Some(checkpoint)) = (&answer, &checkpoint) {
            checkpoint.came_to(error);
        }
        let mut answer = answer?;
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
    /// Between two pieces of the answer.
    idle: Duration,
    /// For all of it, from `begun`.
    due: Duration,
    /// The caller's own limit.
    deadline: Option<Duration>,
    revoked: CancellationToken,
}

impl Passing {
    /// The answer's bytes as they come. Its slot and its record end with them, or with whoever reads them.
    fn watched(self, slot: Slot, body: ByteStream) -> impl Stream<Item = Result<Bytes, Error>> + Send {
        stream::unfold(Some((self, slot, body)), |state| async {
            let (mut passing, slot, mut body) = state?;
            match passing.hear(&mut body).await {
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

    /// The next piece, within every limit.
    async fn hear(&self, body: &mut ByteStream) -> Option<Result<Bytes, Error>> {
        let total = self.begun + self.due;
        tokio::select! {
            biased;
            () = self.revoked.cancelled() => Some(Err(Error::revoked())),
            piece = timeout_at(total.min(Instant::now() + self.idle), body.next()) => match piece {
                Ok(piece) => piece,
                Err(_) if total <= Instant::now() => Some(Err(self.overdue())),
                Err(_) => Some(Err(self.silent(self.idle))),
            },
        }
    }

    fn overdue(&self) -> Error {
        match self.deadline.filter(|deadline| *deadline == self.due) {
            Some(after) => Error::Overdue { after },
            None => self.silent(self.due),
        }
    }

    fn silent(&self, after: Duration) -> Error {
        let provider = self.candidate.as_ref().map(|candidate| candidate.model.provider.clone()).unwrap_or_default();
        Error::TimedOut { provider, awaited: Awaited::NextToken, after }
    }

    fn answered(&mut self) {
        let Some(candidate) = &self.candidate else { return };
        self.booking.heard();
        let (provider, status) = (candidate.model.provider.clone(), self.status);
        if status.is_success() {
            self.booking.trace.answered(candidate, self.begun, Usage::default());
            self.booking.end(Ended::Succeeded);
        } else if status.is_client_error() {
            self.failed(&Error::Refused { provider, message: format!("it answered with status {status}").into() });
        } else {
            self.failed(&Error::Failed { provider, message: format!("it answered with status {status}").into() });
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
