//! A model server that answers what the test says, over real HTTP and in two dialects.
//!
//! ```ignore
//! let model = ScriptedModel::start([
//!     Turn::tool("shell", json!({"command": "sh test.sh"})),
//!     Turn::text("The test passes.").usage(120, 5),
//! ]).await;
//! // … point a provider at model.base_url() (Ollama) or model.openai_url(), run …
//! assert_eq!(model.received()[1].last("tool"), "OK");
//! ```

pub(crate) mod ollama;
mod openai;
mod received;
mod script;
mod stream;

use axum::{Router, routing};
use protocol::ChatMessage;
pub use received::{Dialect, Received};
pub use script::{Script, Turn};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, sync::watch, task::AbortHandle};

/// A model the server says it has.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedModel {
    pub name: String,
    /// Tokens its context holds, as `/api/show` tells; `None` leaves it out.
    pub context_tokens: Option<u64>,
    /// `completion`, `tools`, `thinking`, `embedding` …
    pub capabilities: Vec<String>,
    pub digest: String,
    pub size_bytes: u64,
    /// Set for a model that the server would run elsewhere: prompts to it leave the machine.
    pub remote_host: Option<String>,
    /// In memory from the start. Otherwise a model is loaded once it was asked something.
    pub loaded: bool,
}

impl ServedModel {
    /// A local model with tools and a context of 8,192 tokens.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            context_tokens: Some(8192),
            capabilities: vec!["completion".to_owned(), "tools".to_owned()],
            digest: format!("{name}-digest"),
            size_bytes: 1_000_000,
            remote_host: None,
            loaded: false,
        }
    }

    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.context_tokens = Some(tokens);
        self
    }

    pub fn capabilities(mut self, names: &[&str]) -> Self {
        self.capabilities = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Whether a request for `name` means this model.
    pub(crate) fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.name.strip_suffix(":latest") == Some(name)
    }

    pub fn digest(mut self, digest: &str) -> Self {
        self.digest = digest.to_owned();
        self
    }

    pub fn loaded(mut self) -> Self {
        self.loaded = true;
        self
    }

    pub fn remote(mut self, host: &str) -> Self {
        self.remote_host = Some(host.to_owned());
        self
    }
}

/// The server. Listens on a port of its own on 127.0.0.1 and is gone when dropped.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    models: Vec<ServedModel>,
    script: Script,
    log: watch::Sender<Log>,
    violations: Mutex<Vec<String>>,
}

#[derive(Clone, Debug, Default)]
struct Log {
    received: Vec<Received>,
    /// Paths of every request, listings included.
    paths: Vec<String>,
    finished: usize,
    abandoned: usize,
}

impl ScriptedModel {
    /// The name of the one model that [`Self::start`] serves.
    pub const MODEL: &str = "scripted:latest";

    /// Serves one model named [`Self::MODEL`] that has tools.
    ///
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub async fn start(script: impl Into<Script>) -> Self {
        Self::serve([ServedModel::new(Self::MODEL)], script).await
    }

    /// Serves these models, all following one script.
    ///
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub async fn serve(models: impl Into<Vec<ServedModel>>, script: impl Into<Script>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a listening socket");
        let shared = Arc::new(Shared {
            models: models.into(),
            script: script.into(),
            log: watch::Sender::default(),
            violations: Mutex::default(),
        });
        let app = Router::new()
            .route("/v1/models", routing::get(openai::models))
            .route("/v1/chat/completions", routing::post(openai::chat))
            .route("/api/tags", routing::get(ollama::tags))
            .route("/api/show", routing::post(ollama::show))
            .route("/api/ps", routing::get(ollama::ps))
            .route("/api/version", routing::get(ollama::version))
            .route("/api/chat", routing::post(ollama::chat))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await }).abort_handle();
        Self { address, shared, server }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an Ollama client is pointed at.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What an OpenAI client is pointed at.
    pub fn openai_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every chat request so far, in the order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.log.borrow().received.clone()
    }

    /// The paths of all requests so far, listings included.
    pub fn paths(&self) -> Vec<String> {
        self.shared.log.borrow().paths.clone()
    }

    /// Returns once `count` chat requests have arrived.
    pub async fn wait_received(&self, count: usize) {
        self.wait(|log| log.received.len() >= count).await;
    }

    /// Returns once `count` answers were given up because the client went away before their end.
    pub async fn wait_abandoned(&self, count: usize) {
        self.wait(|log| log.abandoned >= count).await;
    }

    /// Answers whose client went away before their end.
    pub fn abandoned(&self) -> usize {
        self.shared.log.borrow().abandoned
    }

    /// Answers sent to their scripted end.
    pub fn finished(&self) -> usize {
        self.shared.log.borrow().finished
    }

    /// Requests the script had no answer for, or that broke what a turn demands. A test that ends well asserts that this
    /// is empty.
    pub fn violations(&self) -> Vec<String> {
        self.shared.violations.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn wait(&self, condition: impl Fn(&Log) -> bool) {
        let waited = tokio::time::timeout(crate::DEADLINE, async {
            // The sender lives in `shared`, so the channel cannot close while this waits.
            let _ = self.shared.log.subscribe().wait_for(&condition).await;
        });
        assert!(waited.await.is_ok(), "the model server waited {:?} in vain: {:?}", crate::DEADLINE, self.paths());
    }
}

impl Drop for ScriptedModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn note(&self, path: &str) {
        self.log.send_modify(|log| log.paths.push(path.to_owned()));
    }

    fn model(&self, name: &str) -> Option<&ServedModel> {
        self.models.iter().find(|model| model.answers_to(name))
    }

    /// Records the request and takes the turn that answers it.
    fn turn(&self, received: Received) -> Turn {
        let mut number = 0;
        self.log.send_modify(|log| {
            log.paths.push(received.path.clone());
            log.received.push(received.clone());
            number = log.received.len();
        });
        let turn = self.script.turn(number, &received).and_then(|turn| turn.checked(&received));
        turn.unwrap_or_else(|violation| {
            let violation = format!("request {number}: {violation}");
            self.violations.lock().unwrap_or_else(PoisonError::into_inner).push(violation.clone());
            Turn::error(500, &violation)
        })
    }
}

/// The value at `pointer` as a list, empty when it is something else.
fn list<'a>(body: &'a Value, pointer: &str) -> &'a [Value] {
    body.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The text at `pointer`, empty when it is something else.
fn text(body: &Value, pointer: &str) -> String {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The last message of a role, for scripts and assertions.
fn last_of<'a>(messages: &'a [ChatMessage], role: &str) -> &'a str {
    messages
        .iter()
        .rev()
        .find(|message| message.role.as_str() == role)
        .map(|message| message.content.as_str())
        .unwrap_or_default()
}
