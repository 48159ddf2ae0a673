//! A provider's other endpoints (audio, images, files, batches): passed on by prefix, under the provider's key, the caller's
//! limits and the egress rule.

use super::{Body, failure, head};
use crate::{
    Error, Router,
    accounts::Spent,
    call::{Call, Caller},
    conversation::Conversation,
    dialect::{Asked, Dialect},
    plan::{Candidate, nothing_left, placed_wrongly},
    providers::{Forward, Patience},
};
use bytes::Bytes;
use domain::ModelCallId;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, Method, Response};
use protocol::{Egress, Model};
use std::{sync::Arc, time::Duration};

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
        let PassThrough { id, provider: name, method, path, query, headers, body, caller, egress } = request;
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
        let asked = Asked::own(format!("{name}{path}"), Conversation::default(), body.len());
        let mut call = Call::new(id, name.clone(), Arc::new(asked), caller);
        call.egress = egress;
        self.inner.books.check_route(&call)?;
        let candidate = Candidate {
            provider: provider.clone(),
            shelf,
            model: Model::new(&name, path.trim_start_matches('/'), location),
            egress,
            why: String::new(),
            loaded: None,
            notice: None,
            // Nobody can tell what such a request costs.
            price: None,
        };
        self.inner.books.check_target(&call, &candidate)?;
        let reservation = self.inner.books.reserve(&call, &candidate)?;
        let checkpoint = self.inner.departures(&call, &candidate);
        if checkpoint.as_ref().is_some_and(|checkpoint| crate::egress::Checkpoint::redacts(&**checkpoint)) {
            // Placeholders in an answer nobody reads here could not be undone.
            return Err(Error::EgressRefused { route: name });
        }
        let mut kept = HeaderMap::new();
        for header in FORWARDED {
            for value in headers.get_all(header) {
                kept.append(HeaderName::from_static(header), value.clone());
            }
        }
        let slot = self.inner.slot(&candidate).await?;
        let forward = Forward {
            method,
            path,
            query,
            headers: kept,
            body,
            checkpoint: checkpoint.map(|checkpoint| checkpoint as Arc<dyn crate::egress::Checkpoint>),
            patience: Patience { headers: PATIENCE },
        };
        reservation.settle(Spent::default());
        let (mut parts, stream) = provider.forward(forward).await?.into_parts();
        // A body that breaks off ends here too; its length, where it was told, shows that.
        let stream = stream.scan(slot, |_slot, bytes| std::future::ready(bytes.ok()));
        head::tell(&mut parts.headers, None, id);
        Ok(Response::from_parts(parts, Body::Stream(Box::pin(stream))))
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
