//! Whatever speaks OpenAI's chat-completions API: OpenAI, vLLM, llama.cpp, LM Studio, OpenRouter and their like.
//!
//! Written after OpenAI's published API reference. Servers differ at the edges; what is tolerated, and what is not, stands
//! beside the code that does it.

mod request;
mod stream;
mod tool_calls;

use crate::{
    ChatRequest, ChatStream, Error, Provider, Secret,
    http::{CONNECT_TIMEOUT, Endpoint},
    provider::until_cancelled,
};
use async_trait::async_trait;
use protocol::{Egress, Location, Model};
use serde::Deserialize;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

#[derive(Clone, Debug)]
pub struct Options {
    /// How routes call it.
    pub name: String,
    /// With the version: `https://api.openai.com/v1`, `http://127.0.0.1:8000/v1`.
    pub base_url: String,
    pub location: Location,
    pub api_key: Option<Secret>,
    /// `/models` tells names and nothing else, so what is known of models stands here. Models that are named here and not
    /// listed by the server are offered all the same.
    pub models: Vec<ModelOptions>,
    pub output_limit: OutputLimit,
    pub connect_timeout: Duration,
}

/// What a person knows of a model.
#[derive(Clone, Debug)]
pub struct ModelOptions {
    pub name: String,
    pub context_tokens: Option<u64>,
    pub native_tools: bool,
    pub structured_output: bool,
}

/// How the server calls the limit on output tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputLimit {
    /// `max_tokens`: what every compatible server knows.
    #[default]
    MaxTokens,
    /// `max_completion_tokens`: what OpenAI's reasoning models insist on.
    MaxCompletionTokens,
}

impl Options {
    /// A server with tools and structured output at its defaults.
    pub fn new(name: impl Into<String>, base_url: impl Into<String>, location: Location) -> Self {
        let base_url = base_url.into();
        let output_limit = if base_url.starts_with("https://api.openai.com/") {
            OutputLimit::MaxCompletionTokens
        } else {
            OutputLimit::MaxTokens
        };
        Self {
            name: name.into(),
            base_url,
            location,
            api_key: None,
            models: Vec::new(),
            output_limit,
            connect_timeout: CONNECT_TIMEOUT,
        }
    }
}

/// One server.
pub struct OpenAi {
    options: Options,
    endpoint: Endpoint,
    /// An answer came without token counts.
    silent_on_usage: Arc<AtomicBool>,
}

#[derive(Deserialize)]
struct Listing {
    data: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    id: String,
    /// vLLM tells its window.
    max_model_len: Option<u64>,
    /// OpenRouter and LM Studio tell theirs.
    context_length: Option<u64>,
}

impl OpenAi {
    /// Does not connect.
    ///
    /// # Errors
    /// [`Error::Configuration`] when base URL or key cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        let endpoint = Endpoint::new(
            &options.name,
            &options.base_url,
            options.location,
            options.connect_timeout,
            options.api_key.clone(),
        )?;
        Ok(Self { options, endpoint, silent_on_usage: Arc::default() })
    }

    fn model(&self, listed: &Listed) -> Model {
        let known = self.options.models.iter().find(|known| known.name == listed.id);
        Model {
            id: format!("{}/{}", self.options.name, listed.id),
            provider: self.options.name.clone(),
            name: listed.id.clone(),
            location: self.options.location,
            context_tokens: known
                .and_then(|known| known.context_tokens)
                .or(listed.max_model_len)
                .or(listed.context_length),
            native_tools: known.is_none_or(|known| known.native_tools),
            structured_output: known.is_none_or(|known| known.structured_output),
            available: true,
            digest: None,
            size_bytes: None,
            notice: self
                .silent_on_usage
                .load(Ordering::Relaxed)
                .then(|| "the server does not report token counts: they are recorded as 0".to_owned()),
        }
    }
}

#[async_trait]
impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn location(&self) -> Location {
        self.options.location
    }

    async fn models(&self) -> Result<Vec<Model>, Error> {
        let mut listed = self.endpoint.get::<Listing>("/models").await.map_or_else(
            // Some servers list nothing; then what is configured is all there is.
            |error| if self.options.models.is_empty() { Err(error) } else { unlisted(error) },
            |listing| Ok(listing.data),
        )?;
        for known in &self.options.models {
            if !listed.iter().any(|listed| listed.id == known.name) {
                listed.push(Listed { id: known.name.clone(), max_model_len: None, context_length: None });
            }
        }
        Ok(listed.iter().map(|listed| self.model(listed)).collect())
    }

    async fn chat(&self, request: ChatRequest, cancel: CancellationToken) -> Result<ChatStream, Error> {
        let starting = async {
            if request.egress == Egress::LocalOnly && self.options.location == Location::Cloud {
                return Err(Error::EgressRefused { route: format!("{}/{}", self.options.name, request.model) });
            }
            let body = request::body(&request, self.options.output_limit);
            let bytes = self.endpoint.stream("/chat/completions", &body, &request.model, "text/event-stream").await?;
            let silent = self.silent_on_usage.clone();
            let secret = self.options.api_key.clone();
            Ok(stream::decode(&self.options.name, &request.model, bytes, silent, secret))
        };
        until_cancelled(starting, cancel).await
    }
}

/// A server that answers, and has no listing, is not a dead one.
fn unlisted(error: Error) -> Result<Vec<Listed>, Error> {
    match &error {
        Error::Unavailable { message, .. } if message.ends_with("(HTTP 404)") || message == "HTTP 404" => {
            Ok(Vec::new())
        }
        Error::Refused { .. } | Error::Malformed { .. } => Ok(Vec::new()),
        _ => Err(error),
    }
}
