//! The embedded model as one of the router's providers.
//!
//! ```text
//!   chat() ──bounded queue──▶ thread `embedded-model`: load if another model is asked for ─▶ generate ─▶ chunks
//!                                │ nothing for `idle`: the model leaves memory
//! ```
//! One answer at a time: two would share the same cores and both take twice as long. The thread begins with the first
//! call, so a backend that never uses it pays nothing. Dropping the stream stops the computation.

mod embedding;

use super::catalogue::{Catalogue, InMemory, PROVIDER};
use crate::config::EmbeddedSettings;
use async_trait::async_trait;
use domain::Clock;
use embedded_model::{Engine, Finish, Request, Role, Sampling};
use embedding::Embeddings;
use futures_util::stream;
use protocol::{FinishReason, Location, Model};
use router::{
    Conversation, Error, Event, Frame, Provider, Said,
    answer::{Finish as Finished, Usage},
    conversation::{Document, Format, Message, Part},
    providers::{ChatRequest, ChatStream, EmbedRequest, Loaded},
};
use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::mpsc;

/// Chunks between the computation and whoever reads it. A slow reader slows the model down.
const CHUNKS: usize = 64;
/// While a call waits for its turn, for the model to load or for the prompt to be read, it says so this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(5);

pub struct Embedded {
    catalogue: Catalogue,
    idle: Duration,
    queue: usize,
    clock: Arc<dyn Clock>,
    worker: Mutex<Option<SyncSender<Work>>>,
    embeddings: Embeddings,
}

struct Work {
    model: String,
    path: PathBuf,
    request: Request,
    frames: mpsc::Sender<Result<Frame, Error>>,
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
            .spawn(move || Worker { options, loaded: None, told }.run(&arriving, idle))
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
        let asked = self.request(&conversation)?;
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
    fn request(&self, conversation: &Conversation) -> Result<Request, Error> {
        let defaults = Sampling::default();
        let sampling = Sampling {
            temperature: conversation.temperature.unwrap_or(defaults.temperature),
            seed: conversation.seed.unwrap_or_else(rand::random),
            // Under a grammar code is copied and indented, which is repetition; the grammar and the limit end the answer.
            repeat_penalty: match conversation.format {
                Format::Grammar(_) => 1.,
                _ => defaults.repeat_penalty,
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

/// The thread and the model it holds.
struct Worker {
    options: embedded_model::Options,
    loaded: Option<(PathBuf, Engine)>,
    told: InMemory,
}

impl Worker {
    fn run(mut self, arriving: &Receiver<Work>, idle: Duration) {
        loop {
            // Without a model there is nothing to let go of.
            let work = match self.loaded {
                Some(_) => arriving.recv_timeout(idle),
                None => arriving.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match work {
                Ok(work) => self.answer(work),
                Err(RecvTimeoutError::Timeout) => {
                    tracing::info!(idle_s = idle.as_secs(), "the embedded model leaves memory");
                    self.unload();
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn unload(&mut self) {
        self.loaded = None;
        *self.told.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn answer(&mut self, work: Work) {
        let Work { model, path, request, frames } = work;
        let gone = || frames.is_closed();
        if gone() {
            return;
        }
        // A defect in the engine fails this answer and costs the loaded model, not the backend.
        let answered = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let engine = self.engine(&path, &model)?;
            let mut on_text = |text: &str| {
                // Nobody listening shows in `gone` a moment later.
                let _ = frames.blocking_send(Ok(Event::Text(text.to_owned()).into()));
            };
            engine.generate(&request, &gone, &mut on_text).map_err(|error| translated(error, &model))
        }));
        let last = match answered {
            Ok(Ok(output)) => match output.finish {
                Finish::Cancelled => Err(Error::Cancelled),
                finish => {
                    let reason = if finish == Finish::Length { FinishReason::Length } else { FinishReason::Stop };
                    let usage = Usage {
                        input_tokens: output.usage.input_tokens as u64,
                        output_tokens: output.usage.output_tokens as u64,
                        ..Usage::default()
                    };
                    Ok(Event::Finished(Finished::new(reason, usage)).into())
                }
            },
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.unload();
                Err(failed("the inference engine broke down; the model was unloaded".to_owned()))
            }
        };
        let _ = frames.blocking_send(last);
    }

    fn engine(&mut self, path: &Path, name: &str) -> Result<&mut Engine, Error> {
        if self.loaded.as_ref().is_none_or(|(loaded, _)| loaded != path) {
            // The old one goes first: two models at once may be more than the machine has memory for.
            self.unload();
            let engine = Engine::load(path, &self.options).map_err(|error| unavailable(error.to_string()))?;
            tracing::info!(
                model = engine.info().name,
                memory_bytes = engine.info().memory_bytes,
                "an embedded model was loaded"
            );
            let told = Some((name.to_owned(), engine.info().memory_bytes));
            self.loaded = Some((path.to_owned(), engine));
            *self.told.write().unwrap_or_else(PoisonError::into_inner) = told;
        }
        self.loaded.as_mut().map(|(_, engine)| engine).ok_or_else(|| failed("no model is loaded".to_owned()))
    }
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
