//! Whose fault a failure is: who pays for it, what everybody is told of it, and what stays of it.

use crate::stage::{
    Answer, CHAIN, DIALECTS, Ends, MODEL, Stage, asking, header_map, keyed, mounted, streamed, unstreamed,
};
use domain::PrincipalId;
use futures_util::StreamExt;
use http::Method;
use protocol::Location;
use router::{
    Caller,
    dialect::Dialect,
    gateway::{Body, PassThrough},
};
use serde_json::json;
use std::time::Duration;
use testkit::{FaultyModel, Reply, RetryAfter, ServedModel, Wire};
use tokio_util::sync::CancellationToken;

const CHAT: Dialect = Dialect::OpenAiChat;

fn of(message: &str) -> String {
    json!({"error": {"message": message}}).to_string()
}

/// The keys that a model was asked with, in order.
fn keys(model: &FaultyModel) -> Vec<String> {
    model.received().iter().map(|request| request.headers["authorization"].replace("Bearer ", "")).collect()
}

#[tokio::test(start_paused = true)]
async fn a_key_rests_only_for_what_is_said_of_it() {
    let too_dear = of("This request requires more credits, or fewer max_tokens.");
    let beta = [("openai-beta", "a=1")];
    for (what, reply, headers, asked_for_the_first, rests) in [
        ("an unknown key", Reply::bad_key(), &[][..], 2, true),
        ("an account without money", Reply::http_error(402, of("Insufficient Balance")), &[], 2, true),
        ("asked too often", Reply::rate_limited(RetryAfter::Seconds(600)), &[], 2, true),
        ("a request that is too dear", Reply::http_error(402, too_dear), &[], 1, false),
        ("a model that is not for this account", Reply::http_error(403, of("No access.")), &[], 1, false),
        ("a scope that is missing", Reply::http_error(401, of("Missing scopes: model.request")), &[], 1, false),
        ("a feature that the caller asked for", Reply::bad_key(), &beta, 2, false),
    ] {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(reply).then(Reply::text("Fine."));
        let provider = keyed("a", Wire::OpenAiChat, &model.base_url(), Location::Local, &["sk-one", "sk-two"]);
        let stage = Stage::of(vec![provider], |options| options.routes[0].policy.retries = 0).await;
        stage.ask(CHAT, &streamed(CHAT), headers).await;
        assert_eq!(model.received().len(), asked_for_the_first, "{what}");
        for _ in 0..4 {
            assert_eq!(stage.ask(CHAT, &streamed(CHAT), &[]).await.said(), "Fine.", "{what}");
        }
        let later = &keys(&model)[asked_for_the_first..];
        let first = later.iter().filter(|key| **key == keys(&model)[0]).count();
        assert_eq!((later.len(), first == 0), (4, rests), "{what}: {later:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_one_model_is_tired_of_is_good_for_another_one() {
    let models = [ServedModel::new(MODEL), ServedModel::new("other")];
    let model = FaultyModel::serve(Wire::OpenAiChat, models).await;
    let model = model.then(Reply::rate_limited(RetryAfter::Seconds(600))).then(Reply::text("Fine."));
    let stage = Stage::over(&[&model]).await;
    assert_eq!(stage.ask(CHAT, &unstreamed(CHAT), &[]).await.status, 429);
    let mut body = unstreamed(CHAT);
    body["model"] = json!("a/other");
    assert_eq!(stage.ask(CHAT, &body, &[]).await.said(), "Fine.");
    let again = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
    assert_eq!((again.status, model.received().len()), (429, 2), "nobody is asked in vain: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_mended_works_again_soon() {
    for (location, longest) in [(Location::Local, 15), (Location::Cloud, 30)] {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::bad_key()).then(Reply::text("Fine."));
        let stage = Stage::of(vec![mounted("a", Wire::OpenAiChat, &model.base_url(), location)], |_| ()).await;
        let refused = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
        assert!(refused.status >= 500, "{refused:?}");
        let resting = stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
        assert!(resting.error().contains("left alone for a moment, after HTTP 401"), "{resting:?}");
        assert_eq!(resting.header("x-should-retry"), Some("false"), "only a person can help: {resting:?}");
        assert_eq!(resting.header("retry-after"), None, "waiting alone does not mend it: {resting:?}");
        tokio::time::sleep(Duration::from_secs(longest)).await;
        assert_eq!(stage.ask(CHAT, &unstreamed(CHAT), &[]).await.said(), "Fine.");
    }
}

#[tokio::test(start_paused = true)]
async fn whose_account_a_request_is_for_is_not_the_callers_to_say() {
    let of_the_caller = [("openai-organization", "org-x"), ("openai-project", "proj-x"), ("openai-beta", "a=1")];
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    stage.ask(CHAT, &streamed(CHAT), &of_the_caller).await;
    let request = stage.passing("a", Method::POST, "/audio/speech");
    stage.pass(PassThrough { headers: header_map(&of_the_caller), ..request }).await;
    let received = model.received();
    assert_eq!(received.len(), 2);
    for request in received {
        let told = |name: &str| request.headers.get(name).map(String::as_str);
        let seen = (told("openai-organization"), told("openai-project"), told("openai-beta"));
        assert_eq!(seen, (None, None, Some("a=1")), "{}", request.path);
    }
}

#[tokio::test(start_paused = true)]
async fn one_callers_request_that_a_server_cannot_stand_is_nobody_elses_trouble() {
    let template = || Reply::http_error(500, of("Unexpected message role."));
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    for _ in 0..10 {
        model.push(template());
    }
    model.push(Reply::text("Fine."));
    let stage = Stage::with(&[&model], |options| options.routes[0].policy.retries = 0).await;
    for _ in 0..12 {
        stage.ask(CHAT, &streamed(CHAT), &[]).await;
    }
    // Its own requests are left alone after five; those of everybody else are not.
    assert_eq!(model.received().len(), 5);
    let other = || {
        let mut inbound = stage.inbound(CHAT, &streamed(CHAT), &[]);
        inbound.caller = Caller::new(PrincipalId(uuid::Uuid::from_u128(7)));
        inbound
    };
    for _ in 0..5 {
        model.wait_for(5).await;
        let answer = Answer::read(CHAT, stage.router.answer(other()).await).await;
        assert!(answer.status != 503 || answer.error().contains("role"), "{answer:?}");
    }
    assert_eq!(model.received().len(), 10, "every one of them was asked");
}

#[tokio::test(start_paused = true)]
async fn who_is_left_alone_says_why_and_for_how_long() {
    let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(503));
    let stage = Stage::with(&[&model], |options| options.routes[0].policy.retries = 0).await;
    for dialect in DIALECTS {
        for _ in 0..5 {
            stage.ask(dialect, &streamed(dialect), &[]).await;
        }
        let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
        assert!(answer.error().contains("left alone") && answer.error().contains("HTTP 503"), "{answer:?}");
        assert_eq!(answer.header("x-should-retry"), None, "{answer:?}");
        let wait: u64 = answer.header("retry-after").expect("it says when").parse().unwrap();
        assert!((1..=15).contains(&wait), "{wait}");
    }
    assert_eq!(model.received().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_vendor_is_told_as_one() {
    for (dialect, status) in [(Dialect::Anthropic, 529), (Dialect::OpenAiChat, 503), (Dialect::OllamaChat, 503)] {
        let model = FaultyModel::start(Wire::Anthropic).await.then(Reply::status(529));
        let stage = Stage::over(&[&model]).await;
        let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (status, None), "{dialect:?}: {answer:?}");
        assert!(answer.error().to_lowercase().contains("overloaded"), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_help_is_told_whoever_failed_first() {
    for (first, second, again) in [
        (Reply::bad_key(), Reply::status(503), None),
        (Reply::status(503), Reply::bad_key(), None),
        (Reply::bad_key(), Reply::bad_key(), Some("false")),
        (Reply::bad_key(), Reply::status(404), Some("false")),
    ] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(first);
        let b = FaultyModel::start(Wire::OpenAiChat).await.then(second);
        let stage = Stage::over(&[&a, &b]).await;
        let answer = stage.ask(CHAT, &streamed(CHAT), &[]).await;
        assert_eq!(answer.header("x-should-retry"), again, "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_servers_words_are_for_the_caller_and_not_for_the_record() {
    let prompt = "the-callers-own-words";
    let quoting = of(&format!("cannot parse `{prompt}`"));
    for reply in [
        Reply::http_error(400, quoting.clone()),
        Reply::http_error(500, quoting.clone()),
        Reply::http_error(403, quoting.clone()),
        Reply::http_error(429, quoting.clone()),
        Reply::text("never").error_after(0, prompt),
        Reply::text("one two").error_after(2, prompt),
        Reply::call(prompt, json!({})),
    ] {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(reply);
        let stage = Stage::with(&[&model], |options| options.routes[0].policy.retries = 0).await;
        let answer = stage.ask(CHAT, &asking(CHAT, prompt, true), &[]).await;
        assert!(answer.body.contains(prompt), "{answer:?}");
        let record = serde_json::to_string(&stage.record(&answer).await).unwrap();
        assert!(!record.contains(prompt), "{record}");
    }
}

#[tokio::test]
async fn the_ledger_tells_what_left_and_what_did_not() {
    let nobody = FaultyModel::refusing();
    let providers = vec![mounted("a", Wire::OpenAiChat, &nobody.base_url(Wire::OpenAiChat), Location::Cloud)];
    let stage = Stage::of(providers, |options| options.routes[0].policy.retries = 0).await;
    stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
    let reasons = async |stage: &Stage| {
        stage.books.flush().await;
        let rows = stage.store.page_of_ledger(0, 10).await.unwrap().rows;
        assert!(rows.windows(2).all(|two| two[0].body_sha256 == two[1].body_sha256), "{rows:?}");
        rows.into_iter().map(|row| row.reason).collect::<Vec<_>>()
    };
    let told = reasons(&stage).await;
    assert!(told.len() == 2 && told[1].starts_with("never left"), "{told:?}");

    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let providers = vec![mounted("a", Wire::OpenAiChat, &model.base_url(), Location::Cloud)];
    let mut stage = Stage::of(providers, |_| ()).await;
    stage.egress = protocol::Egress::Redacted;
    let image = json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}});
    let body = json!({"model": CHAIN, "messages": [{"role": "user", "content": [image]}]});
    let refused = stage.ask(CHAT, &body, &[]).await;
    let told = reasons(&stage).await;
    assert_eq!((refused.status, model.received().len()), (403, 0), "{refused:?}");
    assert!(told.len() == 1 && told[0].starts_with("refused before sending"), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_ends_an_answer_with_an_error_and_never_as_a_whole_one() {
    for dialect in DIALECTS {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("one two three").stall_after(2));
        let stage = Stage::over(&[&model]).await;
        let revoked = CancellationToken::new();
        let mut inbound = stage.inbound(dialect, &streamed(dialect), &[]);
        inbound.caller.revoked = revoked.clone();
        let response = stage.router.answer(inbound).await;
        revoked.cancel();
        let answer = Answer::read(dialect, response).await;
        let Ends { whole, errors, .. } = answer.ends();
        assert_eq!((whole, errors), (0, 1), "{dialect:?}: {answer:?}");
        assert!(answer.body.contains("revoked"), "{dialect:?}: {answer:?}");
        let account = stage.books.accounts().account(stage.principal).unwrap();
        assert!(account.total.tokens > 0 && account.running_requests == 0, "what was said is paid: {account:?}");
    }
    // Another endpoint's bytes have no word for it: the connection breaks.
    let model = FaultyModel::start(Wire::OpenAiChat).await;
    let stage = Stage::over(&[&model]).await;
    let mut request = stage.passing("a", Method::POST, "/audio/speech");
    let revoked = CancellationToken::new();
    request.caller.revoked = revoked.clone();
    let Body::Stream(stream) = stage.router.pass_through(request).await.into_body() else { panic!("it streams") };
    revoked.cancel();
    assert!(stream.collect::<Vec<_>>().await.last().unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn what_an_ollama_is_told_otherwise_is_named() {
    let model = FaultyModel::start(Wire::Ollama).await.then(Reply::text("Fine."));
    let stage = Stage::over(&[&model]).await;
    let dialect = Dialect::OllamaChat;
    for (change, lost) in [
        (json!({"keep_alive": 0}), Some("/keep_alive")),
        (json!({"options": {"num_ctx": 131_072}}), Some("/options/num_ctx")),
        (json!({"options": {"temperature": 0.5}}), None),
    ] {
        let mut body = unstreamed(dialect);
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = stage.ask(dialect, &body, &[]).await;
        assert_eq!((answer.status, answer.header("x-devmesh-lost-fields")), (200, lost), "{change}: {answer:?}");
    }
    let unload = stage.ask(dialect, &json!({"model": CHAIN, "messages": [], "keep_alive": 0}), &[]).await;
    assert_eq!(unload.header("x-devmesh-lost-fields"), Some("/keep_alive"), "{unload:?}");
    assert!(unload.header("x-devmesh-notice").is_some() && !unload.body.contains("unload"), "{unload:?}");
}
