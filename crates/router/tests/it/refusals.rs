//! Providers that refuse: whose fault it is decides who is asked next, and what the caller is told.

use crate::stage::{CALLERS, DIALECTS, KEY, MODEL, Stage, keyed, question, streamed, unstreamed};
use protocol::Location;
use router::dialect::Dialect;
use serde_json::json;
use std::time::Duration;
use testkit::{FaultyModel, Reply, RetryAfter, ServedModel, Wire};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_refused_rests_and_the_next_one_answers() {
    for wire in Wire::ALL {
        for status in [401, 402] {
            let model = FaultyModel::start(wire).await.then(Reply::status(status)).then(Reply::text("Forty two."));
            let keys = ["sk-bad", KEY];
            let provider = keyed("a", wire, &model.base_url(), Location::Local, &keys);
            let stage = Stage::of(vec![provider], |_| ()).await;
            for _ in 0..3 {
                let answer = stage.ask(Dialect::Anthropic, &streamed(Dialect::Anthropic), &[]).await;
                let what = format!("{status} of {wire:?}: {answer:?}");
                assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{what}");
            }
            let header = if wire == Wire::Anthropic { "x-api-key" } else { "authorization" };
            let used: Vec<_> = model.received().iter().map(|request| request.headers[header].clone()).collect();
            assert_eq!(used.len(), 4, "{status} of {wire:?}: {used:?}");
            assert!(used[1..].iter().all(|key| *key == used[1] && *key != used[0]), "{status} of {wire:?}: {used:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_accepted_is_seen_wherever_somebody_looks() {
    for wire in Wire::ALL {
        for dialect in DIALECTS {
            for status in [401, 402] {
                let model = FaultyModel::start(wire).await.then(Reply::status(status)).then(Reply::text("Forty two."));
                let keys = ["sk-bad", KEY];
                let provider = keyed("a", wire, &model.base_url(), Location::Cloud, &keys);
                let stage = Stage::of(vec![provider], |_| ()).await;
                let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
                let what = format!("{status} of {wire:?} to {dialect:?}: {answer:?}");
                assert_eq!((answer.said().as_str(), model.received().len()), ("Forty two.", 2), "{what}");

                let record = stage.record(&answer).await;
                let [refused, answered] = record.attempts.as_slice() else { panic!("{what}: {record:?}") };
                let told = refused.error.clone().unwrap_or_default();
                assert!(told.starts_with("key ") && told.contains(&format!("HTTP {status}")), "{what}: {told}");
                assert_eq!((answered.error.as_ref(), record.fallbacks), (None, 0), "{what}");

                stage.books.flush().await;
                let left = stage.store.page_of_ledger(0, 10).await.unwrap().rows;
                assert!(
                    left.len() == 2 && left[0].body_sha256 == left[1].body_sha256,
                    "it left twice, {what}: {left:?}"
                );

                tokio::time::advance(Duration::from_secs(7)).await;
                let told = stage.router.health().refused_keys;
                let [key] = told.as_slice() else { panic!("{what}: {told:?}") };
                assert_eq!((key.provider.as_str(), key.of, key.status), ("a", 2, status), "{what}");
                assert!(key.for_ms >= 7_000 && (1..=2).contains(&key.key), "{what}: {key:?}");

                // After its rest it is tried again, and accepted.
                tokio::time::advance(Duration::from_secs(30)).await;
                for _ in 0..2 {
                    stage.ask(dialect, &streamed(dialect), &[]).await;
                }
                assert_eq!(stage.router.health().refused_keys, [], "{what}");
            }
        }
    }
}

/// What a server says of a key after it said that all is well.
fn refused_inside(wire: Wire, stream: bool) -> Vec<Reply> {
    let of = |body: String, kind| Reply::verbatim(body).media_type(kind);
    let (json, lines, events) = ("application/json", "application/x-ndjson", "text/event-stream");
    let openai = json!({"error": {"message": "Incorrect API key provided.", "type": "x", "code": "invalid_api_key"}});
    match wire {
        Wire::Ollama => {
            let error = json!({"error": {"message": "unauthorized", "code": 401}});
            vec![of(format!("{error}\n"), lines), of(error.to_string(), json)]
        }
        Wire::Anthropic => {
            let error = json!({"type": "error", "error": {"type": "authentication_error", "message": "no"}});
            let poor = "Your credit balance is too low to access the API.";
            let poor = json!({"type": "error", "error": {"type": "invalid_request_error", "message": poor}});
            let whole = if stream {
                of(format!("event: error\ndata: {error}\n\n"), events)
            } else {
                of(error.to_string(), json)
            };
            vec![whole, Reply::http_error(400, poor.to_string())]
        }
        Wire::OpenAiResponses if stream => {
            let failed = json!({"type": "response.failed", "response": {"status": "failed", "error": openai["error"]}});
            vec![of(format!("data: {failed}\n\n"), events), of(openai.to_string(), json)]
        }
        Wire::OpenAiResponses => {
            vec![of(json!({"status": "failed", "error": openai["error"]}).to_string(), json)]
        }
        Wire::OpenAiChat => {
            let code = json!({"error": {"message": "No.", "code": 401}});
            vec![of(format!("data: {code}\n\n"), events), of(openai.to_string(), json)]
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_credential_that_is_refused_inside_a_success_rests_as_well() {
    for (wire, stream) in Wire::ALL.into_iter().flat_map(|wire| [(wire, true), (wire, false)]) {
        let dialect = match wire {
            Wire::OpenAiChat => Dialect::OpenAiChat,
            Wire::OpenAiResponses => Dialect::OpenAiResponses,
            Wire::Anthropic => Dialect::Anthropic,
            Wire::Ollama => Dialect::OllamaChat,
        };
        for refusal in refused_inside(wire, stream) {
            let what = format!("{wire:?} {stream} {refusal:?}");
            let model = FaultyModel::start(wire).await.then(refusal.clone()).then(Reply::text("Forty two."));
            let keys = ["sk-bad", KEY];
            let stage = Stage::of(vec![keyed("a", wire, &model.base_url(), Location::Local, &keys)], |_| ()).await;
            for _ in 0..3 {
                let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                assert_eq!((answer.status, answer.said().as_str()), (200, "Forty two."), "{what}: {answer:?}");
            }
            let header = if wire == Wire::Anthropic { "x-api-key" } else { "authorization" };
            let used: Vec<_> = model.received().iter().map(|request| request.headers[header].clone()).collect();
            assert_eq!(used.len(), 4, "{what}: {used:?}");
            assert!(used[1..].iter().all(|key| *key == used[1] && *key != used[0]), "{what}: {used:?}");

            let model = FaultyModel::start(wire).await.then(refusal);
            let stage = Stage::over(&[&model]).await;
            for _ in 0..3 {
                let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                assert!(answer.status >= 500 && !answer.body.contains(KEY), "{what}: {answer:?}");
                assert_eq!(answer.header("x-should-retry"), Some("false"), "{what}: {answer:?}");
            }
            assert_eq!(model.received().len(), 1, "the only key rests: {what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_providers_account_is_never_the_callers() {
    for dialect in CALLERS {
        for wire in Wire::ALL {
            for status in [401, 402, 403] {
                let model = FaultyModel::start(wire).await.then(Reply::status(status));
                let stage = Stage::over(&[&model]).await;
                for stream in [true, false] {
                    let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
                    assert!(answer.status >= 500, "{status} of {wire:?} to {dialect:?}: {answer:?}");
                    assert!(!answer.body.contains(KEY), "{answer:?}");
                }
                // The second one was not even asked: the only key rests. A 403 is about the model, and says nothing of the key.
                let asked = if status == 403 { 2 } else { 1 };
                assert_eq!(model.received().len(), asked, "{status} of {wire:?} to {dialect:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_is_told_as_it_is_and_not_asked_again() {
    for dialect in CALLERS {
        for wire in Wire::ALL {
            let model = FaultyModel::start(wire).await.then(Reply::status(400));
            let stage = Stage::over(&[&model]).await;
            let answer = stage.ask(dialect, &unstreamed(dialect), &[]).await;
            assert_eq!((answer.status, model.received().len()), (400, 1), "{wire:?} to {dialect:?}: {answer:?}");
            assert!(answer.error().contains("refused"), "{wire:?} to {dialect:?}: {answer:?}");
        }
    }
}

async fn with_window(tokens: u64) -> FaultyModel {
    FaultyModel::serve(Wire::Ollama, [ServedModel::new(MODEL).context_tokens(tokens)]).await
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_does_not_fit_goes_to_a_larger_window_and_to_no_other() {
    for dialect in CALLERS {
        for stream in [true, false] {
            let small = with_window(4096).await.then(Reply::overflow());
            let alike = with_window(4096).await;
            let large = with_window(8192).await.then(Reply::text("Forty two."));
            let stage = Stage::over(&[&small, &alike, &large]).await;
            let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
            let asked = [&small, &alike, &large].map(|model| model.received().len());
            let what = format!("{dialect:?}: {answer:?}");
            assert_eq!((answer.said().as_str(), asked), ("Forty two.", [1, 0, 1]), "{what}");

            let stage = Stage::over(&[&small, &alike]).await;
            let answer = stage.ask(dialect, &question(dialect, stream), &[]).await;
            assert_eq!((answer.status, alike.received().len()), (400, 0), "{what}");
            // An Ollama's own words where its API is spoken.
            let says = |words: &str| answer.error().contains(words);
            assert!(says("does not fit") || says("exceeds the context length"), "{dialect:?}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_too_long_is_the_callers_to_wait_for() {
    let forms = [RetryAfter::Seconds(600), RetryAfter::Millis(600_000), RetryAfter::Date(Duration::from_secs(600))];
    for dialect in CALLERS {
        for form in forms {
            let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::rate_limited(form));
            let stage = Stage::over(&[&model]).await;
            let begun = Instant::now();
            let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
            let what = format!("{form:?} to {dialect:?}: {answer:?}");
            assert_eq!((answer.status, model.received().len()), (429, 1), "{what}");
            let wait: u64 = answer.header("retry-after").expect(&what).parse().unwrap();
            assert!((595..=600).contains(&wait), "{what}");
            assert!(begun.elapsed() < Duration::from_secs(1), "{what}");
        }
    }
}

#[tokio::test]
async fn what_only_one_api_has_words_for_goes_to_who_speaks_it_and_is_never_left_out() {
    let sound = json!([{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "AAAA"}}]}]);
    for (field, value, place) in [("n", json!(2), "/n"), ("messages", sound, "/messages/0/content/0/type")] {
        let mut body = streamed(Dialect::OpenAiChat);
        body[field] = value.clone();
        let foreign = FaultyModel::start(Wire::Anthropic).await.then(Reply::text("Of something else."));
        let own = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::text("Heard."));
        let stage = Stage::over(&[&foreign, &own]).await;
        let answer = stage.ask(Dialect::OpenAiChat, &body, &[]).await;
        assert_eq!((foreign.received().len(), own.received().len()), (0, 1), "{place}: {answer:?}");
        assert_eq!(own.received()[0].body[field], value, "{place}");

        let stage = Stage::over(&[&foreign]).await;
        let answer = stage.ask(Dialect::OpenAiChat, &body, &[]).await;
        assert_eq!((answer.status, foreign.received().len()), (400, 0), "{place}: {answer:?}");
        assert!(answer.error().contains("API"), "{place}: {answer:?}");
    }
}

#[tokio::test]
async fn content_and_choices_that_a_wire_has_no_words_for_go_to_who_speaks_the_callers_api() {
    let shown = json!([
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "images": ["iVBORw0KGgoAAAANSUhEUg"]},
        {"role": "user", "content": "c"},
    ]);
    let spoken =
        json!([{"role": "assistant", "content": null, "audio": {"id": "audio_1"}}, {"role": "user", "content": "c"}]);
    let shell =
        json!([{"type": "local_shell_call_output", "id": "l", "output": "a.rs"}, {"role": "user", "content": "c"}]);
    let search = json!([{"type": "web_search_20250305", "name": "web_search"}]);
    let custom = json!([{"type": "custom", "custom": {"name": "patch"}}]);
    for (dialect, own, field, value) in [
        (Dialect::OllamaChat, Wire::Ollama, "messages", shown),
        (Dialect::OpenAiChat, Wire::OpenAiChat, "messages", spoken),
        (Dialect::OpenAiChat, Wire::OpenAiChat, "tools", custom),
        (Dialect::OpenAiResponses, Wire::OpenAiResponses, "input", shell),
        (Dialect::Anthropic, Wire::Anthropic, "tools", search),
    ] {
        let mut body = streamed(dialect);
        body[field] = value;
        for wire in Wire::ALL.into_iter().filter(|wire| *wire != own) {
            let foreign = FaultyModel::start(wire).await.then(Reply::text("Of something else."));
            let served = ServedModel::new(MODEL).capabilities(&["completion", "tools", "vision"]);
            let speaks = FaultyModel::serve(own, [served]).await.then(Reply::text("Seen."));
            let answer = Stage::over(&[&foreign, &speaks]).await.ask(dialect, &body, &[]).await;
            let asked = (foreign.received().len(), speaks.received().len());
            assert_eq!((answer.said().as_str(), asked), ("Seen.", (0, 1)), "{field} over {wire:?}: {answer:?}");
            let answer = Stage::over(&[&foreign]).await.ask(dialect, &body, &[]).await;
            assert_eq!((answer.status, foreign.received().len()), (400, 0), "{field} over {wire:?}: {answer:?}");
        }
    }
}
