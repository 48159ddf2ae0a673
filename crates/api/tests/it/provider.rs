//! A model whose every word the test decides.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use protocol::{FinishReason, Location, Model};
use router::{
    Error, Event, Frame, Provider,
    answer::{Finish, Usage},
    providers::{ChatRequest, ChatStream},
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Mutex, mpsc};

pub const MODEL: &str = "scripted/parrot";

pub struct ScriptedProvider {
    calls: mpsc::Sender<Asked>,
    broken: Arc<AtomicBool>,
}

/// The calls that arrive at the model.
pub struct Calls {
    arriving: Mutex<mpsc::Receiver<Asked>>,
    broken: Arc<AtomicBool>,
}

/// One call: answer it piece by piece.
pub struct Asked {
    pub request: ChatRequest,
    frames: mpsc::Sender<Result<Frame, Error>>,
}

impl ScriptedProvider {
    pub fn new() -> (Self, Calls) {
        let (calls, arriving) = mpsc::channel(8);
        let broken = Arc::new(AtomicBool::new(false));
        (Self { calls, broken: broken.clone() }, Calls { arriving: Mutex::new(arriving), broken })
    }
}

impl Calls {
    pub async fn next(&self) -> Asked {
        self.arriving.lock().await.recv().await.unwrap()
    }

    /// From now on the provider panics when it is asked for its models.
    pub fn panic_when_listed(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }
}

impl Asked {
    pub async fn say(&self, text: &str) {
        self.frames.send(Ok(Event::Text(text.into()).into())).await.unwrap();
    }

    pub async fn done(&self) {
        let usage = Usage { input_tokens: 7, output_tokens: 3, ..Usage::default() };
        let finished = Event::Finished(Finish::new(FinishReason::Stop, usage));
        self.frames.send(Ok(finished.into())).await.unwrap();
    }

    /// Ends the stream without a word that it is whole.
    pub fn cut(self) {}

    /// Until the router has let go of the answer.
    pub async fn stopped(&self) {
        self.frames.closed().await;
    }
}

#[async_trait]
impl Provider for ScriptedProvider {
    fn name(&self) -> &str {
        "scripted"
    }

    fn location(&self) -> Location {
        Location::Local
    }

    async fn models(&self) -> Result<Vec<Model>, Error> {
        assert!(!self.broken.load(Ordering::SeqCst), "the provider is broken on purpose");
        Ok(vec![Model {
            id: MODEL.into(),
            provider: "scripted".into(),
            name: "parrot".into(),
            location: Location::Local,
            context_tokens: None,
            native_tools: true,
            structured_output: true,
            grammar: false,
            chats: true,
            embeds: false,
            vision: false,
            available: true,
            digest: None,
            architecture: None,
            size_bytes: None,
            notice: Some("repeats what the test says".into()),
            profile: None,
        }])
    }

    async fn chat(&self, request: ChatRequest) -> Result<ChatStream, Error> {
        let (frames, receiver) = mpsc::channel(8);
        self.calls.send(Asked { request, frames }).await.unwrap();
        Ok(stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) }).boxed())
    }
}
