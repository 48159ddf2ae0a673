//! The embedded model as one of the router's providers.
//!
//! ```text
//!   chat() ──bounded queue──▶ thread `embedded-model`: load if another model is asked for ─▶ generate ─▶ chunks
//!                                │ nothing for `idle`: the model leaves memory
//! ```
//! One answer at a time: two would share the same cores and both take twice as long. The thread begins with the first
//! call, so a backend that never uses it pays nothing. Cancelling and dropping the stream both stop the computation.

use super::catalogue::{Catalogue, PROVIDER};
use crate::config::EmbeddedSettings;
use async_trait::async_trait;
use domain::Clock;
use embedded_model::{Engine, Finish, Message, Request, Role, Sampling};
use futures_util::stream;
use protocol::{ChatMessage, FinishReason, Location, Model};
use router::{ChatRequest, ChatStream, Chunk, Error, Provider};
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
use tokio_util::sync::CancellationToken;

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
}

struct Work {
    model: String,
    path: PathBuf,
    request: Request,
    chunks: mpsc::Sender<Result<Chunk, Error>>,
    cancel: CancellationToken,
}

impl Embedded {
    pub fn new(catalogue: Catalogue, settings: &EmbeddedSettings, clock: Arc<dyn Clock>) -> Self {
        Self { catalogue, idle: settings.idle, queue: settings.queue, clock, worker: Mutex::default() }
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
        let (options, idle) = (self.catalogue.options().clone(), self.idle);
        std::thread::Builder::new()
            .name("embedded-model".into())
            .spawn(move || Worker { options, loaded: None }.run(&arriving, idle))
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
        let entries =
            tokio::task::spawn_blocking(move || catalogue.models()).await.map_err(|error| failed(error.to_string()))?;
        Ok(entries.into_iter().map(|entry| entry.model).collect())
    }

    async fn chat(&self, request: ChatRequest, cancel: CancellationToken) -> Result<ChatStream, Error> {
        let catalogue = self.catalogue.clone();
        let model = request.model.clone();
        let found = tokio::task::spawn_blocking(move || catalogue.find(&model))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let entry = found.ok_or_else(|| unavailable(format!("there is no embedded model `{}`", request.model)))?;
        let notice = || entry.model.notice.clone().unwrap_or_default();
        let path = entry.path.clone().filter(|_| entry.model.available).ok_or_else(|| unavailable(notice()))?;
        if !request.tools.is_empty() {
            return Err(refused("embedded models have no tool calls of their own"));
        }
        let (chunks, receiver) = mpsc::channel(CHUNKS);
        let work = Work { path, request: self.request(&request), model: request.model, chunks, cancel };
        self.submit(work)?;
        Ok(Box::pin(stream::unfold(receiver, |mut receiver| async move {
            match tokio::time::timeout(SIGN_OF_LIFE, receiver.recv()).await {
                Ok(chunk) => Some((chunk?, receiver)),
                Err(_) => Some((Ok(Chunk::Progress), receiver)),
            }
        })))
    }
}

impl Embedded {
    fn request(&self, request: &ChatRequest) -> Request {
        let defaults = Sampling::default();
        let sampling = Sampling {
            temperature: request.temperature.unwrap_or(defaults.temperature),
            seed: request.seed.unwrap_or_else(rand::random),
            ..defaults
        };
        Request {
            messages: request.messages.iter().map(message).collect(),
            sampling,
            max_output_tokens: request.max_output_tokens.map(|tokens| tokens as usize),
            stop: Vec::new(),
            schema: request.response_schema.clone(),
            now: Some(self.clock.now().as_millis() / 1000),
        }
    }
}

/// What a tool said reaches these models as the user's words.
fn message(message: &ChatMessage) -> Message {
    let role = match message.role {
        protocol::Role::System => Role::System,
        protocol::Role::User | protocol::Role::Tool => Role::User,
        protocol::Role::Assistant => Role::Assistant,
    };
    Message::new(role, message.content.clone())
}

/// The thread and the model it holds.
struct Worker {
    options: embedded_model::Options,
    loaded: Option<(PathBuf, Engine)>,
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
                    self.loaded = None;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn answer(&mut self, work: Work) {
        let Work { model, path, request, chunks, cancel } = work;
        let gone = || cancel.is_cancelled() || chunks.is_closed();
        if gone() {
            return;
        }
        // A defect in the engine fails this answer and costs the loaded model, not the backend.
        let answered = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let engine = self.engine(&path)?;
            let mut on_text = |text: &str| {
                // Nobody listening shows in `gone` a moment later.
                let _ = chunks.blocking_send(Ok(Chunk::Text(text.to_owned())));
            };
            engine.generate(&request, &gone, &mut on_text).map_err(|error| translated(error, &model))
        }));
        let last = match answered {
            Ok(Ok(output)) => match output.finish {
                Finish::Cancelled => Err(Error::Cancelled),
                finish => Ok(Chunk::Done {
                    tool_calls: Vec::new(),
                    finish_reason: if finish == Finish::Length { FinishReason::Length } else { FinishReason::Stop },
                    input_tokens: output.usage.input_tokens as u64,
                    output_tokens: output.usage.output_tokens as u64,
                }),
            },
            Ok(Err(error)) => Err(error),
            Err(_) => {
                self.loaded = None;
                Err(failed("the inference engine broke down; the model was unloaded".to_owned()))
            }
        };
        let _ = chunks.blocking_send(last);
    }

    fn engine(&mut self, path: &Path) -> Result<&mut Engine, Error> {
        if self.loaded.as_ref().is_none_or(|(loaded, _)| loaded != path) {
            // The old one goes first: two models at once may be more than the machine has memory for.
            self.loaded = None;
            let engine = Engine::load(path, &self.options).map_err(|error| unavailable(error.to_string()))?;
            tracing::info!(
                model = engine.info().name,
                memory_bytes = engine.info().memory_bytes,
                "an embedded model was loaded"
            );
            self.loaded = Some((path.to_owned(), engine));
        }
        self.loaded.as_mut().map(|(_, engine)| engine).ok_or_else(|| failed("no model is loaded".to_owned()))
    }
}

fn translated(error: embedded_model::Error, model: &str) -> Error {
    use embedded_model::Error as E;
    let message = error.to_string();
    match error {
        E::ContextExceeded { .. } => {
            Error::ContextLengthExceeded { provider: PROVIDER.into(), model: model.into(), message }
        }
        E::Template { .. } | E::Schema { .. } | E::InvalidOption { .. } => refused(&message),
        E::Inference(_) => failed(message),
        _ => unavailable(message),
    }
}

fn unavailable(message: impl Into<String>) -> Error {
    Error::Unavailable { provider: PROVIDER.into(), message: message.into() }
}

fn refused(message: &str) -> Error {
    Error::Refused { provider: PROVIDER.into(), message: message.into() }
}

fn failed(message: String) -> Error {
    Error::Failed { provider: PROVIDER.into(), message }
}

#[cfg(test)]
mod tests;
