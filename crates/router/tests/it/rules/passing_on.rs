//! A provider's other endpoints: byte for byte, under its key and the caller's limits, and on record.

use crate::stage::{KEY, Stage, header_map, mounted};
use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use protocol::{AttemptOutcome, KeyPolicy, Location, ModelCallState};
use router::{
    accounts::verify_store,
    gateway::{Body, PassThrough},
};
use sha2::{Digest, Sha256};
use std::time::Duration;
use testkit::{Fault, FaultProxy, FaultyModel, Wire};
use tokio::time::Instant;

const BINARY: &str = "application/x-of-its-own";

fn every_byte() -> Bytes {
    (0..=255).cycle().take(100_000).collect::<Vec<u8>>().into()
}

async fn bytes(body: Body) -> Vec<u8> {
    match body {
        Body::Whole(bytes) => bytes.to_vec(),
        Body::Stream(stream) => stream.map(Result::unwrap).collect::<Vec<_>>().await.concat(),
    }
}

#[tokio::test]
async fn bytes_pass_as_they_are_both_ways_and_credentials_do_not() {
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        for location in [Location::Local, Location::Cloud] {
            let model = FaultyModel::start(wire).await;
            let stage = Stage::of(vec![mounted("a", wire, &model.base_url(), location)], |_| ()).await;
            let headers = header_map(&[
                ("content-type", BINARY),
                ("authorization", "Bearer dm_model_of_the_caller"),
                ("x-api-key", "dm_model_of_the_caller"),
                ("cookie", "dm_model_of_the_caller"),
                ("openai-beta", "assistants=v2"),
            ]);
            let request = stage.passing("a", Method::POST, "/audio/transcriptions");
            let query = Some("language=en&a=%2F".to_owned());
            let request = PassThrough { headers, query, body: every_byte(), ..request };
            let (id, response) = (request.id, stage.router.pass_through(request).await);
            let case = format!("{wire:?} {location:?}");
            assert_eq!(response.status(), 200, "{case}");
            assert_eq!(response.headers()["content-type"], BINARY, "{case}");
            assert_eq!(response.headers()["x-devmesh-request-id"], id.to_string(), "{case}");
            assert!(bytes(response.into_body()).await == every_byte(), "{case}");

            let received = model.received().pop().unwrap();
            assert!(received.bytes == every_byte(), "{case}");
            assert!(received.path.ends_with("/audio/transcriptions?language=en&a=%2F"), "{case}: {}", received.path);
            assert_eq!(received.headers["openai-beta"], "assistants=v2", "{case}");
            let keys = format!("{:?}", received.headers);
            assert!(keys.contains(KEY) && !keys.contains("dm_model"), "{case}: {keys}");

            let record = stage.books.calls().get(id).await.unwrap().expect("it is on record");
            assert_eq!((record.state, &*record.dialect), (ModelCallState::Succeeded, "pass_through"), "{case}");
            assert_eq!((record.provider.as_deref(), record.tokens, record.cost_microusd), (Some("a"), None, None));
            assert!(record.rule.contains("POST /audio/transcriptions"), "{case}: {}", record.rule);
            assert_eq!(record.attempts[0].outcome, AttemptOutcome::Answered, "{case}");
            let metrics = stage.router.metrics();
            assert!(metrics.contains(r#"dialect="pass_through",state="succeeded"} 1"#), "{case}: {metrics}");
            assert!(!metrics.contains("transcriptions"), "a path is no label: {metrics}");

            stage.books.flush().await;
            let left = stage.store.page_of_ledger(0, 10).await.unwrap().rows;
            let digests: Vec<_> = left.into_iter().map(|row| row.body_sha256).collect();
            let sent = hex::encode(Sha256::digest(every_byte()));
            let expected = if location == Location::Cloud { vec![sent] } else { Vec::new() };
            assert_eq!(digests, expected, "{case}");
            assert!(verify_store(&stage.store).await.unwrap().is_ok());
            let stored = stage.store.model_call(id).await.unwrap();
            assert!(stored.is_some_and(|detail| !detail.contains("\"tokens\"")), "{case}: not known, and not 0");
        }
    }
}

#[tokio::test]
async fn the_keys_limits_hold_as_long_as_the_answer_lasts() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    let account = || stage.books.accounts().account(stage.principal).unwrap();
    let request = || stage.passing("a", Method::POST, "/audio/speech");
    let policy = |policy: KeyPolicy| stage.books.accounts().set_policy(stage.principal, policy);

    policy(KeyPolicy { requests_per_minute: Some(1), ..KeyPolicy::default() });
    assert_eq!(stage.pass(request()).await.status, 200);
    let refused = stage.pass(request()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("60")), "{refused:?}");

    policy(KeyPolicy { concurrent_requests: Some(1), ..KeyPolicy::default() });
    let first = stage.router.pass_through(request()).await;
    assert_eq!(account().running_requests, 1, "its answer was not read yet");
    assert_eq!(stage.pass(request()).await.status, 429);
    bytes(first.into_body()).await;
    assert_eq!((account().running_requests, account().reserved_tokens), (0, 0));
    assert_eq!(stage.pass(request()).await.status, 200);
    assert_eq!(account().total.requests, 3);

    policy(KeyPolicy { budget_tokens: Some(1), ..KeyPolicy::default() });
    assert_eq!(stage.pass(request()).await.status, 429);
    assert_eq!(model.received().len(), 3);
}

#[tokio::test]
async fn who_has_money_to_keep_to_is_refused_what_has_no_price() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::of(vec![mounted("a", Wire::OpenAiChat, &model.base_url(), Location::Cloud)], |_| ()).await;
    let policy = KeyPolicy { budget_microusd: Some(1_000_000), ..KeyPolicy::default() };
    stage.books.accounts().set_policy(stage.principal, policy);
    let refused = stage.pass(stage.passing("a", Method::POST, "/audio/speech")).await;
    assert_eq!((refused.status, model.received().len()), (429, 0), "{refused:?}");
    assert!(refused.error().contains("price"), "{refused:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_a_whole_one() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let proxy = FaultProxy::start(model.address()).await;
    proxy.set(Fault::CutAfter(50_000)).await;
    let providers = vec![mounted("a", Wire::OpenAiChat, &proxy.base_url(), Location::Local)];
    let stage = Stage::of(providers, |_| ()).await;
    let request = PassThrough { body: every_byte(), ..stage.passing("a", Method::POST, "/audio/speech") };
    let (id, response) = (request.id, stage.router.pass_through(request).await);
    let Body::Stream(stream) = response.into_body() else { panic!("it streams") };
    let pieces: Vec<_> = stream.collect().await;
    assert!(pieces.last().unwrap().is_err(), "{} pieces", pieces.len());
    let record = stage.books.calls().get(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.attempts[0].outcome), (ModelCallState::Failed, AttemptOutcome::Failed));
    assert!(record.error.unwrap().contains("cut"));
}

#[tokio::test]
async fn who_leaves_and_what_nobody_answers_are_on_record() {
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    let request = stage.passing("a", Method::POST, "/audio/speech");
    let id = request.id;
    drop(stage.router.pass_through(request).await);
    let record = stage.books.calls().get(id).await.unwrap().unwrap();
    assert_eq!((record.state, record.tokens), (ModelCallState::Cancelled, None));

    let nobody = FaultyModel::refusing();
    let providers = vec![mounted("a", Wire::OpenAiChat, &nobody.base_url(Wire::OpenAiChat), Location::Local)];
    let stage = Stage::of(providers, |_| ()).await;
    let answer = stage.pass(stage.passing("a", Method::GET, "/files")).await;
    assert!(answer.status >= 500, "{answer:?}");
    assert_eq!(stage.record(&answer).await.state, ModelCallState::Failed);
    assert_eq!(stage.books.accounts().account(stage.principal).unwrap().total.tokens, 0, "nothing reached anybody");
}

#[tokio::test]
async fn what_is_passed_on_ends_within_every_limit() {
    type Limit = fn(&mut router::Options);
    let none: Limit = |_| ();
    let idle: Limit = |options| options.limits.inter_token = Duration::from_millis(200);
    let total: Limit = |options| options.limits.total = Duration::from_millis(200);
    for (what, limit, deadline) in [("idle", idle, None), ("total", total, None), ("deadline", none, Some("200"))] {
        let model = FaultyModel::start(Wire::OpenAiChat).await;
        let proxy = FaultProxy::start(model.address()).await;
        let providers = vec![mounted("a", Wire::OpenAiChat, &proxy.base_url(), Location::Local)];
        let stage = Stage::of(providers, limit).await;
        let deadline = deadline.map(|ms| ("x-devmesh-deadline-ms", ms));
        let headers = header_map(&deadline.into_iter().collect::<Vec<_>>());
        // So slowly that it would take minutes.
        proxy.set(Fault::Throttle { bytes_per_second: 5_000 }).await;
        let request = PassThrough { headers, body: every_byte(), ..stage.passing("a", Method::POST, "/audio/speech") };
        let begun = Instant::now();
        let response = stage.router.pass_through(request).await;
        if what == "idle" {
            proxy.set(Fault::Stall).await;
        }
        if let Body::Stream(stream) = response.into_body() {
            let pieces: Vec<_> = stream.collect().await;
            assert!(pieces.last().unwrap().is_err(), "{what}: {} pieces", pieces.len());
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}: {:?}", begun.elapsed());
    }
}
