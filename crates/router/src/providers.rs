//! The seam between routing and whatever runs models.

pub use crate::wire::{anthropic::provider as anthropic, ollama::provider as ollama, openai::provider as openai};

use crate::{
    Conversation, Error, Event, Field, Frame,
    dialect::{Asked, Dialect},
    egress::Checkpoint,
    endpoint::{Request, Used, json_headers},
    telemetry::TraceContext,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, Method};
use protocol::{Location, Model, RefusedKey};
use std::{
    borrow::Cow,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Where models run. Everything here stops its work upstream at once when its future or stream is dropped.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// How routes and people call it: `ollama`, `openai`, `embedded`. Holds no `/`.
    fn name(&self) -> &str;

    /// Where its address lies. A single [`Model`] of a local provider may still be in the cloud, and says so itself.
    fn location(&self) -> Location;

    /// Host and port it is reached under. `None`: it runs in this process.
    fn server(&self) -> Option<(&str, u16)> {
        None
    }

    /// Every model, chatting and embedding ones, in the provider's order.
    async fn models(&self) -> Result<Vec<Model>, Error>;

    /// Starts an answer: returns once the server has accepted the request (its status and headers are there).
    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, Error>;

    /// Whether it answers in this dialect when it is sent a request of it: then its frames' bytes may go to the caller as
    /// they are.
    fn speaks(&self, _dialect: Dialect) -> bool {
        false
    }

    /// Whether a conversation that ends with the beginning of an assistant's answer is gone on with, rather than answered.
    fn continues_prefill(&self, _model: &str) -> bool {
        false
    }

    /// What the caller said in a request that is translated and this model is not told, because it has no words for it.
    fn not_carried(&self, _model: &str, _conversation: &Conversation) -> Vec<Field> {
        Vec::new()
    }

    /// What there is to know of this model besides its listing, as of its last answer.
    fn notice(&self, _model: &str) -> Option<String> {
        None
    }

    /// The configured keys that it does not accept.
    fn refused_keys(&self) -> Vec<RefusedKey> {
        Vec::new()
    }

    /// What is loaded now, where the provider knows such a thing. `None`: it does not, or did not answer.
    async fn loaded(&self) -> Option<Vec<Loaded>> {
        None
    }

    async fn embed(&self, request: EmbedRequest) -> Result<Embeddings, Error> {
        let _ = request;
        Err(Error::Unsupported { provider: self.name().to_owned(), what: "embeddings" })
    }

    /// The caller's own request and the server's own answer, where it speaks the dialect: tokens, vectors packed in another way
    /// and fields that are newer than this code pass. `None` where it does not. Texts of `request` are of no use here.
    async fn embed_as_asked(
        &self,
        dialect: Dialect,
        body: &Bytes,
        request: &EmbedRequest,
    ) -> Option<Result<PassedEmbeddings, Error>> {
        let _ = (dialect, body, request);
        None
    }

    /// How many tokens the prompt of `request` has, counted by the provider itself; `None` where it cannot without answering.
    async fn count_tokens(&self, _request: &ChatRequest) -> Result<Option<u64>, Error> {
        Ok(None)
    }

    /// Fetches a model. Ends after the last step or an error.
    async fn pull(&self, _model: &str) -> Result<PullStream, Error> {
        Err(Error::Unsupported { provider: self.name().to_owned(), what: "fetching models" })
    }

    /// Removes a model.
    async fn delete(&self, _model: &str) -> Result<(), Error> {
        Err(Error::Unsupported { provider: self.name().to_owned(), what: "deleting models" })
    }

    /// Sends a request of the provider's own API as it is, under the provider's key: what this router has no words for
    /// (audio, images, files, batches). The answer comes back whatever its status.
    async fn forward(&self, _request: Forward) -> Result<http::Response<ByteStream>, Error> {
        Err(Error::Unsupported { provider: self.name().to_owned(), what: "other endpoints" })
    }
}

/// Ends after [`Event::Finished`] or an error. An end without either is a cut answer.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<Frame, Error>> + Send>>;
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;
pub type PullStream = Pin<Box<dyn Stream<Item = Result<PullStep, Error>> + Send>>;

/// One request for one model.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// As the provider names it.
    pub model: String,
    pub asked: Arc<Asked>,
    /// What is asked instead of `asked`, when an answer is to be gone on with. Then no original bytes are forwarded.
    pub changed: Option<Arc<Conversation>>,
    /// What the router sets in the caller's request, wherever it stands there.
    pub edits: Edits,
    /// Whether the answer may come as one body. Only for a request whose dialect the provider speaks itself: everything
    /// else is streamed so that a stall can be seen.
    pub stream: bool,
    /// What a body must pass before it leaves for the cloud. `None`: it must not, and a provider in the cloud refuses.
    pub checkpoint: Option<Arc<dyn Checkpoint>>,
    pub patience: Patience,
    /// The span this request is. Told to servers that are ours and to nobody else.
    pub trace: Option<TraceContext>,
    pub refusals: Refusals,
}

/// What became of the keys that were not accepted before the one that was, each in words of ours. Clones are the same list.
#[derive(Clone, Debug, Default)]
pub struct Refusals(Arc<Mutex<Vec<String>>>);

impl Refusals {
    pub(crate) fn note(&self, refusal: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(refusal);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Fields of a request that the router sets in place of the caller's. Everything else stays as it was written: on the way
/// to a server of the same wire the caller's bytes, where a field stood, and nothing besides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Edits {
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
}

impl Edits {
    pub(crate) fn apply(&self, conversation: &mut Conversation) {
        conversation.max_output_tokens = self.max_output_tokens.or(conversation.max_output_tokens);
        conversation.temperature = self.temperature.or(conversation.temperature);
    }

    /// JSON text for the fields that are set, under the names a wire has for them.
    pub(crate) fn named(&self, limit: &'static str, temperature: &'static str) -> Vec<(&'static str, String)> {
        let limit = self.max_output_tokens.map(|tokens| (limit, tokens.to_string()));
        let temperature = self.temperature.map(|degrees| (temperature, degrees.to_string()));
        limit.into_iter().chain(temperature).collect()
    }
}

impl ChatRequest {
    /// What is sent for it.
    pub(crate) fn sent<'a>(
        &'a self,
        path: &'a str,
        headers: HeaderMap,
        body: Bytes,
        location: Location,
        used: &'a Used,
    ) -> Request<'a> {
        Request {
            method: Method::POST,
            path,
            headers,
            body,
            model: &self.model,
            checkpoint: self.checkpoint.as_ref(),
            location,
            patience: self.patience,
            trace: self.trace.as_ref(),
            used: Some(used),
            refusals: Some(&self.refusals),
        }
    }

    /// The request as it is to be translated.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the caller's body is not of its dialect, [`Error::Refused`] when some of its content has no
    /// place in another.
    pub fn conversation(&self) -> Result<Cow<'_, Conversation>, Error> {
        let asked = match &self.changed {
            Some(changed) => &**changed,
            None => self.asked.conversation()?,
        };
        if let Some(content) = asked.foreign.first() {
            let message = format!(
                "{content} has no place in what this model is asked. Send it as text, or use a model whose server speaks the API this was written for"
            );
            return Err(Error::Refused { provider: self.model.clone(), message: message.into() });
        }
        if self.changed.is_some() || self.edits == Edits::default() {
            return Ok(Cow::Borrowed(asked));
        }
        let mut edited = asked.clone();
        self.edits.apply(&mut edited);
        Ok(Cow::Owned(edited))
    }

    /// The caller's own bytes, when they may be forwarded to a server of that dialect, with [`Self::edits`] made in them.
    pub fn original(&self, dialect: Dialect) -> Option<&Bytes> {
        (self.asked.dialect == dialect && self.changed.is_none()).then_some(&self.asked.body)
    }
}

/// How long the provider may take for what only it can tell apart. What comes after the headers is timed by the router.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From sending the request to the status line.
    pub headers: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub model: String,
    pub digest: Option<String>,
    pub context_tokens: Option<u64>,
    /// In the memory of an accelerator.
    pub vram_bytes: Option<u64>,
    pub size_bytes: Option<u64>,
    pub expires_at: Option<String>,
}

#[derive(Clone, Debug)]
pub struct EmbedRequest {
    pub model: String,
    pub input: Vec<String>,
    /// Shorter vectors, for models that can.
    pub dimensions: Option<u32>,
    pub checkpoint: Option<Arc<dyn Checkpoint>>,
    pub patience: Patience,
    /// As in [`ChatRequest`].
    pub trace: Option<TraceContext>,
}

impl EmbedRequest {
    /// What is sent for it.
    pub(crate) fn sent<'a>(&'a self, path: &'a str, body: Bytes, location: Location, used: &'a Used) -> Request<'a> {
        Request {
            method: Method::POST,
            path,
            headers: json_headers("application/json"),
            body,
            model: &self.model,
            checkpoint: self.checkpoint.as_ref(),
            location,
            patience: self.patience,
            trace: self.trace.as_ref(),
            used: Some(used),
            refusals: None,
        }
    }
}

/// The body of an answer, which passes as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PassedEmbeddings {
    pub body: Bytes,
    pub input_tokens: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// In the order of the input, all of one length.
    pub vectors: Vec<Vec<f32>>,
    pub input_tokens: u64,
}

/// One line of a download's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullStep {
    pub status: String,
    pub completed_bytes: Option<u64>,
    pub total_bytes: Option<u64>,
}

/// A request to pass on. The path begins below the provider's base URL, with a slash.
pub struct Forward {
    pub method: http::Method,
    pub path: String,
    pub query: Option<String>,
    /// Without credentials and without what belongs to one connection.
    pub headers: http::HeaderMap,
    pub body: Bytes,
    pub checkpoint: Option<Arc<dyn Checkpoint>>,
    pub patience: Patience,
}

/// A stream of one event, for answers that come whole.
pub fn answered_at_once(raw: Option<Bytes>, events: Vec<Event>) -> ChatStream {
    Box::pin(futures_util::stream::iter([Ok(Frame::new(raw, events))]))
}
