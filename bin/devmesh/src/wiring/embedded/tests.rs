//! With the real small model where it is in this user's cache or can be fetched.

use super::*;
use crate::{
    config::{Config, Environment},
    wiring::Registered,
};
use domain::SystemClock;
use embedded_model::{bill, fetch};
use futures_util::StreamExt;
use protocol::Egress;
use router::Provider;
use std::time::Instant;
use tempfile::TempDir;

const SMALL: &str = "smollm2-135m-instruct";

struct Bench {
    folder: TempDir,
    catalogue: Catalogue,
    provider: Embedded,
}

fn bench(queue: usize) -> Bench {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data").display().to_string();
    let cache = users_cache().display().to_string();
    let environment = Environment::with(&[
        ("DEVMESH_DATA", &data),
        ("DEVMESH_EMBEDDED__CACHE", &cache),
        ("DEVMESH_EMBEDDED__OLLAMA_STORE", "/nowhere"),
        ("DEVMESH_EMBEDDED__QUEUE", &queue.to_string()),
        ("DEVMESH_EMBEDDED__CONTEXT_TOKENS", "1024"),
        ("DEVMESH_EMBEDDED__IDLE_S", "1"),
    ]);
    let settings = Config::load(environment, Vec::new()).unwrap().settings;
    let catalogue = Catalogue::new(&settings);
    let provider = Embedded::new(catalogue.clone(), &settings.embedded, Arc::new(SystemClock));
    Bench { folder, catalogue, provider }
}

/// A model is fetched once for all tests of this user.
fn users_cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    cache.unwrap_or_else(std::env::temp_dir).join("devmesh")
}

/// Whether the real model is here; says so where it is not.
fn has_model(test: &str) -> bool {
    match fetch::fetch(bill::entry(SMALL).unwrap(), &users_cache(), &mut |_| {}) {
        Ok(_) => true,
        Err(error) => {
            eprintln!("skipped: {test}: {error}");
            false
        }
    }
}

fn ask(model: &str, text: &str) -> ChatRequest {
    ChatRequest {
        model: model.into(),
        messages: vec![ChatMessage::new(protocol::Role::User, text)],
        tools: Vec::new(),
        response_schema: None,
        max_output_tokens: Some(12),
        temperature: Some(0.0),
        seed: Some(1),
        egress: Egress::LocalOnly,
    }
}

async fn collect(stream: ChatStream) -> (String, Result<Chunk, Error>) {
    let mut text = String::new();
    let mut last = Err(failed("the stream was empty".into()));
    let mut stream = stream;
    while let Some(chunk) = stream.next().await {
        if let Ok(Chunk::Text(more)) = &chunk {
            text += more;
        }
        last = chunk;
    }
    (text, last)
}

/// Why a call was refused before any stream began.
async fn refusal(provider: &Embedded, request: ChatRequest) -> Error {
    match provider.chat(request, CancellationToken::new()).await {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_streams_and_the_count_of_tokens_is_told() {
    if !has_model("an_answer_streams_and_the_count_of_tokens_is_told") {
        return;
    }
    let bench = bench(2);
    let stream = bench.provider.chat(ask(SMALL, "Name a colour."), CancellationToken::new()).await.unwrap();
    let (text, last) = collect(stream).await;
    let Ok(Chunk::Done { input_tokens, output_tokens, tool_calls, .. }) = last else { panic!("{last:?}") };
    assert!(!text.is_empty() && tool_calls.is_empty());
    assert!(input_tokens > 5 && (1..=12).contains(&output_tokens), "{input_tokens} {output_tokens}");
    let listed = bench.provider.models().await.unwrap().into_iter().find(|model| model.name == SMALL).unwrap();
    assert!(listed.available && listed.notice.unwrap().contains("smoke-test model"));
    assert_eq!(listed.context_tokens, Some(1024), "held to what was configured");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_does_not_fit_is_an_error_and_never_cut() {
    if !has_model("a_prompt_that_does_not_fit_is_an_error_and_never_cut") {
        return;
    }
    let bench = bench(2);
    let stream = bench.provider.chat(ask(SMALL, &"too long ".repeat(2000)), CancellationToken::new()).await.unwrap();
    let (text, last) = collect(stream).await;
    assert!(text.is_empty());
    assert!(matches!(last, Err(Error::ContextLengthExceeded { .. })), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_the_computation_and_calls_beyond_the_queue_are_told() {
    if !has_model("cancelling_stops_the_computation_and_calls_beyond_the_queue_are_told") {
        return;
    }
    let bench = bench(1);
    let endless =
        || ChatRequest { max_output_tokens: None, ..ask(SMALL, "Count from one to a thousand, slowly, in words.") };
    let (cancel, other) = (CancellationToken::new(), CancellationToken::new());
    let mut first = bench.provider.chat(endless(), cancel.clone()).await.unwrap();
    // Once it speaks it has left the queue.
    while !matches!(first.next().await, Some(Ok(Chunk::Text(_)))) {}
    let second = bench.provider.chat(endless(), other.clone()).await.unwrap();
    let third = refusal(&bench.provider, endless()).await;
    assert!(third.to_string().contains("1 calls wait"), "{third}");

    other.cancel();
    cancel.cancel();
    let cancelled = Instant::now();
    let (_, last) = collect(first).await;
    assert_eq!(last, Err(Error::Cancelled));
    // What was cancelled while it waited is not even begun: its stream just ends, which is no answer either.
    let (text, _) = collect(second).await;
    assert!(text.is_empty());
    assert!(cancelled.elapsed() < Duration::from_secs(20), "{:?}", cancelled.elapsed());
    // And the engine is free for the next.
    let stream = bench.provider.chat(ask(SMALL, "Name a colour."), CancellationToken::new()).await.unwrap();
    assert!(matches!(collect(stream).await.1, Ok(Chunk::Done { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let bench = bench(2);
    let missing = refusal(&bench.provider, ask("unheard-of", "Hello")).await;
    assert!(matches!(&missing, Error::Unavailable { message, .. } if message.contains("unheard-of")), "{missing}");

    let broken = bench.folder.path().join("broken.gguf");
    std::fs::write(&broken, b"not a model").unwrap();
    bench.catalogue.register(&[Registered { name: "broken".into(), path: broken }]).unwrap();
    let listed = bench.provider.models().await.unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].available), ("embedded/broken", false), "{listed:?}");
    let broken = refusal(&bench.provider, ask("broken", "Hello")).await;
    assert!(broken.to_string().contains("broken.gguf"), "{broken}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_file_comes_before_what_can_be_fetched() {
    if !has_model("a_registered_file_comes_before_what_can_be_fetched") {
        return;
    }
    let bench = bench(2);
    let path = bill::entry(SMALL).unwrap().file(bill::Kind::Weights).unwrap().path(&users_cache());
    bench.catalogue.register(&[Registered { name: "mine".into(), path }]).unwrap();
    let listed = bench.provider.models().await.unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].available), ("embedded/mine", true));
    let stream = bench.provider.chat(ask("mine", "Name a colour."), CancellationToken::new()).await.unwrap();
    assert!(matches!(collect(stream).await.1, Ok(Chunk::Done { .. })));
}
