//! What a client is told about trying again: to wait where that helps, and not to where only a person can.

use crate::stage::{Answer, CALLERS, DIALECTS, MODEL, Stage, own_wire, question, streamed, unstreamed};
use router::dialect::Dialect;
use serde_json::json;
use std::time::Duration;
use testkit::{FaultyModel, Reply, RetryAfter, ServedModel, Wire};
use tokio::time::Instant;

const CHAT: Dialect = Dialect::OpenAiChat;

fn told(answer: &Answer) -> (Option<&str>, bool) {
    (answer.header("x-should-retry"), answer.header("retry-after").is_some())
}

#[tokio::test(start_paused = true)]
async fn only_what_a_person_must_mend_is_not_to_be_tried_again() {
    for (status, expected) in [
        (400, Some("false")),
        (401, Some("false")),
        (402, Some("false")),
        (403, Some("false")),
        (404, Some("false")),
        (413, Some("false")),
        (408, None),
        (429, None),
        (500, None),
        (503, None),
        (529, None),
    ] {
        for (number, dialect) in CALLERS.into_iter().enumerate() {
            for wire in [own_wire(dialect), Wire::ALL[number % 4]] {
                let model = FaultyModel::start(wire).await.then(Reply::status(status));
                let stage = Stage::with(&[&model], |options| options.routes[0].policy.retries = 0).await;
                let answer = stage.ask(dialect, &streamed(dialect), &[]).await;
                assert_eq!(told(&answer), (expected, false), "{status} of {wire:?} to {dialect:?}: {answer:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_target_that_may_answer_later_is_reason_enough_to_come_back() {
    for (first, expected) in [(400, 400), (401, 503), (404, 503)] {
        let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(first));
        let b = FaultyModel::start(Wire::Ollama).await.then(Reply::status(503));
        let answer = Stage::over(&[&a, &b]).await.ask(CHAT, &unstreamed(CHAT), &[]).await;
        assert_eq!((answer.status, told(&answer)), (expected, (None, false)), "{first}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_to_wait_longer_than_until_the_first_target_may_answer() {
    for (waits, expected) in [([600, 30], 30), ([30, 600], 30)] {
        let models = [Wire::OpenAiChat, Wire::Anthropic].map(FaultyModel::start);
        let [a, b] = futures_util::future::join_all(models).await.try_into().map_err(drop).unwrap();
        let a = a.then(Reply::rate_limited(RetryAfter::Seconds(waits[0])));
        let b = b.then(Reply::rate_limited(RetryAfter::Seconds(waits[1])));
        let answer = Stage::over(&[&a, &b]).await.ask(CHAT, &unstreamed(CHAT), &[]).await;
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((expected - 1..=expected).contains(&wait), "{waits:?}: {answer:?}");
    }
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::rate_limited(RetryAfter::Seconds(600)));
    let b = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(503));
    let answer = Stage::over(&[&a, &b]).await.ask(CHAT, &unstreamed(CHAT), &[]).await;
    assert_eq!(told(&answer), (None, false), "b says no time: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_is_passed_on_with_any_status_and_in_the_providers_own_error() {
    for dialect in DIALECTS {
        for status in [429, 500, 503] {
            let reply = Reply::status(status).retry_after(RetryAfter::Seconds(40));
            let model = FaultyModel::start(own_wire(dialect)).await.then(reply.clone()).then(reply);
            let answer = Stage::over(&[&model]).await.ask(dialect, &unstreamed(dialect), &[]).await;
            let wait: u64 = answer.header("retry-after").expect("a wait").parse().unwrap();
            assert!((39..=40).contains(&wait), "{status} to {dialect:?}: {answer:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_key_is_told_with_its_cause_and_never_offered_for_later() {
    for dialect in DIALECTS {
        let model = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::bad_key());
        let stage = Stage::over(&[&model]).await;
        for number in 0..3 {
            let answer = stage.ask(dialect, &question(dialect, number % 2 == 0), &[]).await;
            assert_eq!(told(&answer), (Some("false"), false), "{dialect:?}: {answer:?}");
            assert!(answer.status >= 500 && answer.error().contains("HTTP 401"), "{dialect:?}: {answer:?}");
        }
        assert_eq!(model.received().len(), 1, "it rests");
    }
}

#[tokio::test(start_paused = true)]
async fn the_breakers_pause_and_the_last_cause_are_told() {
    for dialect in DIALECTS {
        let model = FaultyModel::start(own_wire(dialect)).await.then(Reply::status(503));
        let stage = Stage::with(&[&model], |options| options.routes[0].policy.retries = 0).await;
        for _ in 0..5 {
            stage.ask(dialect, &unstreamed(dialect), &[]).await;
        }
        let answer = stage.ask(dialect, &unstreamed(dialect), &[]).await;
        assert_eq!(model.received().len(), 5, "it is left alone");
        assert_eq!(told(&answer), (None, true), "{answer:?}");
        assert!(answer.error().contains("HTTP 503"), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_others_came_to_stands_in_what_a_whole_plan_came_to() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::status(500));
    let b = FaultyModel::start(Wire::Ollama).await.then(Reply::status(404));
    let answer = Stage::over(&[&a, &b]).await.ask(CHAT, &unstreamed(CHAT), &[]).await;
    let error = answer.error();
    assert!(error.contains("no other target") && error.contains("b/faulty") && error.contains("HTTP 404"), "{error}");
    assert_eq!(answer.json()["error"]["type"], "server_error", "the rest of the vendor's error stays: {answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_the_caller_has_no_time_for_leads_on() {
    let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::rate_limited(RetryAfter::Seconds(2)));
    let b = FaultyModel::start(Wire::Ollama).await.then(Reply::text("Forty two."));
    let deadline = [("x-devmesh-deadline-ms", "1500")];
    let begun = Instant::now();
    let answer = Stage::over(&[&a, &b]).await.ask(CHAT, &streamed(CHAT), &deadline).await;
    assert_eq!(answer.said(), "Forty two.", "{answer:?}");
    let answer = Stage::over(&[&a]).await.ask(CHAT, &streamed(CHAT), &deadline).await;
    assert_eq!((answer.status, told(&answer)), (429, (None, true)), "the cause, and not that time is up: {answer:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn two_models_share_a_refused_key_and_nothing_that_one_of_them_is_forbidden() {
    for (status, asked) in [(401, 1), (402, 1), (403, 2), (404, 2)] {
        for wire in [Wire::OpenAiChat, Wire::Anthropic] {
            let models = [ServedModel::new(MODEL), ServedModel::new("other")];
            let model = FaultyModel::serve(wire, models).await;
            let model = model.then(Reply::status(status)).then(Reply::text("Forty two."));
            let stage = Stage::over(&[&model]).await;
            stage.ask(CHAT, &unstreamed(CHAT), &[]).await;
            let mut body = unstreamed(CHAT);
            body["model"] = json!("a/other");
            let answer = stage.ask(CHAT, &body, &[]).await;
            assert_eq!(answer.status == 200, asked == 2, "{status} of {wire:?}: {answer:?}");
            assert_eq!(model.received().len(), asked, "{status} of {wire:?}: {answer:?}");
        }
    }
}
