//! Each fault as it looks on the wire.

use super::{ask, http, server, streamed};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::{FaultyModel, Reply, RetryAfter, Wire};

fn spoken() -> Reply {
    Reply::text("one two three")
}

#[tokio::test]
async fn a_cut_ends_the_stream_without_a_word_about_it() {
    for wire in Wire::ALL {
        let got = streamed(&server(wire, spoken().cut_after(2)).await).await;
        assert_eq!((got.text(wire).as_str(), got.ended), ("one two ", true), "{wire:?}");
        assert_eq!((got.done(wire), got.finish(wire)), (false, None), "{wire:?}");
        let all = streamed(&server(wire, spoken().cut_after(9)).await).await;
        assert_eq!((all.text(wire).as_str(), all.done(wire), all.finish(wire)), ("one two three", false, None));
        let none = streamed(&server(wire, spoken().cut_after(0)).await).await;
        assert_eq!((none.text(wire).as_str(), none.frames.is_empty()), ("", wire == Wire::Ollama));
    }
}

#[tokio::test]
async fn tool_calls_are_cut_after_their_opening() {
    for wire in [Wire::OpenAiChat, Wire::OpenAiResponses, Wire::Anthropic] {
        let got = streamed(&server(wire, Reply::call("shell", json!({"command": "ls"})).cut_after(1)).await).await;
        let opening = got.frames.iter().rfind(|frame| frame.to_string().contains("shell"));
        assert!(opening.is_some() && !got.done(wire), "{wire:?}");
    }
}

#[tokio::test]
async fn a_reset_breaks_the_stream_after_its_tokens() {
    for wire in Wire::ALL {
        let got = streamed(&server(wire, spoken().reset_after(2)).await).await;
        assert_eq!((got.text(wire).as_str(), got.ended), ("one two ", false), "{wire:?}");
    }
}

#[tokio::test]
async fn a_stall_keeps_the_connection_and_says_nothing() {
    for wire in Wire::ALL {
        for (reply, tokens) in [(spoken().stall_after(2), 2), (Reply::role_only_then_stall(), 0)] {
            let model = server(wire, reply).await;
            let mut response = ask(&model, true).await;
            let mut body = String::new();
            while let Ok(chunk) = tokio::time::timeout(Duration::from_millis(50), response.chunk()).await {
                body.push_str(&String::from_utf8_lossy(&chunk.unwrap().expect("no end")));
            }
            assert_eq!((body.contains("\"one "), body.contains("two")), (tokens == 2, tokens == 2), "{wire:?}: {body}");
            assert!(!body.is_empty() && !body.contains("never"), "{wire:?}");
            drop(response);
            assert_eq!(model.wait_for_disconnect().await.tokens_sent, tokens, "{wire:?}");
        }
    }
}

#[tokio::test]
async fn garbage_stands_between_sound_frames_or_alone() {
    for wire in Wire::ALL {
        let got = streamed(&server(wire, spoken().garbage_after(1)).await).await;
        assert_eq!((got.text(wire).as_str(), got.done(wire)), ("one two three", true), "{wire:?}");
        assert_eq!(got.others.iter().filter(|frame| frame.starts_with('{')).count(), 1, "{wire:?}");
        let got = streamed(&server(wire, Reply::garbage_only()).await).await;
        assert_eq!((got.frames.len(), got.others.len(), got.ended), (0, 1, true), "{wire:?}");
    }
}

#[tokio::test]
async fn an_error_in_the_stream_is_the_dialects_own() {
    for (wire, pointer) in [
        (Wire::OpenAiChat, "/error/message"),
        (Wire::OpenAiResponses, "/response/error/message"),
        (Wire::Anthropic, "/error/message"),
        (Wire::Ollama, "/error"),
    ] {
        let got = streamed(&server(wire, spoken().error_after(1, "out of memory")).await).await;
        let last = got.frames.last().unwrap();
        assert_eq!((last.pointer(pointer).unwrap(), got.text(wire).as_str()), (&json!("out of memory"), "one "));
        assert!(!got.done(wire) && got.ended, "{wire:?}");
        let numbers: Vec<u64> = got.frames.iter().filter_map(|frame| frame["sequence_number"].as_u64()).collect();
        assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{numbers:?}");
    }
}

#[tokio::test]
async fn only_the_last_word_is_missing() {
    for wire in Wire::ALL {
        let got = streamed(&server(wire, spoken().without_done()).await).await;
        assert_eq!((got.text(wire).as_str(), got.done(wire), got.ended), ("one two three", false, true), "{wire:?}");
    }
    for (wire, reason) in [(Wire::OpenAiChat, "stop"), (Wire::Anthropic, "end_turn")] {
        let got = streamed(&server(wire, spoken().without_done()).await).await;
        assert_eq!(got.finish(wire), Some(reason));
    }
}

#[tokio::test]
async fn one_body_breaks_in_its_middle() {
    for wire in Wire::ALL {
        for reply in [spoken().cut_after(1), spoken().reset_after(1)] {
            assert!(ask(&server(wire, reply).await, false).await.bytes().await.is_err(), "{wire:?}");
        }
        for reply in [spoken().garbage_after(1), Reply::garbage_only()] {
            let body = ask(&server(wire, reply).await, false).await.bytes().await.unwrap();
            assert!(serde_json::from_slice::<Value>(&body).is_err(), "{wire:?}");
        }
        let failed = ask(&server(wire, spoken().error_after(1, "out of memory")).await, false).await;
        assert_eq!(failed.status(), 500, "{wire:?}");
        assert!(failed.text().await.unwrap().contains("out of memory"));
        let unfinished = server(wire, spoken().without_done()).await;
        let body: Value = ask(&unfinished, false).await.json().await.unwrap();
        for pointer in ["/choices/0/finish_reason", "/stop_reason", "/done_reason"] {
            assert!(body.pointer(pointer).is_none_or(Value::is_null), "{wire:?}: {body}");
        }
        let stalled = server(wire, spoken().stall_after(1)).await;
        let reading = ask(&stalled, false).await.bytes();
        assert!(tokio::time::timeout(Duration::from_millis(50), reading).await.is_err(), "{wire:?}");
        stalled.wait_for_disconnect().await;
    }
}

#[tokio::test]
async fn refusals_are_in_the_vendors_words() {
    use Wire::{Anthropic, Ollama, OpenAiChat, OpenAiResponses};
    for (wire, reply, status, words) in [
        (OpenAiChat, Reply::overflow(), 400, "context_length_exceeded"),
        (OpenAiResponses, Reply::overflow(), 400, "exceeds the context window"),
        (Anthropic, Reply::overflow(), 400, "prompt is too long: 9192 tokens > 8192 maximum"),
        (Ollama, Reply::overflow(), 400, "exceeds the context length"),
        (OpenAiChat, Reply::filtered(), 400, "content_policy_violation"),
        (OpenAiResponses, Reply::filtered(), 400, "invalid_prompt"),
        (Anthropic, Reply::filtered(), 400, "content filtering policy"),
        (OpenAiChat, Reply::bad_key(), 401, "invalid_api_key"),
        (Anthropic, Reply::bad_key(), 401, "authentication_error"),
        (Ollama, Reply::bad_key(), 401, "unauthorized"),
        (OpenAiChat, Reply::status(402), 402, "insufficient_quota"),
        (Anthropic, Reply::status(529), 529, "overloaded_error"),
        (Ollama, Reply::status(503), 503, "server busy"),
        (OpenAiChat, Reply::http_error(418, "tea"), 418, "tea"),
    ] {
        let refused = ask(&server(wire, reply).await, true).await;
        assert_eq!(refused.status(), status, "{wire:?}");
        let body = refused.text().await.unwrap();
        assert!(body.contains(words), "{wire:?}: {body}");
    }
    for (wire, reason) in [(OpenAiChat, "content_filter"), (OpenAiResponses, "content_filter"), (Anthropic, "refusal")]
    {
        let got = streamed(&server(wire, spoken().filtered_while_answering()).await).await;
        assert_eq!(got.finish(wire), Some(reason));
    }
    for wire in Wire::ALL {
        let model = FaultyModel::start(wire).await;
        let missing = http().post(model.url()).json(&wire.question("absent", "hi", true)).send().await.unwrap();
        assert_eq!(missing.status(), 404, "{wire:?}");
    }
}

#[tokio::test]
async fn waits_are_told_in_each_form() {
    let forms =
        [RetryAfter::Seconds(3), RetryAfter::Millis(250), RetryAfter::Date(Duration::from_secs(60)), RetryAfter::None];
    let model = FaultyModel::start(Wire::Anthropic).await;
    let mut told = Vec::new();
    for form in forms {
        model.push(Reply::rate_limited(form));
        let refused = ask(&model, true).await;
        assert_eq!(refused.status(), 429);
        let header = |name: &str| Some(refused.headers().get(name)?.to_str().unwrap().to_owned());
        told.push((header("retry-after"), header("retry-after-ms")));
    }
    assert_eq!(told[0], (Some("3".to_owned()), None));
    assert_eq!(told[1], (None, Some("250".to_owned())));
    assert!(told[2].0.as_ref().unwrap().ends_with(" GMT"));
    assert_eq!(told[3], (None, None));
}

#[tokio::test]
async fn a_status_comes_once() {
    let model = server(Wire::OpenAiChat, spoken().status_once(503)).await;
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(ask(&model, true).await.status().as_u16());
    }
    assert_eq!(statuses, [503, 200, 200]);
}

#[tokio::test]
async fn the_wrong_content_type_changes_nothing_else() {
    let answer = ask(&server(Wire::Ollama, spoken().wrong_content_type()).await, true).await;
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(answer.text().await.unwrap().contains("three"));
}

#[tokio::test]
#[should_panic(expected = "Ollama has no content filter")]
async fn ollama_filters_nothing() {
    server(Wire::Ollama, Reply::filtered()).await;
}
