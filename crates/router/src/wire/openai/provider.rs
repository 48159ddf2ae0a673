//! Whatever speaks OpenAI's API: OpenAI, vLLM, llama.cpp, LM Studio, OpenRouter and their like.
//!
//! ```text
//!   the caller's bytes, same dialect ──model, wish for counts──▶ ┐                ┌▶ frames with their exact bytes
//!   a conversation ────written anew────────────────────────────▶ ┴─▶ the server ──┴▶ events
//! ```
//! Written after OpenAI's published API reference. Servers differ at the edges; what is tolerated, and what is not, stands
//! beside the code that does it.

pub use super::options::{Api, EffortsByModel, ModelOptions, Options, OutputLimit, Prefill};
use super::{embeddings, original, silent::Silent};
use crate::providers::{
    ByteStream, ChatRequest, ChatStream, EmbedRequest, Embeddings, Forward, PassedEmbeddings, Patience, Provider,
    answered_at_once,
};
use crate::wire::{
    effort::Efforts,
    openai_chat::{body as chat_request, reader as chat},
    openai_responses::{self, body as responses_request, reader as responses},
    stream, system,
};
use crate::{
    Conversation, Error, Field,
    dialect::Dialect,
    endpoint::{BODY_BYTES, Endpoint, Request, Scheme, Used, json_headers, passing},
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chat::{Bytesway, ChatReader};
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, header};
use protocol::{Location, Model, RefusedKey, Role};
use responses::ResponsesReader;
use serde::Deserialize;
use std::{borrow::Cow, sync::Arc, time::Duration};

/// A listing is small and made from memory; a server that takes longer is not asked for answers either.
const LISTING_PATIENCE: Patience = Patience { headers: Duration::from_secs(10) };

/// One server.
pub struct OpenAi {
    options: Options,
    endpoint: Arc<Endpoint>,
    silent: Arc<Silent>,
}

/// Whose answer is read.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) model: String,
    pub(crate) silent: Arc<Silent>,
}

impl Origin {
    /// An answer is whole, and has told what it counted or has not.
    pub(crate) fn counted(&self, has_counted: bool) {
        self.silent.note(&self.endpoint.provider, &self.model, has_counted);
    }
}

/// What a conversation's body depends on besides the conversation.
pub(crate) struct Dressing<'a> {
    pub(crate) provider: &'a str,
    pub(crate) model: &'a str,
    pub(crate) location: Location,
    pub(crate) output_limit: OutputLimit,
    pub(crate) prefill: Prefill,
    pub(crate) efforts: &'a Efforts,
}

/// One request, ready to be sent, in the dialect that its answer comes in.
struct Outgoing {
    dialect: Dialect,
    body: Bytes,
    headers: HeaderMap,
    /// The caller's own request.
    original: bool,
    stream: bool,
}

impl Outgoing {
    fn path(&self) -> &'static str {
        match self.dialect {
            Dialect::OpenAiCompletions => "/completions",
            Dialect::OpenAiResponses => "/responses",
            _ => "/chat/completions",
        }
    }
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
            Scheme::Bearer,
            options.api_keys.clone(),
        )?;
        Ok(Self { options, endpoint: Arc::new(endpoint), silent: Arc::default() })
    }

    /// What is known of a model: configured, or by its name.
    pub fn known(&self, model: &str) -> ModelOptions {
        let known = self.options.models.iter().find(|known| known.name == model);
        known.cloned().unwrap_or_else(|| ModelOptions::new(model))
    }

    fn model(&self, listed: &Listed) -> Model {
        let known = self.known(&listed.id);
        Model {
            chats: !known.embeds(),
            embeds: known.embeds(),
            vision: known.vision,
            context_tokens: known.context_tokens.or(listed.max_model_len).or(listed.context_length),
            native_tools: known.native_tools && !known.embeds(),
            structured_output: known.structured_output && !known.embeds(),
            ..Model::new(&self.options.name, &listed.id, self.options.location)
        }
    }

    fn efforts(&self, model: &str) -> &Efforts {
        self.options.efforts.get(model).unwrap_or(&Efforts::COMMON)
    }

    fn prefill(&self, model: &str) -> Prefill {
        match self.options.api {
            Api::ChatCompletions => self.known(model).prefill.unwrap_or(self.options.prefill),
            Api::Responses => Prefill::None,
        }
    }

    /// Whether it takes the role `developer`, and system messages anywhere. Everybody else's templates may refuse them.
    fn knows_developers(&self) -> bool {
        let address = &self.options.base_url;
        address.starts_with("https://api.openai.com/") || address.contains(".openai.azure.com/")
    }

    fn outgoing(&self, request: &ChatRequest) -> Result<Outgoing, Error> {
        let spoken: &[Dialect] = match self.options.api {
            Api::ChatCompletions => &[Dialect::OpenAiChat, Dialect::OpenAiCompletions],
            Api::Responses => &[Dialect::OpenAiResponses],
        };
        for &dialect in spoken {
            let Some(original) = request.original(dialect) else { continue };
            let original = match dialect {
                Dialect::OpenAiResponses => openai_responses::original::without_foreign_seals(original)?,
                _ => Cow::Borrowed(original),
            };
            let mut body = original::body(request, &original, self.options.output_limit)?;
            if dialect == Dialect::OpenAiChat && !self.knows_developers() {
                body = original::without_developers(body);
            }
            // Servers at home refuse a word they do not know; those of vendors have their own, and say which.
            let is_local = self.options.location == Location::Local;
            let usual = Some(&Efforts::COMMON).filter(|_| is_local && dialect == Dialect::OpenAiChat);
            if let Some(efforts) = self.options.efforts.get(&request.model).or(usual) {
                body = original::with_effort(body, dialect, efforts);
            }
            let mut headers = json_headers(if request.stream { "text/event-stream" } else { "application/json" });
            let mut theirs = passing(&request.asked.headers);
            // How the body is written and read is ours to say: an answer that was compressed could not be read.
            for name in [header::ACCEPT, header::ACCEPT_ENCODING, header::CONTENT_TYPE] {
                theirs.remove(name);
            }
            headers.extend(theirs);
            return Ok(Outgoing { dialect, body, headers, original: true, stream: request.stream });
        }
        let conversation = request.conversation()?;
        let silent: &[Role] = match self.options.api {
            Api::ChatCompletions => &[Role::Assistant],
            Api::Responses => &[Role::Assistant, Role::System],
        };
        if let Some(message) = conversation.shown_by(silent) {
            return Err(Error::Refused { provider: self.options.name.clone(), message: message.into() });
        }
        let folded = if self.knows_developers() {
            Cow::Borrowed(&*conversation)
        } else {
            system::at_the_beginning(&conversation)
        };
        let dressing = Dressing {
            provider: &self.options.name,
            model: &request.model,
            location: self.options.location,
            output_limit: self.options.output_limit,
            prefill: self.prefill(&request.model),
            efforts: self.efforts(&request.model),
        };
        let (dialect, body) = match self.options.api {
            Api::ChatCompletions => (Dialect::OpenAiChat, chat_request::body(&folded, &dressing)),
            Api::Responses => (Dialect::OpenAiResponses, responses_request::body(&folded, &dressing)),
        };
        let (body, headers) = (Bytes::from(body.to_string()), json_headers("text/event-stream"));
        Ok(Outgoing { dialect, body, headers, original: false, stream: true })
    }
}

impl OpenAi {
    /// What the server answers, as `read` reads it.
    async fn embedded<T>(
        &self,
        body: Bytes,
        request: &EmbedRequest,
        read: impl FnOnce(&Bytes) -> Result<T, String>,
    ) -> Result<T, Error> {
        let used = Used::default();
        let sent = request.sent("/embeddings", body, self.options.location, &used);
        let answer = self.endpoint.whole(sent).await?;
        read(&answer).map_err(|message| {
            let error = self.endpoint.unlike(&request.model, &answer, &message);
            self.endpoint.heeded(&used, error)
        })
    }

    async fn answer(&self, request: &ChatRequest, used: &Used) -> Result<ChatStream, Error> {
        let outgoing = self.outgoing(request)?;
        let path = outgoing.path();
        let Outgoing { dialect, body, headers, original, stream } = outgoing;
        // Bytes are of use where the caller speaks the same; what came back redacted is put right in events alone.
        let redacts = request.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.redacts());
        let raw = dialect == request.asked.dialect && !redacts;
        let keeps_seals = dialect == request.asked.dialect;
        let peek = &request.asked.peek;
        let name = &peek.model;
        let bytesway =
            Bytesway { raw, wants_usage: peek.wants_usage, choices: if original { peek.choices.max(1) } else { 1 } };
        let origin =
            Origin { endpoint: self.endpoint.clone(), model: request.model.clone(), silent: self.silent.clone() };
        let sent = request.sent(path, headers, body, self.options.location, used);
        let responses = dialect == Dialect::OpenAiResponses;
        if !stream {
            let body = self.endpoint.whole(sent).await?;
            let in_one = if !responses && is_stream(&body) { chat::retold::in_one(&body) } else { None };
            let body = in_one.unwrap_or(body);
            if !responses && is_stream(&body) {
                let bytes = futures_util::stream::iter([Ok(body)]);
                let reader = ChatReader::new(origin.clone(), Bytesway { raw: false, ..bytesway });
                return Ok(stream::decode(origin, reader, bytes));
            }
            let frame = if responses {
                ResponsesReader::new(origin, raw).keeping_seals(keeps_seals).under(name).body(&body)?
            } else {
                ChatReader::new(origin, bytesway).under(name).body(&body)?
            };
            return Ok(answered_at_once(frame.raw, frame.events));
        }
        if !responses {
            return self.chat_stream(sent, origin, bytesway, name).await;
        }
        let (_, bytes) = self.endpoint.stream_or_json(sent, "text/event-stream").await?;
        let reader = ResponsesReader::new(origin.clone(), raw).keeping_seals(keeps_seals).under(name);
        Ok(openai_responses::either::decode(origin, reader, bytes))
    }

    /// A stream, or the whole answer in one body: some servers give that whatever they are asked for.
    async fn chat_stream(
        &self,
        sent: Request<'_>,
        origin: Origin,
        bytesway: Bytesway,
        name: &str,
    ) -> Result<ChatStream, Error> {
        let (is_json, mut bytes) = self.endpoint.stream_or_json(sent, "text/event-stream").await?;
        if !is_json {
            return Ok(stream::decode(origin.clone(), ChatReader::new(origin, bytesway).under(name), bytes));
        }
        let mut body = BytesMut::new();
        while let Some(more) = bytes.try_next().await? {
            body.extend_from_slice(&more);
            if is_stream(&body) {
                // Only its head says JSON.
                let first = futures_util::stream::iter([Ok(body.freeze())]);
                return Ok(stream::decode(
                    origin.clone(),
                    ChatReader::new(origin, bytesway).under(name),
                    first.chain(bytes),
                ));
            }
            if body.len() > BODY_BYTES {
                let (provider, limit_bytes) = (self.options.name.clone(), BODY_BYTES);
                return Err(Error::TooLarge { provider, what: "a body", limit_bytes });
            }
        }
        let body = body.freeze();
        let reader = ChatReader::new(origin.clone(), bytesway).under(name);
        match chat::retold::in_chunks(&body) {
            Some(events) => Ok(stream::decode(origin, reader, futures_util::stream::iter([Ok(events)]))),
            // Whatever it is, it says why.
            None => reader.body(&body).map(|frame| answered_at_once(None, frame.events)),
        }
    }
}

/// Whether a body is server-sent events: no JSON begins so.
fn is_stream(body: &[u8]) -> bool {
    let body = body.trim_ascii_start();
    [&b"data:"[..], b"event:", b"id:", b":"].iter().any(|begin| body.starts_with(begin))
}

#[async_trait]
impl Provider for OpenAi {
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
        let mut listed = self.endpoint.get::<Listing>("/models", LISTING_PATIENCE).await.map_or_else(
            // Some servers list nothing; then what is configured is all there is.
            |error| {
                let configured = !self.options.models.is_empty();
                if configured && error.is_of_a_living_server() { Ok(Vec::new()) } else { Err(error) }
            },
            |listing| Ok(listing.data),
        )?;
        for known in &self.options.models {
            if !listed.iter().any(|listed| listed.id == known.name) {
                listed.push(Listed { id: known.name.clone(), max_model_len: None, context_length: None });
            }
        }
        Ok(listed.iter().map(|listed| self.model(listed)).collect())
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, Error> {
        let used = Used::default();
        let answer = self.answer(&request, &used).await;
        self.endpoint.heeding(used, answer)
    }

    fn speaks(&self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::OpenAiChat | Dialect::OpenAiCompletions => self.options.api == Api::ChatCompletions,
            Dialect::OpenAiResponses => self.options.api == Api::Responses,
            _ => false,
        }
    }

    fn continues_prefill(&self, model: &str) -> bool {
        self.prefill(model) != Prefill::None
    }

    fn notice(&self, model: &str) -> Option<String> {
        self.silent.notice(model)
    }

    fn not_carried(&self, model: &str, conversation: &Conversation) -> Vec<Field> {
        let efforts = self.efforts(model);
        let unknown = match self.options.api {
            Api::ChatCompletions => chat_request::unknown(self.options.location, efforts, conversation),
            Api::Responses => responses_request::unknown(self.options.location, efforts, conversation),
        };
        unknown.into_iter().filter(|field| field.is_said(conversation)).collect()
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, Error> {
        if request.input.is_empty() {
            return Ok(Embeddings { vectors: Vec::new(), input_tokens: 0 });
        }
        let body = embeddings::body(&request).to_string().into();
        self.embedded(body, &request, |answer| embeddings::read(answer, request.input.len())).await
    }

    async fn embed_as_asked(
        &self,
        dialect: Dialect,
        body: &Bytes,
        request: &EmbedRequest,
    ) -> Option<Result<PassedEmbeddings, Error>> {
        if dialect != Dialect::OpenAiChat {
            return None;
        }
        let passed = async {
            let body = embeddings::original(body, &request.model)?;
            self.embedded(body, request, |answer| embeddings::passed(answer.clone(), request.input.len())).await
        };
        Some(passed.await)
    }

    async fn forward(&self, request: Forward) -> Result<http::Response<ByteStream>, Error> {
        self.endpoint.forward(request).await
    }
}

/// Both decoders, for fuzzing.
#[cfg(fuzzing)]
pub(crate) fn decoders() -> [fn(ByteStream) -> ChatStream; 2] {
    let chat: fn(ByteStream) -> ChatStream = |body| {
        let bytesway = Bytesway { raw: true, wants_usage: true, choices: 1 };
        stream::decode(nobody(), ChatReader::new(nobody(), bytesway), body)
    };
    let responses: fn(ByteStream) -> ChatStream =
        |body| stream::decode(nobody(), ResponsesReader::new(nobody(), true), body);
    [chat, responses]
}

/// An origin for what is there already.
#[cfg(fuzzing)]
pub(crate) fn nobody() -> Origin {
    let timeout = std::time::Duration::from_secs(1);
    let endpoint =
        Endpoint::new("openai", "http://127.0.0.1:9/v1", Location::Local, timeout, Scheme::Bearer, Vec::new());
    let endpoint = endpoint.unwrap_or_else(|error| unreachable!("an address without a key is an endpoint: {error}"));
    Origin { endpoint: Arc::new(endpoint), model: "m".to_owned(), silent: Arc::default() }
}

#[cfg(test)]
#[path = "provider_testing.rs"]
pub(crate) mod testing;
