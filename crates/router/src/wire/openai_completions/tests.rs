use super::*;
use crate::{
    dialect::Dialect,
    wire::openai::testing::{
        answers, anything, distorted, envelope, finished, gathered, mutated, raw, read, stream, survives,
    },
};
use proptest::prelude::*;

const REQUEST: &str = r#"{
    "model": "code", "prompt": ["fn main() {"], "suffix": "}", "max_tokens": 16, "stop": ["\n\n", "//"], "temperature": 0,
    "n": 1, "best_of": 1, "echo": false, "logprobs": null, "stream": true, "stream_options": {"include_usage": true}
}"#;

fn peeked(body: &str) -> Result<Peek, Error> {
    peek(&Bytes::copy_from_slice(body.as_bytes()))
}

fn translated(body: &str) -> Result<Conversation, Error> {
    conversation(&Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn a_text_to_go_on_with_is_what_the_user_says() {
    let expected = Conversation {
        messages: vec![Message::text(Role::User, "fn main() {")],
        max_output_tokens: Some(16),
        stop: vec!["\n\n".into(), "//".into()],
        temperature: Some(0.0),
        lost: vec!["/suffix".into()],
        ..Conversation::default()
    };
    assert_eq!(translated(REQUEST).unwrap(), expected);
    let peek = peeked(REQUEST).unwrap();
    assert_eq!((peek.choices, peek.max_output_tokens, peek.wants_usage), (1, Some(16), true));
}

#[test]
fn several_prompts_and_tokens_pass_only_untranslated() {
    for (prompt, choices) in [(r#"["a","b"]"#, 6), ("[1,2,3]", 3), ("[[1,2],[3]]", 6), (r#""a""#, 3)] {
        let body = format!(r#"{{"model":"m","n":3,"prompt":{prompt}}}"#);
        assert_eq!(peeked(&body).unwrap().choices, choices, "{prompt}");
        let translated = translated(&body);
        let refused = |at: &str| matches!(&translated, Err(Error::Invalid { pointer, .. }) if pointer == at);
        assert!(refused("/n") || refused("/prompt"), "{prompt}");
    }
    for prompt in ["[]", "7", "null", "{}"] {
        let refused = peeked(&format!(r#"{{"model":"m","prompt":{prompt}}}"#));
        assert!(matches!(refused, Err(Error::Invalid { pointer, .. }) if pointer == "/prompt"), "{prompt}");
    }
}

#[test]
fn a_stream_passes_and_goes_on() {
    const UP: &str = "data: {\"id\":\"cmpl-up\",\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":null}]}\n\n";
    let started = Event::Started { id: Some("cmpl-up".into()), model: None, usage: Default::default() };
    let frames = [
        raw(UP, vec![started, Event::Text("a".into())]),
        Event::Text("b".into()).into(),
        finished(FinishReason::ToolCalls).into(),
    ];
    let got = stream(Dialect::OpenAiCompletions, true, frames);
    let Some(ours) = got.strip_prefix(UP) else { panic!("{got}") };
    let chunks = read(ours);
    assert_eq!(
        chunks[0],
        json!({
            "id": "cmpl-up", "object": "text_completion", "created": 1_700_000_000, "model": "fast", "usage": null,
            "choices": [{"index": 0, "text": "b", "logprobs": null, "finish_reason": null}],
        })
    );
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
    assert_eq!((&chunks[2]["choices"], &chunks[2]["usage"]["total_tokens"]), (&json!([]), &json!(15)));
    assert_eq!(chunks[3..], ["[DONE]"]);
}

proptest! {
    #[test]
    fn a_stream_adds_up_to_the_whole_answer(events in answers()) {
        let whole = whole(&envelope(true), &gathered(&events));
        let chunks = read(&stream(Dialect::OpenAiCompletions, true, events.into_iter().map(Frame::from)));
        let text: String = chunks.iter().filter_map(|chunk| chunk["choices"][0]["text"].as_str()).collect();
        prop_assert_eq!(&whole["choices"][0]["text"], &text);
        let [.., last, usage, done] = &chunks[..] else { panic!("{chunks:?}") };
        prop_assert_eq!(&last["choices"][0]["finish_reason"], &whole["choices"][0]["finish_reason"]);
        prop_assert_eq!(&usage["usage"], &whole["usage"]);
        prop_assert_eq!(done, "[DONE]");
    }

    #[test]
    fn a_stream_ends_once_whatever_comes(frames in anything()) {
        let mut out = BytesMut::new();
        let mut encoder = encoder(envelope(false));
        for frame in frames {
            encoder.frame(frame, &mut out);
        }
        encoder.fail(&Error::Cancelled, &mut out);
        let chunks = read(std::str::from_utf8(&out).unwrap());
        prop_assert_eq!(chunks.iter().filter(|chunk| **chunk == "[DONE]").count(), 1);
        prop_assert_eq!(chunks.last().unwrap(), "[DONE]");
    }

    #[test]
    fn no_body_is_too_strange(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from), mutated(REQUEST), distorted(REQUEST),
    ]) {
        survives(Dialect::OpenAiCompletions, &body);
    }
}

#[test]
fn the_best_of_several_is_as_many_answers_to_pay() {
    for (asked, made) in [(r#""best_of":5"#, 5), (r#""best_of":5,"n":2"#, 5), (r#""n":3"#, 3), (r#""best_of":null"#, 1)]
    {
        assert_eq!(peeked(&format!(r#"{{"model":"m","prompt":"a",{asked}}}"#)).unwrap().choices, made, "{asked}");
    }
}
