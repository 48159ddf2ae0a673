//! Short ways to say what a test is about.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use protocol::{ChatMessage, Egress, Fallback, FinishReason, Location, Model, ModelAnswer, ModelStreamItem, Role};
use router::{
    Call, ChatRequest, ChatStream, Chunk, Error, Options, Provider, RouteConfig, Router,
    ollama::{self, Ollama},
    openai::{self, OpenAi},
};
use std::{sync::Arc, time::Duration};
use testkit::ScriptedModel;
use tokio_util::sync::CancellationToken;

pub fn ollama(model: &ScriptedModel) -> Arc<dyn Provider> {
    ollama_at("ollama", &model.base_url())
}

pub fn ollama_at(name: &str, base_url: &str) -> Arc<dyn Provider> {
    let options = ollama::Options { name: name.to_owned(), base_url: base_url.to_owned(), ..Default::default() };
    Arc::new(Ollama::new(options).unwrap())
}

pub fn openai(name: &str, base_url: &str, location: Location) -> Arc<dyn Provider> {
    Arc::new(OpenAi::new(openai::Options::new(name, base_url, location)).unwrap())
}

pub fn route(name: &str, targets: &[&str]) -> RouteConfig {
    let targets = targets.iter().map(|target| target.parse().unwrap()).collect();
    RouteConfig { name: name.to_owned(), targets, egress: Egress::Allowed }
}

pub fn router(providers: Vec<Arc<dyn Provider>>, routes: Vec<RouteConfig>) -> Router {
    Router::new(Options { routes, ..Options::new(providers) }).unwrap()
}

pub fn ask(route: &str) -> Call {
    Call::new(route, vec![ChatMessage::new(Role::User, "Hello?")])
}

pub async fn items(router: &Router, call: Call) -> Vec<ModelStreamItem> {
    router.call(call, CancellationToken::new()).collect().await
}

/// The whole answer, and the why of the target that gave it.
pub async fn answer(router: &Router, call: Call) -> (ModelAnswer, String) {
    let mut items = items(router, call).await;
    let Some(ModelStreamItem::Finished { answer }) = items.pop() else { panic!("no answer: {items:?}") };
    let deltas: String = items
        .iter()
        .filter_map(|item| if let ModelStreamItem::Delta { text } = item { Some(text.as_str()) } else { None })
        .collect();
    assert_eq!(deltas, answer.content, "the deltas are the answer");
    let whys = items.into_iter().rev();
    let why = whys.filter_map(|item| if let ModelStreamItem::Started { why, .. } = item { Some(why) } else { None });
    (answer, why.take(1).collect())
}

/// Code, message and fallbacks of a call that must fail.
pub async fn failure(router: &Router, call: Call) -> (String, String, Vec<Fallback>) {
    let mut items = items(router, call).await;
    match items.pop() {
        Some(ModelStreamItem::Failed { code, message, fallbacks }) => (code, message, fallbacks),
        last => panic!("no failure: {items:?}, {last:?}"),
    }
}

/// A provider without a network, for tests of time.
pub struct Made {
    pub name: &'static str,
    pub models: Vec<Model>,
    pub listing_takes: Duration,
    pub starting_takes: Duration,
    /// Each with the time before it.
    pub chunks: Vec<(Duration, Chunk)>,
}

impl Made {
    pub fn new(name: &'static str, chunks: Vec<(Duration, Chunk)>) -> Self {
        Self {
            name,
            models: vec![model(name, "m")],
            listing_takes: Duration::ZERO,
            starting_takes: Duration::ZERO,
            chunks,
        }
    }
}

pub fn model(provider: &str, name: &str) -> Model {
    Model {
        id: format!("{provider}/{name}"),
        provider: provider.to_owned(),
        name: name.to_owned(),
        location: Location::Local,
        context_tokens: Some(4096),
        native_tools: false,
        structured_output: true,
        available: true,
        digest: None,
        size_bytes: None,
        notice: None,
    }
}

pub fn text(text: &str) -> Chunk {
    Chunk::Text(text.to_owned())
}

pub fn done() -> Chunk {
    Chunk::Done { tool_calls: Vec::new(), finish_reason: FinishReason::Stop, input_tokens: 1, output_tokens: 1 }
}

#[async_trait]
impl Provider for Made {
    fn name(&self) -> &str {
        self.name
    }

    fn location(&self) -> Location {
        Location::Local
    }

    async fn models(&self) -> Result<Vec<Model>, Error> {
        tokio::time::sleep(self.listing_takes).await;
        Ok(self.models.clone())
    }

    async fn chat(&self, _request: ChatRequest, _cancel: CancellationToken) -> Result<ChatStream, Error> {
        tokio::time::sleep(self.starting_takes).await;
        Ok(Box::pin(stream::iter(self.chunks.clone()).then(|(wait, chunk)| async move {
            tokio::time::sleep(wait).await;
            Ok(chunk)
        })))
    }
}
