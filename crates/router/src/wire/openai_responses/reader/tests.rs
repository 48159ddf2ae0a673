use super::*;
use crate::{
    answer::Block,
    wire::{
        openai::provider::testing::{Got, collect, origin, split},
        stream::decode,
    },
};
use proptest::prelude::*;
use serde_json::json;

const ANSWER: &str = include_str!("../golden/responses.sse");

fn run_at(bytes: &[u8], cuts: &[usize]) -> Got {
    collect(decode(origin(), ResponsesReader::new(origin(), true), split(bytes, cuts)))
}

fn run(text: &str) -> Got {
    run_at(text.as_bytes(), &[])
}

fn events(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn body(body: &Value) -> Result<Frame, Error> {
    ResponsesReader::new(origin(), true).body(&Bytes::from(body.to_string()))
}

#[test]
fn an_answer_passes_byte_for_byte_and_is_understood() {
    let got = run(ANSWER);
    assert!(got.is_whole(), "{got:?}");
    assert_eq!(got.raw(), ANSWER, "the last event is the dialect's own end");
    let call = Block::ToolCall {
        index: 0,
        id: "call_a".to_owned(),
        name: "shell".to_owned(),
        arguments: r#"{"command":"ls"}"#.to_owned(),
    };
    let thinking = Block::Thinking { text: "Hm.\n\nSo.".to_owned(), signature: None };
    let whole = got.whole();
    assert_eq!(whole.blocks, [thinking, Block::Text("Grüße, 🌍!".to_owned()), call]);
    assert_eq!((whole.id.as_deref(), whole.model.as_deref()), (Some("resp_1"), Some("gpt")));
    let usage = Usage {
        input_tokens: 36,
        cached_input_tokens: 12,
        cache_write_tokens: 0,
        cache_write_1h_tokens: 0,
        output_tokens: 20,
        reasoning_tokens: 5,
    };
    assert_eq!((got.finish().reason, got.finish().usage), (FinishReason::ToolCalls, usage));
}

#[test]
fn only_a_terminal_event_makes_it_whole() {
    let end = ANSWER.trim_end().len();
    for at in (0..ANSWER.len()).step_by(7).chain(end - 3..ANSWER.len()) {
        let got = run_at(&ANSWER.as_bytes()[..at], &[]);
        assert_eq!(got.is_whole(), at >= end, "ends at {at}");
        assert_eq!(matches!(got.error, Some(Error::Cut { .. })), at < end, "ends at {at}: {:?}", got.error);
    }
    assert!(matches!(run("data: [DONE]\n\n").error, Some(Error::Cut { .. })));
}

#[test]
fn an_incomplete_answer_says_why() {
    let end = |why: &str| {
        let response = json!({"id": "r", "status": "incomplete", "incomplete_details": {"reason": why}});
        run(&events(&[json!({"type": "response.incomplete", "response": response})])).finish().reason
    };
    assert_eq!(end("max_output_tokens"), FinishReason::Length);
    assert_eq!(end("content_filter"), FinishReason::ContentFilter);
}

#[test]
fn failures_are_errors_even_after_it_was_created() {
    let created = json!({"type": "response.created", "response": {"id": "r", "status": "in_progress"}});
    let error = json!({"code": "insufficient_quota", "message": "key sk-1 has no credit"});
    let failed = json!({"type": "response.failed", "response": {"id": "r", "status": "failed", "error": error}});
    let bare = json!({"type": "error", "code": "server_error", "message": "key sk-1 has no credit"});
    for last in [failed, bare, json!({"error": error})] {
        let got = run(&events(&[created.clone(), last.clone()]));
        assert!(!got.events().iter().any(Event::is_content));
        let Some(Error::Failed { message, .. }) = &got.error else { panic!("{last}: {got:?}") };
        assert_eq!(message, "key [key] has no credit");
        assert!(!got.raw().contains("sk-1"));
    }
    let silent = run(&events(&[json!({"type": "response.failed", "response": {"id": "r"}})]));
    assert!(matches!(silent.error, Some(Error::Failed { .. })));
}

#[test]
fn what_came_without_deltas_is_taken_from_the_end() {
    let output = json!([
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""},
    ]);
    let response = json!({"id": "r", "model": "m", "status": "completed", "output": output});
    let streamed = run(&events(&[json!({"type": "response.completed", "response": response})]));
    let frame = body(&response).unwrap();
    assert_eq!(frame.events, streamed.events());
    assert_eq!((streamed.whole().text().as_str(), streamed.finish().reason), ("No.", FinishReason::ToolCalls));
    assert_eq!(frame.raw, Some(Bytes::from(response.to_string())));
    let late = events(&[
        json!({"type": "response.output_item.done", "output_index": 0, "item": output[2]}),
        json!({"type": "response.completed", "response": response}),
    ]);
    let arguments = Event::ToolArguments { index: 0, fragment: "{}".to_owned() };
    assert_eq!(run(&late).events().iter().filter(|event| **event == arguments).count(), 1);
}

#[test]
fn a_body_that_is_no_whole_answer_is_an_error() {
    assert!(matches!(body(&json!({"status": "queued"})), Err(Error::Cut { .. })));
    assert!(matches!(body(&json!({"status": "failed"})), Err(Error::Failed { .. })));
    assert!(matches!(body(&json!({"error": {"message": "no"}})), Err(Error::Failed { .. })));
    for text in [json!({}), json!([]), json!(null), json!({"choices": []})] {
        assert!(matches!(body(&text), Err(Error::Malformed { .. })), "{text}");
    }
}

#[test]
fn a_frame_that_cannot_be_read_is_left_out() {
    let damaged = ANSWER.replacen("\"delta\":\"Hm.\"", "\"delta\":\"Hm.", 1);
    let got = run(&damaged);
    assert_eq!((got.whole().text().as_str(), got.whole().opaque), ("Grüße, 🌍!", true));
}

proptest! {
    #[test]
    fn where_the_network_cuts_makes_no_difference(cuts in proptest::collection::vec(any::<usize>(), 0..40)) {
        prop_assert_eq!(run_at(ANSWER.as_bytes(), &cuts), run(ANSWER));
    }

    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let got = run_at(&bytes, &[]);
        prop_assert!(got.error.is_some());
        let _ = ResponsesReader::new(origin(), true).body(&Bytes::from(bytes));
    }

    #[test]
    fn decoding_what_was_damaged_never_panics(at in any::<usize>(), with in any::<u8>()) {
        let mut bytes = ANSWER.as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        let got = run_at(&bytes, &[]);
        prop_assert!(got.error.is_some() != got.is_whole());
    }
}
