//! Models that fail, the router before them, and a caller: what the tests of the routing rules play on.
//!
//! ```ignore
//! let a = FaultyModel::start(Wire::Ollama).await.then(Reply::status(503));
//! let b = FaultyModel::start(Wire::Anthropic).await.then(Reply::text("Fine."));
//! let stage = Stage::over(&[&a, &b]).await;                       // the route `chain`: a/faulty:latest, b/faulty:latest
//! let answer = stage.ask(Dialect::OpenAiChat, &streamed(Dialect::OpenAiChat), &[]).await;
//! assert_eq!((answer.status, answer.said(), a.received().len()), (200, "Fine.".to_owned(), 2));
//! ```

mod reading;

use bytes::Bytes;
use domain::{Clock, ModelCallId, PrincipalId};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderName, Method, Response};
use protocol::{ChatMessage, Egress, Location, ModelCallRecord, ModelStreamItem, Role};
pub use reading::{Ends, says_done};
use router::{
    Books, Call, Caller, Limits, Mounted, Options, OwnRequest, RouteConfig, Router, Secret,
    accounts::{self, Pending},
    dialect::Dialect,
    gateway::{Body, Inbound, PassThrough},
    providers::{Provider, anthropic, ollama, openai},
    redaction::Patterns,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use store::Store;
use tempfile::TempDir;
use testkit::{FaultyModel, TestClock, Wire};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The route that leads to all models of a stage, in order.
pub const CHAIN: &str = "chain";
pub const MODEL: &str = FaultyModel::MODEL;
/// What providers in the tests are given as their key.
pub const KEY: &str = "sk-of-the-provider";
pub const NAMES: [&str; 4] = ["a", "b", "c", "d"];
/// Every dialect in which a conversation is held.
pub const DIALECTS: [Dialect; 4] =
    [Dialect::OpenAiChat, Dialect::OpenAiResponses, Dialect::Anthropic, Dialect::OllamaChat];

/// Every dialect, those that only go on with a text included.
pub const CALLERS: [Dialect; 6] = Dialect::FOREIGN;

pub struct Stage {
    pub router: Router,
    pub books: Books,
    pub store: Store,
    pub clock: TestClock,
    pub principal: PrincipalId,
    pub egress: Egress,
    shutdown: CancellationToken,
    journal: JoinHandle<Pending>,
    _folder: TempDir,
}

impl Stage {
    /// The models as providers `a`, `b`, … on this machine, and the route [`CHAIN`] through them in this order.
    pub async fn over(models: &[&FaultyModel]) -> Self {
        Self::with(models, |_| ()).await
    }

    /// With other options than [`Self::over`] has.
    pub async fn with(models: &[&FaultyModel], change: impl FnOnce(&mut Options)) -> Self {
        let mounted = models
            .iter()
            .zip(NAMES)
            .map(|(model, name)| mounted(name, model.wire(), &model.base_url(), Location::Local));
        Self::of(mounted.collect(), change).await
    }

    /// Over any providers; the route [`CHAIN`] leads to [`MODEL`] of each.
    pub async fn of(providers: Vec<Mounted>, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(store::Options::new(folder.path().join("data"))).await.unwrap();
        let clock = TestClock::new();
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let opened = accounts::open(&store, shared.clone(), accounts::Options::default()).await.unwrap();
        let books = Books::new(&opened, store.clone());
        let shutdown = CancellationToken::new();
        let journal = tokio::spawn(opened.service.run(shutdown.clone()));
        let names: Vec<String> = providers.iter().map(|mounted| mounted.provider.name().to_owned()).collect();
        let mut options = Options::new(providers, Patterns::built_in().unwrap(), shared, books.clone());
        options.routes = vec![chain(&names)];
        options.limits = quick();
        change(&mut options);
        let router = Router::new(options).unwrap();
        let principal = PrincipalId::new(clock.now());
        Self { router, books, store, clock, principal, egress: Egress::Allowed, shutdown, journal, _folder: folder }
    }

    /// Asks as a foreign client does and reads the answer to its end.
    pub async fn ask(&self, dialect: Dialect, body: &Value, headers: &[(&'static str, &str)]) -> Answer {
        Answer::read(dialect, self.begin(dialect, body, headers).await).await
    }

    /// Asks as a foreign client does; the body is the caller's to read, or to drop.
    pub async fn begin(&self, dialect: Dialect, body: &Value, headers: &[(&'static str, &str)]) -> Response<Body> {
        self.router.answer(self.inbound(dialect, body, headers)).await
    }

    pub fn inbound(&self, dialect: Dialect, body: &Value, headers: &[(&'static str, &str)]) -> Inbound {
        Inbound {
            id: ModelCallId::new(self.clock.now()),
            dialect,
            body: Bytes::from(body.to_string()),
            headers: header_map(headers),
            caller: Caller::new(self.principal),
            egress: self.egress,
        }
    }

    /// Asks [`CHAIN`] for the vectors of one text.
    pub async fn embed(&self, dialect: Dialect, text: &str, headers: &[(&'static str, &str)]) -> Answer {
        let inbound = self.inbound(dialect, &json!({"model": CHAIN, "input": text}), headers);
        let answer = match dialect {
            Dialect::OllamaChat => self.router.embed_ollama(inbound, false).await,
            _ => self.router.embed_openai(inbound).await,
        };
        Answer::read(dialect, answer).await
    }

    /// How many tokens a question to [`CHAIN`] has.
    pub async fn count(&self, body: &Value, headers: &[(&'static str, &str)]) -> Answer {
        let inbound = self.inbound(Dialect::Anthropic, body, headers);
        Answer::read(Dialect::Anthropic, self.router.count_tokens(inbound).await).await
    }

    /// A request for another endpoint of a provider.
    pub fn passing(&self, provider: &str, method: Method, path: &str) -> PassThrough {
        PassThrough {
            id: ModelCallId::new(self.clock.now()),
            provider: provider.to_owned(),
            method,
            path: path.to_owned(),
            query: None,
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{}"),
            caller: Caller::new(self.principal),
            egress: self.egress,
        }
    }

    pub async fn pass(&self, request: PassThrough) -> Answer {
        Answer::read(Dialect::OpenAiChat, self.router.pass_through(request).await).await
    }

    /// One of devmesh's own calls for [`CHAIN`].
    pub fn own(&self, request: OwnRequest) -> Call {
        let id = ModelCallId::new(self.clock.now());
        let mut call = Call::new(id, CHAIN, Arc::new(request.asked(CHAIN)), Caller::new(self.principal));
        call.egress = self.egress;
        call
    }

    /// What one of devmesh's own agents is told.
    pub async fn call(&self, call: Call) -> Vec<ModelStreamItem> {
        self.router.call(call).collect().await
    }

    /// What is known of a call afterwards.
    pub async fn record(&self, answer: &Answer) -> ModelCallRecord {
        let id = answer.header("x-devmesh-request-id").expect("every answer tells its id").parse().unwrap();
        self.books.calls().get(id).await.unwrap().expect("every call is on record")
    }

    /// The breaker of a target, as people are shown it.
    pub fn breaker(&self, target: &str) -> String {
        let health = self.router.health();
        let known = health.targets.into_iter().find(|known| known.target == target);
        known.map_or_else(|| "closed".to_owned(), |known| known.breaker)
    }

    /// Everything that waits is written, and the journal's task has ended.
    pub async fn close(self) -> Pending {
        self.shutdown.cancel();
        self.journal.await.unwrap()
    }
}

/// Short enough that nobody waits for a test, and of different lengths so that it shows which of them ended a wait.
pub fn quick() -> Limits {
    Limits {
        first_token_loaded: Duration::from_millis(1_100),
        first_token_cloud: Duration::from_millis(1_200),
        first_token_cold: Duration::from_millis(1_300),
        first_token_per_kib_local: Duration::ZERO,
        first_token_per_kib_cloud: Duration::ZERO,
        inter_token: Duration::from_millis(700),
        one_body: Duration::from_millis(1_500),
        queue: Duration::from_secs(2),
        ..Limits::default()
    }
}

pub fn chain(providers: &[String]) -> RouteConfig {
    let targets = providers.iter().map(|name| format!("{name}/{MODEL}").parse().unwrap()).collect();
    RouteConfig::new(CHAIN, targets, Egress::Allowed)
}

/// A real provider before a model server.
pub fn mounted(name: &str, wire: Wire, base_url: &str, location: Location) -> Mounted {
    keyed(name, wire, base_url, location, &[KEY])
}

pub fn keyed(name: &str, wire: Wire, base_url: &str, location: Location, keys: &[&str]) -> Mounted {
    let api_keys = keys.iter().map(|key| Secret::new(*key)).collect();
    let provider: Arc<dyn Provider> = match wire {
        Wire::OpenAiChat | Wire::OpenAiResponses => {
            let api = if wire == Wire::OpenAiChat { openai::Api::ChatCompletions } else { openai::Api::Responses };
            let options = openai::Options { api, api_keys, ..openai::Options::new(name, base_url, location) };
            Arc::new(openai::OpenAi::new(options).unwrap())
        }
        Wire::Anthropic => {
            let base_url = base_url.to_owned();
            let options = anthropic::Options { base_url, location, ..anthropic::Options::new(name, api_keys) };
            Arc::new(anthropic::Anthropic::new(options).unwrap())
        }
        Wire::Ollama => {
            let (name, base_url) = (name.to_owned(), base_url.to_owned());
            Arc::new(
                // What a test lets a model say does not depend on what it is asked, so no answer is gone on with.
                ollama::Ollama::new(ollama::Options {
                    name,
                    base_url,
                    location,
                    api_keys,
                    prefill: Some(false),
                    ..Default::default()
                })
                .unwrap(),
            )
        }
    };
    Mounted::new(provider, 4)
}

/// A question to [`CHAIN`] in a dialect.
pub fn question(dialect: Dialect, stream: bool) -> Value {
    asking(dialect, "What is the answer?", stream)
}

pub fn streamed(dialect: Dialect) -> Value {
    question(dialect, true)
}

pub fn unstreamed(dialect: Dialect) -> Value {
    question(dialect, false)
}

pub fn asking(dialect: Dialect, text: &str, stream: bool) -> Value {
    let wire = match dialect {
        Dialect::OpenAiCompletions | Dialect::OllamaGenerate => {
            return json!({"model": CHAIN, "prompt": text, "stream": stream});
        }
        Dialect::OpenAiResponses => Wire::OpenAiResponses,
        Dialect::Anthropic => Wire::Anthropic,
        Dialect::OllamaChat => Wire::Ollama,
        _ => Wire::OpenAiChat,
    };
    wire.question(CHAIN, text, stream)
}

/// The same question as one of devmesh's own agents asks it.
pub fn own_question() -> OwnRequest {
    let content = "What is the answer?".to_owned();
    let message = ChatMessage { role: Role::User, content, tool_calls: Vec::new(), tool_call_id: None };
    OwnRequest { messages: vec![message], ..OwnRequest::default() }
}

pub fn header_map(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// What a foreign client got.
#[derive(Debug)]
pub struct Answer {
    pub dialect: Dialect,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub async fn read(dialect: Dialect, response: Response<Body>) -> Self {
        let (head, body) = response.into_parts();
        let bytes = match body {
            Body::Whole(bytes) => bytes.to_vec(),
            Body::Stream(stream) => {
                stream.map(|bytes| bytes.expect("the whole body")).collect::<Vec<_>>().await.concat()
            }
        };
        let body = String::from_utf8(bytes).expect("answers are text");
        Self { dialect, status: head.status.as_u16(), headers: head.headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The JSON values of a stream, in order; of an answer in one piece, that one.
    pub fn frames(&self) -> Vec<Value> {
        let lines = self.body.lines().map(|line| line.strip_prefix("data:").unwrap_or(line).trim());
        lines.filter(|line| line.starts_with('{')).filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn is_stream(&self) -> bool {
        let kind = self.header("content-type").unwrap_or_default();
        kind.starts_with("text/event-stream") || kind.starts_with("application/x-ndjson")
    }

    /// The text of the answer, as a client of the dialect puts it together.
    pub fn said(&self) -> String {
        let place = match (self.dialect, self.is_stream()) {
            (Dialect::OpenAiChat, true) => "/choices/0/delta/content",
            (Dialect::OpenAiChat, false) => "/choices/0/message/content",
            (Dialect::OpenAiCompletions, _) => "/choices/0/text",
            (Dialect::OpenAiResponses, true) => "/delta",
            (Dialect::OpenAiResponses, false) => return self.blocks("output", "message", "/content/0/text"),
            (Dialect::Anthropic, true) => "/delta/text",
            (Dialect::Anthropic, false) => return self.blocks("content", "text", "/text"),
            (Dialect::OllamaGenerate, _) => "/response",
            _ => "/message/content",
        };
        // Arguments of tools and thinking are told in the same place.
        self.told(place, |kind| !kind.is_some_and(|kind| kind.contains("arguments") || kind.contains("reasoning")))
    }

    /// Whether the stream ended as the dialect ends one that is whole.
    pub fn is_whole(&self) -> bool {
        match self.dialect {
            Dialect::OpenAiChat | Dialect::OpenAiCompletions => {
                self.ends().errors == 0 && self.body.ends_with("data: [DONE]\n\n")
            }
            Dialect::OpenAiResponses => self.body.contains("event: response.completed"),
            Dialect::Anthropic => self.body.contains("event: message_stop"),
            _ => self.frames().last().is_some_and(|frame| frame["done"] == json!(true)),
        }
    }

    /// The error's own words, wherever the dialect puts them.
    pub fn error(&self) -> String {
        let json = self.frames().pop().unwrap_or_default();
        let message = json.pointer("/error/message").or_else(|| json.get("error")).and_then(Value::as_str);
        message.unwrap_or_else(|| panic!("an error of {:?}: {}", self.dialect, self.body)).to_owned()
    }
}

/// The wire that a dialect's bytes pass on as they are.
pub fn own_wire(dialect: Dialect) -> Wire {
    match dialect {
        Dialect::OpenAiResponses => Wire::OpenAiResponses,
        Dialect::Anthropic => Wire::Anthropic,
        Dialect::OllamaChat | Dialect::OllamaGenerate => Wire::Ollama,
        _ => Wire::OpenAiChat,
    }
}
