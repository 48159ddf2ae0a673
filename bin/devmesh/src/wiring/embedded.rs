//! The embedded model as one of the router's providers.
//!
//! ```text
//!   chat() ──bounded queue──▶ thread `embedded-model`: load if another model is asked for ─▶ steps ─▶ chunks
//!                                │ nothing for `idle`: the model leaves memory
//! ```
//! Answers of one model are computed together, a step at a time; another model waits until they are over. The thread
//! begins with the first call, so a backend that never uses it pays nothing. Dropping the stream stops the computation.

mod embedding;
mod worker;

use super::catalogue::{Catalogue, PROVIDER};
use crate::config::EmbeddedSettings;
use async_trait::async_trait;
use domain::Clock;
use embedded_model::{Request, Role, Sampling};
use embedding::Embeddings;
use futures_util::stream;
use protocol::{Location, Model};
use router::{
    Conversation, Error, Frame, Provider, Said,
    conversation::{Document, Format, Message, Part},
    providers::{ChatRequest, ChatStream, EmbedRequest, Loaded},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::mpsc;
use worker::{Work, Worker};

/// Chunks between the computation and whoever reads it. An answer whose reader is slower waits; the others go on.
const CHUNKS: usize = 64;
/// While a call waits for its turn, for the model to load or for the prompt to be read, it says so this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

/// Below this many parameters, in thousand millions, a model repeats itself.
const REPEATS_ITSELF: f64 = 0.3;

pub struct Embedded {
    catalogue: Catalogue,
    idle: Duration,
    queue: usize,
    clock: Arc<dyn Clock>,
    worker: Mutex<Option<SyncSender<Work>>>,
    embeddings: Embeddings,
}

impl Embedded {
    pub fn new(catalogue: Catalogue, settings: &EmbeddedSettings, clock: Arc<dyn Clock>) -> Self {
        Self {
            embeddings: Embeddings::new(catalogue.clone()),
            catalogue,
            idle: settings.idle,
            queue: settings.queue,
            clock,
            worker: Mutex::default(),
        }
    }

    /// Hands work to the thread, beginning it where there is none, or none any more.
    fn submit(&self, work: Work) -> Result<(), Error> {
        let mut worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner);
        let work = match worker.take() {
            None => work,
            Some(queue) => match queue.try_send(work) {
                Ok(()) => {
                    *worker = Some(queue);
                    return Ok(());
                }
                Err(TrySendError::Full(_)) => {
                    *worker = Some(queue);
                    return Err(unavailable(format!("{} calls wait for the embedded model already", self.queue)));
                }
                Err(TrySendError::Disconnected(work)) => work,
            },
        };
        let (queue, arriving) = sync_channel(self.queue);
        let (options, idle, told) = (self.catalogue.options().clone(), self.idle, self.catalogue.in_memory().clone());
        std::thread::Builder::new()
            .name("embedded-model".into())
            .spawn(move || Worker::new(options, idle, told).run(&arriving))
            .map_err(|error| unavailable(format!("no thread for the embedded model: {error}")))?;
        // The queue is new and empty, so this cannot be refused.
        queue.try_send(work).map_err(|_| unavailable("the embedded model's thread ended at once"))?;
        *worker = Some(queue);
        Ok(())
    }
}

#[async_trait]
impl Provider for Embedded {
    fn name(&self) -> &str {
        PROVIDER
    }

    fn location(&self) -> Location {
        Location::Local
    }

    async fn models(&self) -> Result<Vec<Model>, Error> {
        let catalogue = self.catalogue.clone();
        let listing = move || {
            let chatting = catalogue.models().into_iter().map(|entry| entry.model);
            chatting.chain(catalogue.embedding_models()).collect()
        };
        tokio::task::spawn_blocking(listing).await.map_err(|error| failed(error.to_string()))
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, Error> {
        let catalogue = self.catalogue.clone();
        let model = request.model.clone();
        let found = tokio::task::spawn_blocking(move || catalogue.find(&model))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let entry = found.ok_or_else(|| Error::NoModel(format!("there is no embedded model `{}`", request.model)))?;
        let notice = || entry.model.notice.clone().unwrap_or_default();
        let path = entry
            .path
            .clone()
            .filter(|_| entry.model.available)
            .ok_or_else(|| Error::NoModel(format!("embedded/{}: {}", request.model, notice())))?;
        let conversation = request.conversation()?;
        if !conversation.tools.is_empty() {
            return Err(refused("embedded models have no tool calls of their own"));
        }
        let (frames, receiver) = mpsc::channel(CHUNKS);
        let asked = self.request(&entry.model, &conversation)?;
        self.submit(Work { path, request: asked, model: request.model, frames })?;
        Ok(Box::pin(stream::unfold(receiver, |mut receiver| async move {
            match tokio::time::timeout(SIGN_OF_LIFE, receiver.recv()).await {
                Ok(frame) => Some((frame?, receiver)),
                Err(_) => Some((Ok(Frame::default()), receiver)),
            }
        })))
    }

    async fn loaded(&self) -> Option<Vec<Loaded>> {
        let loaded = self.catalogue.in_memory().read().unwrap_or_else(PoisonError::into_inner).clone();
        let of = |(model, size_bytes)| Loaded {
            model,
            digest: None,
            context_tokens: None,
            vram_bytes: None,
            size_bytes: Some(size_bytes),
            expires_at: None,
        };
        Some(loaded.into_iter().map(of).collect())
    }

    async fn embed(&self, request: EmbedRequest) -> Result<router::providers::Embeddings, Error> {
        self.embeddings.embed(request).await
    }
}

impl Embedded {
    fn request(&self, model: &Model, conversation: &Conversation) -> Result<Request, Error> {
        let defaults = Sampling::default();
        let sampling = Sampling {
            temperature: conversation.temperature.unwrap_or(defaults.temperature),
            seed: conversation.seed.unwrap_or_else(rand::random),
            // Code is copied and indented, which is repetition. Only the smallest would go on with one sentence for ever.
            repeat_penalty: match (&conversation.format, model.billions()) {
                (Format::Text, Some(billions)) if billions < REPEATS_ITSELF => defaults.repeat_penalty,
                _ => 1.,
            },
            ..defaults
        };
        Ok(Request {
            messages: conversation.messages.iter().map(message).collect::<Result<_, _>>()?,
            sampling,
            max_output_tokens: conversation.max_output_tokens.map(|tokens| tokens as usize),
            stop: conversation.stop.clone(),
            format: match &conversation.format {
                Format::Text => None,
                Format::Json => Some(embedded_model::Format::Schema(serde_json::json!({"type": "object"}))),
                Format::Schema { schema, .. } => Some(embedded_model::Format::Schema(schema.clone())),
                Format::Grammar(grammar) => Some(embedded_model::Format::Grammar(grammar.clone())),
            },
            now: Some(self.clock.now().as_millis() / 1000),
        })
    }
}

/// What a tool said reaches these models as the user's words.
fn message(message: &Message) -> Result<embedded_model::Message, Error> {
    let role = match message.role {
        protocol::Role::System => Role::System,
        protocol::Role::User | protocol::Role::Tool => Role::User,
        protocol::Role::Assistant => Role::Assistant,
    };
    let mut text = String::new();
    message.parts.iter().try_for_each(|part| write(part, &mut text))?;
    Ok(embedded_model::Message::new(role, text))
}

fn write(part: &Part, text: &mut String) -> Result<(), Error> {
    match part {
        Part::Text(more) | Part::Document { content: Document::Text(more), .. } => text.push_str(more),
        Part::ToolResult { parts, .. } => parts.iter().try_for_each(|part| write(part, text))?,
        Part::ToolCall { name, arguments, .. } => text.push_str(&format!("{name}({arguments})")),
        Part::Image(_) => return Err(refused("embedded models do not look at images")),
        Part::Document { .. } => return Err(refused("embedded models read no documents but plain text")),
        Part::Thinking { .. } | Part::RedactedThinking { .. } => {}
    }
    Ok(())
}

fn translated(error: embedded_model::Error, model: &str) -> Error {
    use embedded_model::Error as E;
    let message = error.to_string();
    match error {
        E::ContextExceeded { .. } => {
            Error::ContextLengthExceeded { provider: PROVIDER.into(), model: model.into(), message: message.into() }
        }
        E::Template { .. } | E::Schema { .. } | E::Grammar { .. } | E::InvalidOption { .. } => refused(&message),
        E::Inference(_) => failed(message),
        _ => unavailable(message),
    }
}

fn unavailable(message: impl Into<Said>) -> Error {
    Error::Unavailable { provider: PROVIDER.into(), message: message.into(), missing: false }
}

fn refused(message: &str) -> Error {
    Error::Refused { provider: PROVIDER.into(), message: message.into() }
}

fn failed(message: String) -> Error {
    Error::Failed { provider: PROVIDER.into(), message: message.into() }
}

#[cfg(test)]
mod tests;
