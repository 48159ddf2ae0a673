//! A model server that breaks its answers in every way they break, in the dialect of any vendor, over real HTTP.
//!
//! ```ignore
//! let sick = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("one two three").cut_after(2));
//! let well = FaultyModel::start(Wire::Ollama).await.then(Reply::text("one two three"));
//! // … route to sick.base_url() and then well.base_url(), ask …
//! assert_eq!((sick.received().len(), well.received().len()), (1, 1));
//! ```
//! [`crate::ScriptedModel`] is for conversations; this is for what goes wrong with one answer:
//!
//! ```text
//!   request ──▶ server ──▶ queue: Reply ──▶ dialect: sound pieces ──▶ faults: Plan ──▶ sending ──▶ wire
//!                 └──────────────── observed: requests, connections, clients that went away ────────┘
//! ```
//! All waiting is done on tokio's clock.

mod answer;
mod anthropic;
mod conversation;
mod faults;
mod listing;
mod observed;
mod ollama;
mod openai_chat;
mod openai_completions;
mod openai_responses;
mod queue;
mod reply;
mod sending;
mod server;

use crate::ServedModel;
pub use conversation::Offered;
use observed::Observed;
pub use observed::{Disconnect, Received};
use protocol::FinishReason;
pub use reply::{Break, Reply, RetryAfter};
use reply::{Head, Refusal};
use server::Shared;
use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError},
};
use tokio::{
    net::{TcpListener, TcpSocket},
    task::AbortHandle,
};

/// The dialect a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wire {
    /// `/v1/chat/completions` and `/v1/completions`
    OpenAiChat,
    /// `/v1/responses`
    OpenAiResponses,
    /// `/v1/messages`
    Anthropic,
    /// `/api/chat` and `/api/generate`
    Ollama,
}

impl Wire {
    pub const ALL: [Self; 4] = [Self::OpenAiChat, Self::OpenAiResponses, Self::Anthropic, Self::Ollama];

    /// Where answers are asked for, below [`FaultyModel::base_url`].
    pub fn path(self) -> &'static str {
        match self {
            Self::OpenAiChat => "/chat/completions",
            Self::OpenAiResponses => "/responses",
            Self::Anthropic => "/v1/messages",
            Self::Ollama => "/api/chat",
        }
    }

    /// A user's question as the dialect asks it.
    pub fn question(self, model: &str, text: &str, stream: bool) -> serde_json::Value {
        let messages = serde_json::json!([{"role": "user", "content": text}]);
        match self {
            Self::OpenAiResponses => serde_json::json!({"model": model, "input": text, "stream": stream}),
            Self::Anthropic => {
                serde_json::json!({"model": model, "messages": messages, "max_tokens": 1024, "stream": stream})
            }
            Self::OpenAiChat | Self::Ollama => {
                serde_json::json!({"model": model, "messages": messages, "stream": stream})
            }
        }
    }
}

/// The server. Listens on a port of its own on 127.0.0.1 and is gone when dropped, with every connection.
///
/// Requests for answers and embeddings take replies from its queue. The last reply repeats; before any was given it says
/// "Fine.". Listings and token counts are answered by themselves, a model it does not have is refused as the vendor refuses
/// it, and any other path gets its own body back.
#[derive(Debug)]
pub struct FaultyModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: AbortHandle,
}

impl FaultyModel {
    /// The name of the one model that [`Self::start`] serves.
    pub const MODEL: &str = "faulty:latest";

    /// Of every prompt, unless the reply says otherwise.
    pub const INPUT_TOKENS: u64 = 7;

    /// Serves one model named [`Self::MODEL`].
    ///
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub async fn start(wire: Wire) -> Self {
        Self::serve(wire, [ServedModel::new(Self::MODEL)]).await
    }

    /// Serves these models, all with one queue of replies.
    ///
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub async fn serve(wire: Wire, models: impl Into<Vec<ServedModel>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a listening socket");
        let shared = Arc::new(Shared {
            wire,
            models: models.into(),
            observed: Observed::default(),
            queue: std::sync::Mutex::default(),
        });
        let server = tokio::spawn(server::run(listener, shared.clone())).abort_handle();
        Self { address, shared, server }
    }

    /// An address at which nothing listens, for as long as this is kept.
    ///
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub fn refusing() -> Refusing {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port on 127.0.0.1");
        let address = socket.local_addr().expect("the address of a bound socket");
        Refusing { address, _socket: socket }
    }

    /// Every request gets what `answer` makes of it, once no reply of the queue waits. For clients that ask in an order of
    /// their own.
    #[must_use]
    pub fn answering(self, answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).answer_with(Arc::new(answer));
        self
    }

    /// [`Self::push`], to be chained.
    #[must_use]
    pub fn then(self, reply: Reply) -> Self {
        self.push(reply);
        self
    }

    /// One more reply. From when it is the last one, it repeats.
    ///
    /// # Panics
    /// When the dialect has no such thing: Ollama has no content filter.
    pub fn push(&self, reply: Reply) {
        let filtered =
            matches!(reply.head, Head::Refusal(Refusal::Filtered)) || reply.finish == Some(FinishReason::ContentFilter);
        assert!(!(filtered && self.shared.wire == Wire::Ollama), "Ollama has no content filter: {reply:?}");
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner).push(reply);
    }

    pub fn wire(&self) -> Wire {
        self.shared.wire
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a client of the dialect is pointed at: with `/v1` for OpenAI, without any path for the others.
    pub fn base_url(&self) -> String {
        base_url(self.shared.wire, self.address)
    }

    /// Where answers are asked for.
    pub fn url(&self) -> String {
        format!("{}{}", self.base_url(), self.shared.wire.path())
    }

    /// Every request so far in the order of arrival, but for listings of models.
    pub fn received(&self) -> Vec<Received> {
        self.shared.observed.read(|log| log.received.clone())
    }

    /// The paths of all requests so far, listings included.
    pub fn paths(&self) -> Vec<String> {
        self.shared.observed.read(|log| log.paths.clone())
    }

    /// Returns once [`Self::received`] holds `count`.
    ///
    /// # Panics
    /// When [`crate::DEADLINE`] passes.
    pub async fn wait_for(&self, count: usize) -> Vec<Received> {
        let enough = |log: &observed::Log| (log.received.len() >= count).then(|| log.received.clone());
        self.shared.observed.wait(&format!("{count} requests"), enough).await
    }

    /// Clients that went away before their answer's end, in the order in which they went.
    pub fn disconnected(&self) -> Vec<Disconnect> {
        self.shared.observed.read(|log| log.disconnected.clone())
    }

    /// The first client that went away before its answer's end, once one did.
    ///
    /// # Panics
    /// When [`crate::DEADLINE`] passes.
    pub async fn wait_for_disconnect(&self) -> Disconnect {
        self.wait_for_disconnects(1).await[0]
    }

    /// Returns once `count` clients went away before their answer's end.
    ///
    /// # Panics
    /// When [`crate::DEADLINE`] passes.
    pub async fn wait_for_disconnects(&self, count: usize) -> Vec<Disconnect> {
        let enough = |log: &observed::Log| (log.disconnected.len() >= count).then(|| log.disconnected.clone());
        self.shared.observed.wait(&format!("{count} clients to go away"), enough).await
    }

    /// Answers sent to their end, whatever end the reply had.
    pub fn finished(&self) -> usize {
        self.shared.observed.read(|log| log.finished)
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.observed.read(|log| log.connections)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> u64 {
        self.shared.observed.read(|log| log.open_connections)
    }

    /// Returns once no connection is open.
    ///
    /// # Panics
    /// When [`crate::DEADLINE`] passes.
    pub async fn wait_for_no_connection(&self) {
        self.shared.observed.wait("all connections to end", |log| (log.open_connections == 0).then_some(())).await;
    }

    /// Forgets that models were asked anything: `/api/ps` lists only those that are loaded from the start.
    pub fn unload(&self) {
        self.shared.observed.note(|log| log.loaded.clear());
    }
}

impl Drop for FaultyModel {
    fn drop(&mut self) {
        // The connections live in the server's set and end with it.
        self.server.abort();
    }
}

/// An address of nobody's. The port is held without listening, so that nobody else comes to listen there.
#[derive(Debug)]
pub struct Refusing {
    address: SocketAddr,
    _socket: TcpSocket,
}

impl Refusing {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As [`FaultyModel::base_url`] would have it.
    pub fn base_url(&self, wire: Wire) -> String {
        base_url(wire, self.address)
    }
}

fn base_url(wire: Wire, address: SocketAddr) -> String {
    let prefix = if matches!(wire, Wire::OpenAiChat | Wire::OpenAiResponses) { "/v1" } else { "" };
    format!("http://{address}{prefix}")
}
