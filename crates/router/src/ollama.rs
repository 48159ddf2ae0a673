//! Ollama over its native API.
//!
//! Not its OpenAI-compatible one, which drops the context size and swallows errors inside a stream. Every call to a model
//! carries the same explicit `num_ctx`, because another value makes Ollama load the model anew; `truncate` and `shift` are
//! off, because a prompt that silently lost its beginning is worse than an error.
//!
//! Written after Ollama's API documentation (`docs/api.md` in its repository).

mod listing;
mod request;
mod stream;

use crate::{
    Awaited, ChatRequest, ChatStream, Error, Provider,
    http::{CONNECT_TIMEOUT, Endpoint},
    provider::until_cancelled,
};
use async_trait::async_trait;
use futures_util::StreamExt;
use listing::{Details, Show, Tags};
use protocol::{Egress, Location, Model};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long what `/api/show` said of a model is believed: long enough for the turns of a loop, short enough to follow a
/// model that was replaced under the same name.
const DETAILS_FRESH: Duration = Duration::from_secs(5);
/// `/api/show` reads a file's header; a server that takes longer is stuck.
const SHOW_TIMEOUT: Duration = Duration::from_secs(5);
/// Models asked about at once when listing.
const CONCURRENT_SHOWS: usize = 8;

#[derive(Clone, Debug)]
pub struct Options {
    /// How routes call it.
    pub name: String,
    /// Without `/api`: `http://127.0.0.1:11434`.
    pub base_url: String,
    /// Where that address lies. Models that Ollama itself would run in its cloud count as cloud whatever this says.
    pub location: Location,
    /// `num_ctx` for models that have at least as much. More costs memory for every loaded model (about 2 GiB at 16,384
    /// tokens for a model of 7 billion parameters), less leaves no room for an agent's turns.
    pub context_tokens: u64,
    /// `num_ctx` of single models, by name.
    pub context_tokens_of: BTreeMap<String, u64>,
    /// How long a model stays loaded after an answer: longer than a tool call takes.
    pub keep_alive: Duration,
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "ollama".to_owned(),
            base_url: "http://127.0.0.1:11434".to_owned(),
            location: Location::Local,
            context_tokens: 16_384,
            context_tokens_of: BTreeMap::new(),
            keep_alive: Duration::from_secs(30 * 60),
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// A running Ollama.
pub struct Ollama {
    options: Options,
    endpoint: Endpoint,
    details: Mutex<HashMap<String, (Instant, Details)>>,
}

impl Ollama {
    /// Does not connect.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the base URL cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        let endpoint =
            Endpoint::new(&options.name, &options.base_url, options.location, options.connect_timeout, None)?;
        Ok(Self { options, endpoint, details: Mutex::default() })
    }

    /// The one `num_ctx` of a model: what is configured for it, or the general setting, never more than it was made for.
    fn context_tokens(&self, model: &str, details: &Details) -> u64 {
        let configured = self.options.context_tokens_of.get(model).copied().unwrap_or(self.options.context_tokens);
        details.context_tokens.map_or(configured, |trained| configured.min(trained))
    }

    async fn details(&self, model: &str) -> Result<Details, Error> {
        let known = self.details.lock().unwrap_or_else(PoisonError::into_inner).get(model).cloned();
        if let Some((at, details)) = known
            && at.elapsed() < DETAILS_FRESH
        {
            return Ok(details);
        }
        let body = json!({"model": model});
        let asking = self.endpoint.post::<Show>("/api/show", &body, model);
        let show = timeout(SHOW_TIMEOUT, asking).await.map_err(|_| Error::TimedOut {
            provider: self.options.name.clone(),
            awaited: Awaited::Listing,
            after: SHOW_TIMEOUT,
        })??;
        let details = Details::from(show);
        let mut known = self.details.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, (at, _)| at.elapsed() < DETAILS_FRESH);
        known.insert(model.to_owned(), (Instant::now(), details.clone()));
        Ok(details)
    }

    fn location_of(&self, model: &str, remote: bool) -> Location {
        if remote || listing::named_as_cloud(model) { Location::Cloud } else { self.options.location }
    }
}

#[async_trait]
impl Provider for Ollama {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn location(&self) -> Location {
        self.options.location
    }

    async fn models(&self) -> Result<Vec<Model>, Error> {
        let tags: Tags = self.endpoint.get("/api/tags").await?;
        let models = futures_util::stream::iter(tags.models).map(async |tag| {
            // A model whose details cannot be read is listed without them, and not offered for use.
            let details = self.details(&tag.name).await;
            let remote = tag.remote_host.as_deref().is_some_and(|host| !host.is_empty());
            let (details, notice) = match details {
                Ok(details) => (details, None),
                Err(error) => (Details::default(), Some(format!("its details cannot be read: {error}"))),
            };
            details.chats.then(|| Model {
                id: format!("{}/{}", self.options.name, tag.name),
                provider: self.options.name.clone(),
                location: self.location_of(&tag.name, remote || details.remote),
                context_tokens: notice.is_none().then(|| self.context_tokens(&tag.name, &details)),
                native_tools: details.tools,
                structured_output: notice.is_none(),
                available: notice.is_none(),
                digest: tag.digest,
                size_bytes: tag.size,
                notice,
                name: tag.name,
            })
        });
        Ok(models.buffered(CONCURRENT_SHOWS).filter_map(std::future::ready).collect().await)
    }

    async fn chat(&self, request: ChatRequest, cancel: CancellationToken) -> Result<ChatStream, Error> {
        let starting = async {
            if request.egress == Egress::LocalOnly && self.location_of(&request.model, false) == Location::Cloud {
                return Err(Error::EgressRefused { route: format!("{}/{}", self.options.name, request.model) });
            }
            let details = self.details(&request.model).await?;
            let location = self.location_of(&request.model, details.remote);
            if request.egress == Egress::LocalOnly && location == Location::Cloud {
                return Err(Error::EgressRefused { route: format!("{}/{}", self.options.name, request.model) });
            }
            let context_tokens = self.context_tokens(&request.model, &details);
            let body = request::body(&request, context_tokens, self.options.keep_alive, details.remote);
            let bytes = self.endpoint.stream("/api/chat", &body, &request.model, "application/x-ndjson").await?;
            Ok(stream::decode(&self.options.name, &request.model, bytes))
        };
        until_cancelled(starting, cancel).await
    }
}
