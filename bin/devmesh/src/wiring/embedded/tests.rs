//! With the real small model where it is in this user's cache or can be fetched.

use super::*;
use crate::{
    config::{Config, Environment},
    wiring::Registered,
};
use domain::SystemClock;
use embedded_model::{bill, fetch};
use futures_util::StreamExt;
use router::{
    Event, OwnRequest,
    answer::Usage,
    providers::{Edits, EmbedRequest, Embeddings, Patience, Refusals},
};
use std::path::PathBuf;
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
fn has_model(test: &str, model: &str) -> bool {
    match fetch::fetch(bill::entry(model).unwrap(), &users_cache(), &mut |_| {}) {
        Ok(_) => true,
        Err(error) => {
            testkit::skipped_part(test, &error.to_string());
            false
        }
    }
}

const PATIENCE: Patience = Patience { headers: Duration::from_secs(60) };

fn asking(model: &str, own: OwnRequest) -> ChatRequest {
    ChatRequest {
        model: model.into(),
        asked: Arc::new(own.asked(&format!("embedded/{model}"))),
        changed: None,
        edits: Edits::default(),
        stream: true,
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
        refusals: Refusals::default(),
    }
}

fn question(text: &str) -> OwnRequest {
    OwnRequest {
        messages: vec![protocol::ChatMessage::new(protocol::Role::User, text)],
        max_output_tokens: Some(12),
        temperature: Some(0.0),
        seed: Some(1),
        ..OwnRequest::default()
    }
}

fn ask(model: &str, text: &str) -> ChatRequest {
    asking(model, question(text))
}

/// The text, and what ended the stream.
async fn collect(mut stream: ChatStream) -> (String, Result<Event, Error>) {
    let mut text = String::new();
    let mut last = Err(failed("the stream was empty".into()));
    while let Some(frame) = stream.next().await {
        match frame {
            Ok(frame) => {
                for event in frame.events {
                    if let Event::Text(more) = &event {
                        text += more;
                    }
                    last = Ok(event);
                }
            }
            Err(error) => last = Err(error),
        }
    }
    (text, last)
}

fn usage(last: Result<Event, Error>) -> Usage {
    match last {
        Ok(Event::Finished(finished)) => finished.usage,
        other => panic!("the answer is not whole: {other:?}"),
    }
}

/// Why a call was refused before any stream began.
async fn refusal(provider: &Embedded, request: ChatRequest) -> Error {
    match provider.chat(request).await {
        Ok(_) => panic!("it was not refused"),
        Err(error) => error,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_streams_and_the_count_of_tokens_is_told() {
    if !has_model("an_answer_streams_and_the_count_of_tokens_is_told", SMALL) {
        return;
    }
    let bench = bench(2);
    let stream = bench.provider.chat(ask(SMALL, "Name a colour.")).await.unwrap();
    let (text, last) = collect(stream).await;
    let usage = usage(last);
    assert!(!text.is_empty());
    assert!(usage.input_tokens > 5 && (1..=12).contains(&usage.output_tokens), "{usage:?}");
    let loaded = bench.provider.loaded().await.unwrap();
    assert_eq!(loaded.iter().map(|loaded| loaded.model.as_str()).collect::<Vec<_>>(), [SMALL]);
    let listed = bench.provider.models().await.unwrap().into_iter().find(|model| model.name == SMALL).unwrap();
    assert!(listed.available && listed.notice.unwrap().contains("smoke-test model"));
    assert_eq!(listed.context_tokens, Some(1024), "held to what was configured");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_does_not_fit_is_an_error_and_never_cut() {
    if !has_model("a_prompt_that_does_not_fit_is_an_error_and_never_cut", SMALL) {
        return;
    }
    let bench = bench(2);
    let stream = bench.provider.chat(ask(SMALL, &"too long ".repeat(2000))).await.unwrap();
    let (text, last) = collect(stream).await;
    assert!(text.is_empty());
    assert!(matches!(last, Err(Error::ContextLengthExceeded { .. })), "{last:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_stops_the_computation_and_calls_beyond_the_queue_are_told() {
    if !has_model("leaving_stops_the_computation_and_calls_beyond_the_queue_are_told", SMALL) {
        return;
    }
    let bench = bench(1);
    let endless = || {
        let question = question("Count from one to a thousand, slowly, in words.");
        asking(SMALL, OwnRequest { max_output_tokens: None, ..question })
    };
    let mut first = bench.provider.chat(endless()).await.unwrap();
    // Once it speaks it has left the queue.
    while !matches!(first.next().await.unwrap().unwrap().events.as_slice(), [Event::Text(_)]) {}
    // Some are computed with it, some wait for memory, and one in the queue.
    let mut others = Vec::new();
    let refused = testkit::eventually_within(Duration::from_secs(20), "a full queue", async || {
        match bench.provider.chat(endless()).await {
            Ok(stream) => {
                others.push(stream);
                None
            }
            Err(error) => Some(error),
        }
    });
    let refused = refused.await;
    assert!(refused.to_string().contains("1 calls wait"), "{refused}");
    assert!((1..=8).contains(&others.len()), "{} were taken on", others.len());

    drop(others);
    drop(first);
    // The engine stops within a token, passes over whoever left, and is free for the next.
    let next = testkit::eventually_within(Duration::from_secs(20), "a place in the queue", async || {
        bench.provider.chat(ask(SMALL, "Name a colour.")).await.ok()
    });
    assert!(usage(collect(next.await).await.1).output_tokens > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_named() {
    let bench = bench(2);
    let missing = refusal(&bench.provider, ask("unheard-of", "Hello")).await;
    assert!(matches!(&missing, Error::NoModel(message) if message.contains("unheard-of")), "{missing}");

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
    if !has_model("a_registered_file_comes_before_what_can_be_fetched", SMALL) {
        return;
    }
    let bench = bench(2);
    let path = bill::entry(SMALL).unwrap().file(bill::Kind::Weights).unwrap().path(&users_cache());
    bench.catalogue.register(&[Registered { name: "mine".into(), path }]).unwrap();
    let listed = bench.provider.models().await.unwrap();
    assert_eq!((listed[0].id.as_str(), listed[0].available), ("embedded/mine", true));
    let stream = bench.provider.chat(ask("mine", "Name a colour.")).await.unwrap();
    assert!(usage(collect(stream).await.1).output_tokens > 0);
}

const ENCODER: &str = "all-minilm-l6-v2";

async fn embed(bench: &Bench, texts: &[&str]) -> Result<Embeddings, Error> {
    let request = EmbedRequest {
        model: ENCODER.into(),
        input: texts.iter().map(|text| (*text).to_owned()).collect(),
        dimensions: None,
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
    };
    bench.provider.embed(request).await
}

fn likeness(one: &[f32], other: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    product(one, other) / (product(one, one) * product(other, other)).sqrt()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_become_vectors_that_tell_what_they_are_about() {
    if !has_model("texts_become_vectors_that_tell_what_they_are_about", ENCODER) {
        return;
    }
    let bench = bench(2);
    let texts = ["The cat sleeps on the sofa.", "A kitten naps on the couch.", "Interest rates rose again in May."];
    let embedded = embed(&bench, &texts).await.unwrap();
    assert_eq!(embedded.vectors.iter().map(Vec::len).collect::<Vec<_>>(), [384; 3]);
    assert!(embedded.input_tokens > 15, "{}", embedded.input_tokens);
    let [cat, kitten, rates] = embedded.vectors.as_slice() else { panic!() };
    assert!(likeness(cat, kitten) > likeness(cat, rates) + 0.3);
    // Alone or among others, a text has one vector.
    let alone = embed(&bench, &texts[..1]).await.unwrap();
    assert!(likeness(&alone.vectors[0], cat) > 0.9999);
    let listed = bench.provider.models().await.unwrap().into_iter().find(|model| model.name == ENCODER).unwrap();
    assert!(listed.available && listed.embeds && !listed.chats, "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_longer_than_the_encoder_reads_is_refused_and_never_cut() {
    if !has_model("a_text_longer_than_the_encoder_reads_is_refused_and_never_cut", ENCODER) {
        return;
    }
    let bench = bench(2);
    let long = "word ".repeat(300);
    let error = embed(&bench, &["short", &long]).await.unwrap_err();
    assert!(matches!(&error, Error::ContextLengthExceeded { model, .. } if model == ENCODER), "{error:?}");
    assert!(error.to_string().contains("256"), "{error}");
    let fits = "word ".repeat(200);
    embed(&bench, &[&fits]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_another_length_and_unheard_of_encoders_are_refused() {
    let bench = bench(2);
    let request = EmbedRequest {
        model: ENCODER.into(),
        input: vec!["text".into()],
        dimensions: Some(64),
        checkpoint: None,
        patience: PATIENCE,
        trace: None,
    };
    let error = bench.provider.embed(request.clone()).await.unwrap_err();
    assert!(error.to_string().contains("dimensions"), "{error}");
    let unheard = EmbedRequest { model: "unheard-of".into(), dimensions: None, ..request };
    let error = bench.provider.embed(unheard).await.unwrap_err();
    assert!(error.to_string().contains("unheard-of"), "{error}");
}
