//! Anthropic's Messages API, and servers that speak it.
//!
//! ```text
//!   the caller speaks it, too ─▶ its own bytes under another model's name ─┐
//!   everything else ─▶ Conversation ─▶ body ───────────────────────────────┴─▶ /v1/messages ─▶ decoder ─▶ frames
//! ```
//! Written after the published API reference. What is tolerated, and what is not, stands beside the code that does it.

pub(crate) mod came;
pub(crate) mod capabilities;
pub(crate) mod failures;
mod listing;

use super::{
    body,
    reader::{Manner, MessagesReader},
    sealed,
};
use crate::{
    Conversation, Error, Field, Secret,
    dialect::Dialect,
    endpoint::{Endpoint, Scheme, Used, json_headers},
    http::CONNECT_TIMEOUT,
    json_object::Fields,
    providers::{ByteStream, ChatRequest, ChatStream, Forward, Provider},
    wire::openai::provider::Origin,
};
use async_trait::async_trait;
use bytes::Bytes;
use capabilities::Capabilities;
pub use capabilities::ThinkingStyle;
use http::{HeaderMap, HeaderName, HeaderValue};
use protocol::{Location, Model, RefusedKey};
use serde::Deserialize;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

const MESSAGES: &str = "/v1/messages";
const COUNT_TOKENS: &str = "/v1/messages/count_tokens";
const VERSION: HeaderName = HeaderName::from_static("anthropic-version");

/// What the vendor's client libraries send.
const DEFAULT_VERSION: &str = "2023-06-01";
/// The vendor demands a limit; this is the largest one that all its models of the last years accept.
const DEFAULT_MAX_TOKENS: u32 = 8192;

#[derive(Clone, Debug)]
pub struct Options {
    pub name: String,
    /// Without `/v1`.
    pub base_url: String,
    pub location: Location,
    /// Used in turn. None for servers that want none.
    pub api_keys: Vec<Secret>,
    /// Of the API, where a caller does not name one: the header `anthropic-version`.
    pub version: String,
    /// What is known of models beyond what their names tell; also the listing of a server that has none.
    pub models: Vec<ModelOptions>,
    /// The limit of an answer where the caller sets none.
    pub default_max_tokens: u32,
    pub connect_timeout: Duration,
    /// Whether models of which nothing else is known here go on with an answer that was begun. `None`: as their names tell.
    pub prefill: Option<bool>,
}

#[derive(Clone, Debug, Default)]
pub struct ModelOptions {
    pub name: String,
    pub context_tokens: Option<u64>,
    /// The limit of an answer where the caller sets none.
    pub max_output_tokens: Option<u32>,
    /// Whether it goes on with an answer that the conversation ends with. `None`: as its server.
    pub prefill: Option<bool>,
    /// `None`: what its name tells.
    pub thinking: Option<ThinkingStyle>,
}

impl Options {
    /// The vendor itself.
    pub fn new(name: impl Into<String>, api_keys: Vec<Secret>) -> Self {
        Self {
            name: name.into(),
            base_url: "https://api.anthropic.com".to_owned(),
            location: Location::Cloud,
            api_keys,
            version: DEFAULT_VERSION.to_owned(),
            models: Vec::new(),
            default_max_tokens: DEFAULT_MAX_TOKENS,
            connect_timeout: CONNECT_TIMEOUT,
            prefill: None,
        }
    }
}

pub struct Anthropic {
    options: Options,
    version: HeaderValue,
    endpoint: Arc<Endpoint>,
    /// What the last listing told, by model.
    told: RwLock<HashMap<String, Capabilities>>,
}

impl Anthropic {
    /// Does not connect.
    ///
    /// # Errors
    /// [`Error::Configuration`] when base URL, version or a key cannot be used.
    pub fn new(options: Options) -> Result<Self, Error> {
        let version = HeaderValue::from_str(&options.version).map_err(|_| {
            let (name, version) = (&options.name, &options.version);
            Error::Configuration(vec![format!(
                "provider `{name}`: its version `{version}` is nothing a header can carry"
            )])
        })?;
        // People copy it from other clients' settings, which end in either way.
        let base_url = options.base_url.trim_end_matches('/');
        let endpoint = Endpoint::new(
            &options.name,
            base_url.strip_suffix("/v1").unwrap_or(base_url),
            options.location,
            options.connect_timeout,
            Scheme::ApiKey,
            options.api_keys.clone(),
        )?;
        Ok(Self { version, endpoint: Arc::new(endpoint), options, told: RwLock::default() })
    }

    fn known(&self, model: &str) -> Option<&ModelOptions> {
        self.options.models.iter().find(|known| known.name == model)
    }

    fn capabilities(&self, model: &str) -> Capabilities {
        let told = self.told.read().unwrap_or_else(PoisonError::into_inner).get(model).copied();
        let mut capabilities = told.unwrap_or_else(|| capabilities::of(model));
        capabilities.prefill = self.options.prefill.unwrap_or(capabilities.prefill);
        if let Some(known) = self.known(model) {
            capabilities.prefill = known.prefill.unwrap_or(capabilities.prefill);
            capabilities.thinking = known.thinking.unwrap_or(capabilities.thinking);
        }
        capabilities
    }

    fn limits(&self, model: &str) -> body::Limits {
        let known = self.known(model).and_then(|known| known.max_output_tokens);
        body::Limits {
            capabilities: self.capabilities(model),
            default_max_tokens: known.unwrap_or(self.options.default_max_tokens),
        }
    }

    fn headers(&self, request: &ChatRequest, accept: &'static str) -> HeaderMap {
        let mut headers = json_headers(accept);
        headers.insert(VERSION, self.version.clone());
        if request.asked.dialect == Dialect::Anthropic {
            // What comes in several lines is one list, and takes the place of ours.
            for name in request.asked.headers.keys().filter(|name| name.as_str().starts_with("anthropic-")) {
                headers.remove(name);
                for value in request.asked.headers.get_all(name) {
                    headers.append(name, value.clone());
                }
            }
        }
        headers
    }

    /// The body, whether it asks for a stream, and how its answer is to be read.
    fn body(&self, request: &ChatRequest) -> Result<(Bytes, bool, Manner), Error> {
        if let Some(original) = request.original(Dialect::Anthropic) {
            let redacts = request.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.redacts());
            let passes_as = (!redacts).then(|| request.asked.peek.model.clone());
            let fields = Fields::of(original)?;
            let model = serde_json::Value::from(request.model.as_str()).to_string();
            let mut changes = vec![("model", model.as_str())];
            if request.asked.peek.stream != request.stream {
                changes.push(("stream", if request.stream { "true" } else { "false" }));
            }
            let edits = request.edits.named("max_tokens", "temperature");
            changes.extend(edits.iter().map(|(name, json)| (*name, json.as_str())));
            let sealed = sealed::changes(&fields);
            changes.extend(sealed.iter().map(|(name, json)| (*name, json.as_str())));
            return Ok((fields.with(&changes), request.stream, Manner { passes_as, held_back: String::new() }));
        }
        let conversation = request.conversation()?;
        if let Some(message) = body::unfit(&conversation) {
            return Err(Error::Refused { provider: self.options.name.clone(), message: message.into() });
        }
        let built = body::build(&request.model, &conversation, &self.limits(&request.model))
            .map_err(|error| Error::invalid("", error.to_string()))?;
        Ok((built.json.into(), true, Manner { passes_as: None, held_back: built.held_back }))
    }
}

#[async_trait]
impl Provider for Anthropic {
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
        let listed = match listing::fetch(&self.endpoint, &self.version).await {
            Ok(listed) => listed,
            Err(error) if !self.options.models.is_empty() && error.is_of_a_living_server() => Vec::new(),
            Err(error) => return Err(error),
        };
        let told = listed.iter().filter_map(|listed| Some((listed.id.clone(), listed.capabilities()?))).collect();
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = told;
        let unlisted = self.options.models.iter().filter(|known| !listed.iter().any(|model| model.id == known.name));
        let unlisted: Vec<_> = unlisted.map(|known| listing::Listed::named(&known.name)).collect();
        Ok(listed.iter().chain(&unlisted).map(|listed| self.model(listed)).collect())
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, Error> {
        let (body, streamed, manner) = self.body(&request)?;
        let headers = self.headers(&request, if streamed { "text/event-stream" } else { "application/json" });
        let used = Used::default();
        let answer = self.endpoint.answer(request.sent(MESSAGES, headers, body, self.options.location, &used)).await;
        let origin = Origin { endpoint: self.endpoint.clone(), model: request.model.clone(), silent: Arc::default() };
        let reader = MessagesReader::new(origin.clone(), manner);
        let answer = answer.map(|answer| came::decode(reader, origin, answer, streamed));
        self.endpoint.heeding(used, answer.map_err(failures::account))
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        dialect == Dialect::Anthropic
    }

    fn continues_prefill(&self, model: &str) -> bool {
        self.capabilities(model).prefill
    }

    fn not_carried(&self, model: &str, conversation: &Conversation) -> Vec<Field> {
        body::not_carried(conversation, &self.limits(model))
    }

    async fn count_tokens(&self, request: &ChatRequest) -> Result<Option<u64>, Error> {
        #[derive(Deserialize)]
        struct Counted {
            input_tokens: u64,
        }
        let (body, ..) = self.body(request)?;
        let headers = self.headers(request, "application/json");
        let used = Used::default();
        let sent = request.sent(COUNT_TOKENS, headers, countable(&body)?, self.options.location, &used);
        let answer = self.endpoint.whole(sent).await;
        let answer = match answer.map_err(failures::account) {
            Ok(answer) => answer,
            // Servers of others often lack it.
            Err(error) if error.is_of_a_living_server() && self.options.location == Location::Local => return Ok(None),
            Err(error) => return Err(error),
        };
        let counted: Counted = serde_json::from_slice(&answer)
            .map_err(|error| self.endpoint.malformed(&format!("{error} in its count of tokens")))?;
        Ok(Some(counted.input_tokens))
    }

    async fn forward(&self, mut request: Forward) -> Result<http::Response<ByteStream>, Error> {
        request.headers.entry(VERSION).or_insert_with(|| self.version.clone());
        self.endpoint.forward(request).await
    }
}

/// What the vendor counts; it refuses every other field.
fn countable(body: &Bytes) -> Result<Bytes, Error> {
    const COUNTED: &[&str] = &[
        "model",
        "messages",
        "system",
        "tools",
        "tool_choice",
        "thinking",
        "output_config",
        "output_format",
        "mcp_servers",
        "context_management",
        "cache_control",
        "speed",
    ];
    Ok(Fields::of(body)?.only(|name| COUNTED.contains(&name)).into())
}

#[cfg(test)]
mod tests;

/// The decoder, for fuzzing.
#[cfg(fuzzing)]
pub(crate) fn decoder(body: ByteStream) -> ChatStream {
    let origin = crate::wire::openai::provider::nobody();
    let manner = Manner { passes_as: Some("m".to_owned()), held_back: String::new() };
    came::decode(MessagesReader::new(origin.clone(), manner), origin, body, true)
}
