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
        let (Some(Error::Failed { message, .. }) | Some(Error::Denied { message, .. })) = &got.error else {
            panic!("{last}: {got:?}")
        };
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
fn a_frame_that_cannot_be_read_passes_on() {
    let damaged = ANSWER.replacen("\"delta\":\"Hm.\"", "\"delta\":\"Hm.", 1);
    let got = run(&damaged);
    assert_eq!((got.whole().text().as_str(), got.whole().opaque), ("Grüße, 🌍!", true));
    assert_eq!(got.raw(), damaged);
    let odd = ANSWER.replacen("\"delta\":\"Hm.\"", "\"delta\":[\"Hm.\"]", 1);
    assert_eq!((run(&odd).raw(), run(&odd).whole().opaque), (odd.clone(), true), "text in another shape");
}

fn opaque(got: &Got) -> Vec<String> {
    let events = got.events().into_iter();
    events.filter_map(|event| if let Event::Opaque(what) = event { Some(what) } else { None }).collect()
}

#[test]
fn what_there_are_no_words_for_passes_once_for_each_item() {
    let item = |kind: &str| json!({"id": "it_1", "type": kind, "status": "completed", "result": "AAAA"});
    let added = |kind: &str| json!({"type": "response.output_item.added", "output_index": 0, "item": item(kind)});
    let done = |kind: &str| json!({"type": "response.output_item.done", "output_index": 0, "item": item(kind)});
    let about = |kind: &str| json!({"type": kind, "output_index": 0, "item_id": "it_1", "partial_image_b64": "AAAA"});
    let message = |content: Value| json!({"id": "it_1", "type": "message", "content": [content]});
    let of_message = |content: Value| {
        vec![
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"id": "it_1", "type": "message", "content": []}}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": message(content)}),
        ]
    };
    let cited = json!({"type": "output_text", "text": "", "annotations": [{"type": "url_citation"}]});
    let annotation = "response.output_text.annotation.added";
    let cases: Vec<(Vec<Value>, &str)> = [
        "image_generation_call",
        "custom_tool_call",
        "web_search_call",
        "computer_call",
        "mcp_call",
        "mcp_approval_request",
        "code_interpreter_call",
        "local_shell_call",
        "compaction",
        "from_tomorrow",
    ]
    .into_iter()
    .map(|kind| {
        let events =
            vec![added(kind), about("response.image_generation_call.partial_image"), about("response.x.y"), done(kind)];
        (events, kind)
    })
    .chain([
        (vec![done("web_search_call")], "web_search_call"),
        (of_message(json!({"type": "output_image", "image": "AAAA"})), "output_image"),
        (of_message(cited), "annotations"),
        (
            [of_message(json!({"type": "output_text", "text": ""})), vec![about(annotation), about(annotation)]]
                .concat(),
            annotation,
        ),
        (
            vec![json!({"type": "response.from_tomorrow"}), json!({"type": "response.from_tomorrow"})],
            "response.from_tomorrow",
        ),
        (vec![json!({"choices": []})], "an event without a type"),
    ])
    .collect();
    for (said, what) in cases {
        let last = said.last().unwrap()["item"].clone();
        let output = if last.is_null() { json!([]) } else { json!([last]) };
        let end = json!({"type": "response.completed", "response": {"id": "r", "output": output}});
        let text = events(&said) + &events(&[end]);
        let got = run(&text);
        assert!(got.is_whole(), "{what}: {got:?}");
        assert_eq!(got.raw(), text, "{what}");
        assert_eq!(opaque(&got), [what], "{what}");
        let whole = body(&json!({"status": "completed", "output": output})).unwrap();
        let told = whole.events.iter().any(|event| matches!(event, Event::Opaque(_)));
        assert_eq!(told, output != json!([]), "{what}");
    }
}

#[test]
fn an_event_of_two_mebibytes_passes() {
    let picture = "A".repeat(2 * 1024 * 1024);
    let item = json!({"id": "ig", "type": "image_generation_call", "result": picture});
    let text = events(&[
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "r", "output": [item]}}),
    ]);
    let got = run_at(text.as_bytes(), &[1 << 20, 3 << 20]);
    assert!(got.is_whole());
    assert_eq!((got.raw() == text, opaque(&got).len()), (true, 1));
}

fn calls(got: &Got) -> Vec<(String, String, String)> {
    let blocks = got.whole().blocks.into_iter();
    blocks
        .filter_map(|block| match block {
            Block::ToolCall { id, name, arguments, .. } => Some((id, name, arguments)),
            _ => None,
        })
        .collect()
}

/// The same answer as servers spell it: one message `one two`, and two calls.
#[test]
fn servers_that_bend_the_rules_are_understood() {
    let function = |id: Value, call_id: Value, n: &str, arguments: Value| json!({"type": "function_call", "id": id, "call_id": call_id, "name": n, "arguments": arguments});
    let message =
        |text: &str| json!({"type": "message", "id": "m", "content": [{"type": "output_text", "text": text}]});
    let delta = |index: Value, text: &str| json!({"type": "response.output_text.delta", "output_index": index, "item_id": "m", "delta": text});
    let item = |kind: &str, at: Value, item: Value| json!({"type": format!("response.output_item.{kind}"), "output_index": at, "item": item});
    let more = |at: Value, id: Value, text: &str| json!({"type": "response.function_call_arguments.delta", "output_index": at, "item_id": id, "delta": text});
    let end =
        |output: Value| json!({"type": "response.completed", "response": {"id": 1, "model": "m", "output": output}});
    let (a, b) = (json!({"x": 1}), json!({"y": 2}));
    let whole = |id: fn(u8) -> Value, call_id: fn(u8) -> Value, spell: fn(&Value) -> Value| {
        json!([
            message("one two"),
            function(id(0), call_id(0), "f", spell(&a)),
            function(id(1), call_id(1), "g", spell(&b))
        ])
    };
    let text = |value: &Value| json!(value.to_string());
    let id: fn(u8) -> Value = |at| json!(format!("fc_{at}"));
    let call_id: fn(u8) -> Value = |at| json!(format!("{at}"));
    let number: fn(u8) -> Value = |at| json!(at);
    let none: fn(u8) -> Value = |_| Value::Null;
    let same: fn(u8) -> Value = |_| json!("same");
    let output = whole(id, call_id, text);
    let streamed = |at: fn(u8) -> Value, id: fn(u8) -> Value, call_id: fn(u8) -> Value| {
        vec![
            delta(at(0), "one "),
            delta(at(0), "two"),
            item("added", at(1), function(id(0), call_id(0), "f", json!(""))),
            more(at(1), id(0), r#"{"x""#),
            more(at(1), id(0), ":1}"),
            item("added", at(2), function(id(1), call_id(1), "g", json!(""))),
            more(at(2), id(1), r#"{"y":2}"#),
        ]
    };
    let in_text: fn(u8) -> Value = |at| json!(at.to_string());
    let cases = [
        ("all at the end", vec![end(output.clone())]),
        ("numbers as ids", vec![end(whole(number, number, text))]),
        ("objects for arguments", vec![end(whole(id, call_id, Value::clone))]),
        ("no ids of items", vec![end(whole(none, call_id, text))]),
        ("streamed, and all once more", [streamed(number, id, call_id), vec![end(output.clone())]].concat()),
        ("indexes as text", [streamed(in_text, id, call_id), vec![end(output.clone())]].concat()),
        ("ids as numbers", [streamed(number, number, number), vec![end(whole(number, number, text))]].concat()),
        ("no indexes", [streamed(none, id, call_id), vec![end(output.clone())]].concat()),
        ("one id for all", [streamed(number, same, call_id), vec![end(whole(same, call_id, text))]].concat()),
        ("nothing at the end", [streamed(number, id, call_id), vec![end(Value::Null)]].concat()),
        ("other ids at the end", [streamed(number, id, call_id), vec![end(whole(none, call_id, text))]].concat()),
        (
            "items done, and no deltas",
            [
                vec![item("done", json!(0), message("one two"))],
                (1..3).map(|at| item("done", json!(at), output[at].clone())).collect(),
                vec![end(output.clone())],
            ]
            .concat(),
        ),
        (
            "the rest comes at the end",
            vec![delta(json!(0), "one "), item("done", json!(1), output[1].clone()), end(output.clone())],
        ),
        (
            "interleaved",
            vec![
                delta(json!(0), "one two"),
                item("added", json!(1), function(id(0), call_id(0), "f", json!(""))),
                item("added", json!(2), function(id(1), call_id(1), "g", json!(""))),
                more(json!(2), id(1), r#"{"y":"#),
                more(json!(1), id(0), r#"{"x":1"#),
                more(json!(2), id(1), "2}"),
                more(json!(1), id(0), "}"),
                end(output.clone()),
            ],
        ),
    ];
    for (what, said) in cases {
        let got = run(&events(&said));
        assert!(got.is_whole(), "{what}: {got:?}");
        assert_eq!(got.whole().text(), "one two", "{what}");
        let call = |id: &str, name: &str, arguments: &Value| (id.to_owned(), name.to_owned(), arguments.to_string());
        assert_eq!(calls(&got), [call("0", "f", &a), call("1", "g", &b)], "{what}");
        assert_eq!((got.finish().reason, got.whole().opaque), (FinishReason::ToolCalls, false), "{what}");
    }
}

#[test]
fn an_emoji_in_two_frames_and_counts_in_odd_shapes() {
    let text = "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"a \\ud83d\",\"logprobs\":NaN}\n\n\
                data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"\\ude00\"}\n\n\
                data: {\"type\":\"response.completed\",\"response\":{\"usage\":{\"input_tokens\":\"12\",\"output_tokens\":3.0,\"input_tokens_details\":[]}}}\n\n";
    let got = run(text);
    assert_eq!((got.whole().text().as_str(), got.raw().as_str()), ("a 😀", text));
    assert_eq!((got.finish().usage.input_tokens, got.finish().usage.output_tokens), (12, 3));
}

#[test]
fn a_body_of_events_is_the_answer_they_tell() {
    // What the last event repeats is the body, where it repeats all.
    let picture = json!({"id": "ig", "type": "image_generation_call", "result": "AAAA"});
    let message = json!({"id": "m", "type": "message", "content": [{"type": "output_text", "text": "one two"}]});
    let delta = json!({"type": "response.output_text.delta", "output_index": 1, "item_id": "m", "delta": "one two"});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": picture});
    let told = |output: Value| {
        let response = json!({"id": "r", "status": "completed", "output": output});
        let end = json!({"type": "response.completed", "response": response});
        (events(&[done.clone(), delta.clone(), end]), response.to_string())
    };
    let (all, whole_body) = told(json!([picture, message]));
    let (nothing, _) = told(json!([]));
    for (text, raw, expected) in [
        (ANSWER, true, None),
        (ANSWER, false, None),
        (&*all, true, Some(Bytes::from(whole_body))),
        (&*all, false, None),
        (&*nothing, true, None),
    ] {
        let frame = ResponsesReader::new(origin(), raw).body(&Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let mut whole = crate::answer::Whole::default();
        frame.events.iter().for_each(|event| whole.add(event));
        assert_eq!(whole, run(text).whole());
        assert_eq!(frame.raw, expected);
    }
    let cut = Bytes::from_static(&ANSWER.as_bytes()[..900]);
    assert!(matches!(ResponsesReader::new(origin(), true).body(&cut), Err(Error::Cut { .. })));
    let page = Bytes::from_static(b"<html>no</html>");
    assert!(matches!(ResponsesReader::new(origin(), true).body(&page), Err(Error::Malformed { .. })));
}

#[test]
fn a_stream_of_one_body_is_the_answer_it_is() {
    let picture = json!({"id": "ig", "type": "image_generation_call", "result": "AAAA"});
    let message = json!({"id": "m", "type": "message", "content": [{"type": "output_text", "text": "one two"}]});
    let body = json!({"id": "r", "status": "completed", "output": [picture, message]}).to_string();
    let spaced = format!("\n\n {body}");
    for (text, cuts) in [(&body, &[][..]), (&spaced, &[1, 2, 9]), (&body, &[1, 20, 60])] {
        let reader = ResponsesReader::new(origin(), true);
        let got = collect(super::super::either::decode(origin(), reader, Box::pin(split(text.as_bytes(), cuts))));
        assert!(got.is_whole(), "{got:?}");
        assert_eq!((got.whole().text().as_str(), opaque(&got).len()), ("one two", 1));
        let told = crate::wire::openai::testing::stream(crate::dialect::Dialect::OpenAiResponses, true, got.frames);
        let told = crate::wire::openai::testing::read(&told);
        let output = &told.last().unwrap()["response"]["output"];
        assert_eq!(output[0], picture, "the caller asked for a stream and gets one");
        assert_eq!(output[1]["content"][0]["text"], "one two");
        assert!(told.iter().any(|event| event["type"] == "response.output_text.delta"));
    }
    let decoded = |text: &'static str| {
        let reader = ResponsesReader::new(origin(), true);
        collect(super::super::either::decode(origin(), reader, Box::pin(split(text.as_bytes(), &[]))))
    };
    assert_eq!(decoded(ANSWER).raw(), ANSWER);
    assert!(matches!(decoded("").error, Some(Error::Cut { .. })));
    assert!(matches!(decoded(r#"{"error":{"message":"no"}}"#).error, Some(Error::Failed { .. })));
}

/// Every field that is not text, arguments, a kind, or what tells one item from another.
const SIDE_FIELDS: &[&str] = &[
    "sequence_number",
    "logprobs",
    "obfuscation",
    "status",
    "created_at",
    "model",
    "usage",
    "metadata",
    "tools",
    "tool_choice",
    "role",
    "encrypted_content",
    "content_index",
    "summary_index",
    "response",
    "id",
    "name_hint",
];

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        "[a-z0-9 ]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{1,6}", inner, 0..3).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #[test]
    fn a_side_field_leaves_text_and_calls_as_they_are(
        field in prop::sample::select(SIDE_FIELDS), value in any_json(), at in any::<prop::sample::Index>(), within in any::<bool>(),
    ) {
        let mut said: Vec<Value> = ANSWER.lines().filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap()).collect();
        let at = at.index(said.len());
        let is_last = at + 1 == said.len();
        let event = &mut said[at];
        let inner = if is_last { "response" } else { "item" };
        let target = if within && event[inner].is_object() { &mut event[inner] } else { &mut *event };
        // The last event is its `response`, and its status is there twice.
        if !(is_last && field == "response") {
            target[field] = value;
        }
        let got = run(&events(&said));
        prop_assert!(got.is_whole(), "{:?}", got);
        let (whole, expected) = (got.whole(), run(ANSWER).whole());
        prop_assert_eq!(whole.text(), expected.text());
        prop_assert_eq!(calls(&got), calls(&run(ANSWER)));
        prop_assert!(!whole.opaque);
    }

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
