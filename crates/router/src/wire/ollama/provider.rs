//! Ollama over its native API.
//!
//! Not its OpenAI-compatible one, which drops the context size and swallows errors inside a stream. Every call to a model
//! carries the same explicit `num_ctx`, because another value makes Ollama load the model anew; `truncate` and `shift` are
//! off, because a prompt that silently lost its beginning is worse than an error.
//!
//! ```text
//!   request ──▶ may it go there? ──▶ /api/show, remembered for a while ──▶ asked in Ollama's own words?
//!                                        │                                   ├ yes: the caller's bytes, a few fields set
//!                                        └ context, thinking, vision, tools  └ no:  a body made from the conversation
//! ```
//! Ollama sends its status line with the first token: the time for headers is that of loading and of reading the prompt.
//!
//! Written after Ollama's API documentation (`docs/api.md` in its repository) and the streams of a real one.

mod context;
mod details;
mod pull;

use super::{
    body as request,
    original::{self, Original},
    reader::{self as stream, Raw},
};
use crate::{
    Awaited, Conversation, Error, Field, Secret,
    dialect::Dialect,
    egress::Checkpoint,
    endpoint::{Endpoint, Request, Scheme, Used, json_headers},
    http::CONNECT_TIMEOUT,
    providers::{
        ChatRequest, ChatStream, EmbedRequest, Embeddings, Loaded, PassedEmbeddings, Patience, Provider, PullStream,
    },
    wire::lenient::Object,
};
use async_trait::async_trait;
use bytes::Bytes;
pub use context::Context;
pub use details::Details;
use details::{Running, Show, Tags, named_as_cloud, tagged};
use futures_util::StreamExt;
use http::Method;
use protocol::{Location, Model, RefusedKey};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// How long what `/api/show` said of a model is believed: long enough for the turns of a loop, short enough to follow a
/// model that was replaced under the same name.
const DETAILS_FRESH: Duration = Duration::from_secs(5);
/// Models whose details are remembered, so that names made up by callers fill no memory.
const REMEMBERED: usize = 1024;
/// Listings and `/api/show` read small files; a server that takes longer is stuck.
const LISTING_TIMEOUT: Duration = Duration::from_secs(5);
/// `/api/ps` reads memory. Whoever waits for it could be answering.
const LOADED_TIMEOUT: Duration = Duration::from_secs(1);
/// Deleting unlinks files, of which a large model has many gigabytes.
const DELETE_TIMEOUT: Duration = Duration::from_secs(30);
/// Before the first line of a download stands only looking up the model's name.
const PULL_TIMEOUT: Duration = Duration::from_secs(60);
/// Models asked about at once when listing.
const CONCURRENT_SHOWS: usize = 8;
const NDJSON: &str = "application/x-ndjson";

#[derive(Clone, Debug)]
pub struct Options {
    /// How routes call it.
    pub name: String,
    /// Without `/api`: `http://127.0.0.1:11434`.
    pub base_url: String,
    /// Where that address lies. Models that Ollama itself would run in its cloud count as cloud whatever this says.
    pub location: Location,
    /// For an Ollama behind something that asks for a key; used in turn.
    pub api_keys: Vec<Secret>,
    /// `num_ctx` for models that were made for at least as much.
    pub context: Context,
    /// `num_ctx` of single models, by name.
    pub context_tokens_of: BTreeMap<String, u64>,
    /// How long a model stays loaded after an answer: longer than a tool call takes.
    pub keep_alive: Duration,
    pub connect_timeout: Duration,
    /// Whether models go on with an answer that was begun. `None`: as their templates tell.
    pub prefill: Option<bool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "ollama".to_owned(),
            base_url: "http://127.0.0.1:11434".to_owned(),
            location: Location::Local,
            api_keys: Vec::new(),
            context: Context::default(),
            context_tokens_of: BTreeMap::new(),
            keep_alive: Duration::from_secs(30 * 60),
            connect_timeout: CONNECT_TIMEOUT,
            prefill: None,
        }
    }
}

/// What every request to one model carries alike.
pub(crate) struct Settings<'a> {
    pub(crate) provider: &'a str,
    pub(crate) context_tokens: u64,
    pub(crate) keep_alive: Duration,
}

impl Settings<'_> {
    pub(crate) fn keep_alive(&self) -> String {
        format!("{}s", self.keep_alive.as_secs())
    }
}

/// A running Ollama.
pub struct Ollama {
    options: Options,
    endpoint: Arc<Endpoint>,
    /// Also of models that were asked about long ago: what a model can do seldom changes.
    details: Mutex<HashMap<String, (Instant, Details)>>,
}

impl Ollama {
    /// Does not connect.
    ///
    /// # Errors
    /// [`Error::Configuration`] when the base URL or a key cannot be used.
    pub fn new(mut options: Options) -> Result<Self, Error> {
        let keys = std::mem::take(&mut options.api_keys);
        let endpoint = Endpoint::new(
            &options.name,
            &options.base_url,
            options.location,
            options.connect_timeout,
            Scheme::Bearer,
            keys,
        )?;
        options.context_tokens_of =
            options.context_tokens_of.into_iter().map(|(name, tokens)| (tagged(&name), tokens)).collect();
        Ok(Self { options, endpoint: Arc::new(endpoint), details: Mutex::default() })
    }

    /// What a model is made for, as `/api/show` tells; remembered for a few seconds.
    ///
    /// # Errors
    /// As the server's answer, or [`Error::TimedOut`].
    pub async fn details(&self, model: &str) -> Result<Details, Error> {
        let name = tagged(model);
        if let Some((at, details)) = self.remembered(&name)
            && at.elapsed() < DETAILS_FRESH
        {
            return Ok(details);
        }
        let body = json!({"model": model});
        let asking = self.ask::<Show>(Method::POST, "/api/show", &body, model, LISTING_TIMEOUT);
        let details = Details::from(self.within(LISTING_TIMEOUT, asking).await?);
        let mut known = self.details.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, (at, _)| at.elapsed() < DETAILS_FRESH);
        }
        if known.len() < REMEMBERED {
            known.insert(name, (Instant::now(), details.clone()));
        }
        Ok(details)
    }

    fn remembered(&self, name: &str) -> Option<(Instant, Details)> {
        self.details.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// The one `num_ctx` of a model: what is configured for it, or the general setting, never more than it was made for.
    fn settings(&self, model: &str, details: &Details) -> Settings<'_> {
        let of_it = self.options.context_tokens_of.get(&tagged(model)).copied();
        let configured = of_it.unwrap_or_else(|| self.options.context.tokens(details));
        let context_tokens = details.context_tokens.map_or(configured, |trained| configured.min(trained));
        Settings { provider: &self.options.name, context_tokens, keep_alive: self.options.keep_alive }
    }

    fn location_of(&self, model: &str, remote: bool) -> Location {
        if remote || named_as_cloud(model) { Location::Cloud } else { self.options.location }
    }

    /// Where the model runs and what it can do, unless its prompts would leave without a checkpoint: then the server does
    /// not even hear of it, where the name tells.
    async fn cleared(
        &self,
        model: &str,
        checkpoint: Option<&Arc<dyn Checkpoint>>,
    ) -> Result<(Details, Location), Error> {
        let check = |location| match (location, checkpoint) {
            (Location::Cloud, None) => Err(Error::EgressRefused { route: format!("{}/{model}", self.options.name) }),
            _ => Ok(location),
        };
        check(self.location_of(model, false))?;
        let details = self.details(model).await?;
        let location = check(self.location_of(model, details.remote))?;
        Ok((details, location))
    }

    /// Something that holds nothing of a caller's but a model's name.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
        model: &str,
        headers: Duration,
    ) -> Result<T, Error> {
        let body = self.endpoint.whole(self.plain(method, path, body, model, headers)).await?;
        // Deleting says nothing.
        let body = if body.is_empty() { Bytes::from_static(b"null") } else { body };
        serde_json::from_slice(&body).map_err(|error| self.endpoint.malformed(&format!("{error} in its answer")))
    }

    fn plain<'a>(&self, method: Method, path: &'a str, body: &Value, model: &'a str, headers: Duration) -> Request<'a> {
        Request {
            method,
            path,
            headers: json_headers("application/json"),
            body: Bytes::from(body.to_string()),
            model,
            checkpoint: nothing_of_the_callers(),
            location: Location::Local,
            patience: Patience { headers },
            trace: None,
            used: None,
            refusals: None,
        }
    }

    async fn within<T>(&self, limit: Duration, asking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        timeout(limit, asking).await.unwrap_or_else(|_| {
            Err(Error::TimedOut { provider: self.options.name.clone(), awaited: Awaited::Listing, after: limit })
        })
    }

    fn model(&self, tag: details::Tag, details: Result<Details, Error>) -> Option<Model> {
        let remote = tag.remote_host.as_deref().is_some_and(|host| !host.is_empty());
        // A model whose details cannot be read is listed without them, and not offered for use.
        let (details, notice) = match details {
            Ok(details) => (details, None),
            Err(error) => (Details::default(), Some(format!("its details cannot be read: {error}"))),
        };
        (details.chats || details.embeds).then(|| Model {
            chats: details.chats,
            embeds: details.embeds,
            vision: details.vision != Some(false),
            context_tokens: notice.is_none().then(|| self.settings(&tag.name, &details).context_tokens),
            native_tools: details.tools,
            structured_output: notice.is_none() && details.chats,
            available: notice.is_none(),
            digest: tag.digest,
            architecture: tag.details.family.filter(|family| !family.is_empty()),
            size_bytes: tag.size,
            notice,
            ..Model::new(&self.options.name, &tag.name, self.location_of(&tag.name, remote || details.remote))
        })
    }

    async fn embedded(&self, body: Bytes, request: &EmbedRequest, location: Location) -> Result<Bytes, Error> {
        let used = Used::default();
        self.endpoint.whole(request.sent("/api/embed", body, location, &used)).await
    }

    async fn answer(&self, request: &ChatRequest, used: &Used) -> Result<ChatStream, Error> {
        let (details, location) = self.cleared(&request.model, request.checkpoint.as_ref()).await?;
        let (path, original, same_dialect) = self.body(request, &details)?;
        let raw = match request.checkpoint.as_ref() {
            // Placeholders must be put back first.
            Some(checkpoint) if location == Location::Cloud && checkpoint.redacts() => Raw::Withheld,
            _ if !same_dialect => Raw::Withheld,
            _ if original.logprobs => Raw::AsTheyAre,
            _ => Raw::WithoutLogprobs,
        };
        let only_loads = original.only_loads;
        let sent = request.sent(path, json_headers(NDJSON), original.body, location, used);
        let body = if only_loads {
            // Answered with one body, whatever was asked for.
            let body = self.endpoint.whole(sent).await?;
            Box::pin(futures_util::stream::iter([Ok(body)]))
        } else {
            self.endpoint.stream(sent, NDJSON).await?
        };
        Ok(stream::decode(self.endpoint.clone(), &request.model, body, raw, &request.asked.peek.model))
    }

    /// What is sent for a chat, and where to.
    fn body(&self, request: &ChatRequest, details: &Details) -> Result<(&'static str, Original, bool), Error> {
        let settings = self.settings(&request.model, details);
        let native =
            [(Dialect::OllamaChat, "/api/chat", "messages"), (Dialect::OllamaGenerate, "/api/generate", "prompt")];
        for (dialect, path, prompt) in native {
            if let Some(body) = request.original(dialect) {
                if request.asked.peek.has_images {
                    // Ollama would leave the images out without a word.
                    request::can_look(&request.model, details, &settings)?;
                }
                let original = original::merged(body, &request.model, &request.edits, details, &settings, prompt)?;
                return Ok((path, original, true));
            }
        }
        let conversation = request.conversation()?;
        let body = request::body(&conversation, &request.model, details, &settings)?;
        let original = Original {
            body: Bytes::from(body.to_string()),
            logprobs: false,
            only_loads: conversation.messages.is_empty(),
        };
        Ok(("/api/chat", original, request.asked.dialect == Dialect::OllamaChat))
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

    fn refused_keys(&self) -> Vec<RefusedKey> {
        self.endpoint.refused_keys()
    }

    fn server(&self) -> Option<(&str, u16)> {
        self.endpoint.server()
    }

    async fn models(&self) -> Result<Vec<Model>, Error> {
        let asking = self.endpoint.get::<Tags>("/api/tags", Patience { headers: LISTING_TIMEOUT });
        let tags = self.within(LISTING_TIMEOUT, asking).await?;
        let models = futures_util::stream::iter(tags.models).map(async |tag| {
            let details = self.details(&tag.name).await;
            self.model(tag, details)
        });
        Ok(models.buffered(CONCURRENT_SHOWS).filter_map(std::future::ready).collect().await)
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, Error> {
        let used = Used::default();
        let answer = self.answer(&request, &used).await;
        self.endpoint.heeding(used, answer)
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        matches!(dialect, Dialect::OllamaChat | Dialect::OllamaGenerate)
    }

    /// Of a model that was never listed or asked, nothing is known: `false`.
    fn continues_prefill(&self, model: &str) -> bool {
        let known = || self.remembered(&tagged(model)).is_some_and(|(_, details)| details.continues);
        self.options.prefill.unwrap_or_else(known)
    }

    fn not_carried(&self, model: &str, conversation: &Conversation) -> Vec<Field> {
        let known = self.remembered(&tagged(model));
        request::not_carried(conversation, known.as_ref().map(|(_, details)| details))
    }

    async fn loaded(&self) -> Option<Vec<Loaded>> {
        let asking = self.endpoint.get::<Running>("/api/ps", Patience { headers: LOADED_TIMEOUT });
        Some(self.within(LOADED_TIMEOUT, asking).await.ok()?.loaded())
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, Error> {
        #[derive(Deserialize)]
        struct Answer {
            embeddings: Vec<Vec<f32>>,
            prompt_eval_count: Option<u64>,
        }
        if request.input.is_empty() {
            return Ok(Embeddings { vectors: Vec::new(), input_tokens: 0 });
        }
        let (details, location) = self.cleared(&request.model, request.checkpoint.as_ref()).await?;
        let settings = self.settings(&request.model, &details);
        let mut body = json!({
            "model": request.model,
            "input": request.input,
            "truncate": false,
            "keep_alive": settings.keep_alive(),
            "options": {"num_ctx": settings.context_tokens},
        });
        if let Some(dimensions) = request.dimensions {
            body["dimensions"] = json!(dimensions);
        }
        let answer = self.embedded(body.to_string().into(), &request, location).await?;
        let answer: Answer = serde_json::from_slice(&answer)
            .map_err(|error| self.endpoint.malformed(&format!("{error} in its embeddings")))?;
        let (asked, got) = (request.input.len(), answer.embeddings.len());
        if got != asked {
            return Err(self.endpoint.malformed(&format!("{got} embeddings for {asked} texts")));
        }
        let length = answer.embeddings.first().map_or(0, Vec::len);
        if length == 0 || answer.embeddings.iter().any(|vector| vector.len() != length) {
            return Err(self.endpoint.malformed("embeddings of no or of different lengths"));
        }
        Ok(Embeddings { vectors: answer.embeddings, input_tokens: answer.prompt_eval_count.unwrap_or(0) })
    }

    async fn embed_as_asked(
        &self,
        dialect: Dialect,
        body: &Bytes,
        request: &EmbedRequest,
    ) -> Option<Result<PassedEmbeddings, Error>> {
        // Without texts nothing is asked of anybody.
        if dialect != Dialect::OllamaChat || request.input.is_empty() {
            return None;
        }
        let passed = async {
            let (details, location) = self.cleared(&request.model, request.checkpoint.as_ref()).await?;
            let body = original::embedding(body, &request.model, &self.settings(&request.model, &details))?;
            let answer = self.embedded(body, request, location).await?;
            let input_tokens = {
                let object = Object::of(&answer).map_err(|message| self.endpoint.malformed(&message))?;
                let fields = object.fields();
                let (got, asked) = (fields.list("embeddings").len(), request.input.len());
                if got != asked {
                    return Err(self.endpoint.malformed(&format!("{got} embeddings for {asked} texts")));
                }
                fields.count("prompt_eval_count").unwrap_or(0)
            };
            Ok(PassedEmbeddings { body: answer, input_tokens })
        };
        Some(passed.await)
    }

    async fn pull(&self, model: &str) -> Result<PullStream, Error> {
        let body = json!({"model": model, "stream": true});
        let request = self.plain(Method::POST, "/api/pull", &body, model, PULL_TIMEOUT);
        let body = self.endpoint.stream(request, NDJSON).await?;
        Ok(pull::decode(self.endpoint.clone(), model, body))
    }

    async fn delete(&self, model: &str) -> Result<(), Error> {
        let body = json!({"model": model});
        let asking = self.ask::<Value>(Method::DELETE, "/api/delete", &body, model, DELETE_TIMEOUT);
        self.within(DELETE_TIMEOUT, asking).await?;
        self.details.lock().unwrap_or_else(PoisonError::into_inner).remove(&tagged(model));
        Ok(())
    }
}

/// For requests that hold a model's name and nothing else: an Ollama in the cloud may be asked what it has.
fn nothing_of_the_callers() -> Option<&'static Arc<dyn Checkpoint>> {
    #[derive(Debug)]
    struct Passes;
    #[async_trait]
    impl Checkpoint for Passes {
        async fn clear(&self, body: Bytes) -> Result<Bytes, Error> {
            Ok(body)
        }
        fn redacts(&self) -> bool {
            false
        }
    }
    static PASSES: std::sync::LazyLock<Arc<dyn Checkpoint>> = std::sync::LazyLock::new(|| Arc::new(Passes));
    Some(&PASSES)
}

/// The decoder, for fuzzing.
#[cfg(fuzzing)]
pub(crate) fn decoder(body: ByteStream) -> ChatStream {
    let timeout = Duration::from_secs(1);
    let endpoint = Endpoint::new("ollama", "http://127.0.0.1:9", Location::Local, timeout, Scheme::Bearer, Vec::new());
    let endpoint = endpoint.unwrap_or_else(|error| unreachable!("an address without a key is an endpoint: {error}"));
    stream::decode(std::sync::Arc::new(endpoint), "m", body, Raw::AsTheyAre, "m")
}
