//! A provider's error as the caller gets it: its own bytes where both speak the same, its meaning elsewhere.

use crate::stage::{Answer, CALLERS, Stage, own_wire, question};
use router::dialect::Dialect;
use serde_json::{Value, json};
use testkit::{FaultyModel, Reply, Wire};

/// An error as a vendor says it, with a field that only this vendor has.
fn said(wire: Wire, status: u16) -> (Reply, String) {
    let message = format!("word {status}: no such luck");
    let body = match wire {
        Wire::Ollama => json!({"error": message, "hint": "of next year"}),
        Wire::Anthropic => json!({
            "type": "error", "error": {"type": "novel_error", "message": message, "details": {"a": 1}},
            "request_id": "req_1",
        }),
        _ => {
            json!({"error": {"message": message, "type": "novel_error", "param": "/x", "code": "novel", "inner": [1]}})
        }
    };
    // White space that nobody would write again.
    let body = body.to_string().replacen('{', "{ ", 1);
    (Reply::http_error(status, body.clone()), body)
}

async fn failed(dialect: Dialect, wire: Wire, reply: &Reply, stream: bool) -> Answer {
    let model = FaultyModel::start(wire).await.then(reply.clone()).then(reply.clone());
    Stage::over(&[&model]).await.ask(dialect, &question(dialect, stream), &[]).await
}

#[tokio::test(start_paused = true)]
async fn a_vendors_error_reaches_a_caller_of_that_vendor_to_the_byte() {
    for dialect in CALLERS {
        for (number, status) in [400, 404, 408, 409, 413, 418, 422, 429, 500, 503, 504, 529].into_iter().enumerate() {
            let (reply, body) = said(own_wire(dialect), status);
            let answer = failed(dialect, own_wire(dialect), &reply, number % 2 == 0).await;
            assert_eq!((answer.status, answer.body.as_str()), (status, body.as_str()), "{dialect:?}");
            assert_eq!(answer.header("content-type"), Some("application/json"), "{dialect:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn codes_that_clients_act_on_stay_what_they_are() {
    for (dialect, wire) in [
        (Dialect::OpenAiChat, Wire::OpenAiChat),
        (Dialect::OpenAiCompletions, Wire::OpenAiChat),
        (Dialect::OpenAiResponses, Wire::OpenAiResponses),
    ] {
        for (code, status) in
            [("content_policy_violation", 400), ("context_length_exceeded", 400), ("model_not_found", 404)]
        {
            let error = json!({"message": "no", "type": "invalid_request_error", "param": "input[3]", "code": code});
            let reply = Reply::http_error(status, json!({"error": error}).to_string());
            let answer = failed(dialect, wire, &reply, true).await;
            assert_eq!((answer.status, &answer.json()["error"]), (status, &error), "{dialect:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_keeps_its_meaning_for_callers_of_another_api() {
    // Status, what each vendor says in its place, and the code that OpenAI's clients know it by.
    for (status, [openai, anthropic, ollama], code, kind) in [
        (400, [400; 3], Value::Null, "invalid_request_error"),
        (404, [404; 3], json!("model_not_found"), "not_found_error"),
        (405, [405; 3], Value::Null, "invalid_request_error"),
        (409, [503, 529, 503], json!("model_unavailable"), "overloaded_error"),
        (413, [413; 3], Value::Null, "request_too_large"),
        (422, [422; 3], Value::Null, "invalid_request_error"),
        (429, [429; 3], json!("rate_limit_exceeded"), "rate_limit_error"),
        (500, [502; 3], json!("model_failed"), "api_error"),
        (503, [503, 529, 503], json!("model_unavailable"), "overloaded_error"),
        (529, [503, 529, 503], json!("overloaded"), "overloaded_error"),
    ] {
        for dialect in CALLERS {
            for wire in Wire::ALL.into_iter().filter(|wire| *wire != own_wire(dialect)) {
                let answer = failed(dialect, wire, &said(wire, status).0, true).await;
                let what = format!("{status} of {wire:?} to {dialect:?}: {answer:?}");
                let expected = match own_wire(dialect) {
                    Wire::Anthropic => anthropic,
                    Wire::Ollama => ollama,
                    Wire::OpenAiChat | Wire::OpenAiResponses => openai,
                };
                assert_eq!(answer.status, expected, "{what}");
                assert!(answer.error().contains(&format!("word {status}")), "{what}");
                match own_wire(dialect) {
                    Wire::Anthropic => assert_eq!(answer.json()["error"]["type"], kind, "{what}"),
                    Wire::Ollama => {}
                    _ => assert_eq!(answer.json()["error"]["code"], code, "{what}"),
                }
                assert!(!answer.body.contains("novel"), "words of another API: {what}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_vendor_says_in_the_middle_of_an_answer_keeps_its_codes() {
    let error = json!({"message": "It ran dry.", "type": "server_error", "param": null, "code": "engine_is_dry"});
    let chunk = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": "One "}}]});
    let stream = format!("data: {chunk}\n\ndata: {}\n\n", json!({ "error": error }));
    let model = testkit::FaultyModel::start(Wire::OpenAiChat).await.then(Reply::verbatim(stream.clone()));
    let stage = Stage::over(&[&model]).await;
    let answer = stage.ask(Dialect::OpenAiChat, &question(Dialect::OpenAiChat, true), &[]).await;
    let last = answer.frames().pop().unwrap();
    assert_eq!((&last["error"], answer.said().as_str()), (&error, "One "), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_account_without_money_is_not_the_callers() {
    let error = json!({"message": "No credit.", "type": "insufficient_quota", "code": "insufficient_quota"});
    for dialect in CALLERS {
        let reply = Reply::http_error(429, json!({ "error": error }).to_string());
        let answer = failed(dialect, Wire::OpenAiChat, &reply, false).await;
        assert!(answer.status >= 500, "{dialect:?}: {answer:?}");
        assert_eq!(answer.header("x-should-retry"), Some("false"), "{dialect:?}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_nobody_answers_each_failure_is_told_once() {
    let missing = json!({"error": {"message": "The model does not exist.", "code": "model_not_found"}}).to_string();
    for wire in Wire::ALL {
        for dialect in CALLERS {
            let a = FaultyModel::start(Wire::OpenAiChat).await.then(Reply::http_error(404, missing.clone()));
            let b = FaultyModel::start(wire).await.then(said(wire, 500).0);
            let stage = Stage::over(&[&a, &b]).await;
            let answer = stage.ask(dialect, &question(dialect, true), &[]).await;
            let (error, what) = (answer.error(), format!("{dialect:?} over {wire:?}: {answer:?}"));
            // The one that may pass by itself is told in full, the other in a few words of ours.
            for once in ["word 500", "a/faulty:latest: ", "no such model"] {
                assert_eq!(error.matches(once).count(), 1, "`{once}`, {what}");
            }
            assert!(!error.contains("b/faulty"), "{what}");
        }
    }
}
