use super::*;
use crate::{
    Event, Frame,
    conversation::{Conversation, Document, Format, Image, Message, Part, Thinking, Tool, ToolChoice},
    dialect::Dialect,
    wire::openai::testing::{
        answers, anything, arguments, call, distorted, envelope, finished, gathered, mutated, read, stream, survives,
    },
    wire::{
        openai::provider::testing::{collect, origin, split},
        stream::decode,
    },
};
use bytes::BytesMut;
use proptest::prelude::*;
use protocol::{FinishReason, Role};
use serde_json::json;

const REQUEST: &str = r#"{
    "model": "fast", "stream": true, "store": false, "instructions": "Be brief.",
    "include": ["reasoning.encrypted_content", "message.output_text.logprobs"],
    "input": [
        {"role": "user", "content": [
            {"type": "input_text", "text": "What is this?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Look closer."}], "encrypted_content": "sealed-elsewhere.SEAL"},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "sealed-elsewhere.SECRET"},
        {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "gAAAAOpenAI"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [
            {"type": "output_text", "text": "Let me see.", "annotations": [], "logprobs": []}
        ]},
        {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "zoom", "arguments": "{\"by\":2}", "status": "completed"},
        {"type": "function_call_output", "call_id": "call_1", "output": "A cat."},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    ],
    "tools": [
        {"type": "function", "name": "zoom", "description": "Zooms.", "parameters": {"type": "object"}, "strict": true},
        {"type": "web_search"}
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "zoom"}]},
    "text": {"format": {"type": "json_schema", "name": "cat", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
    "reasoning": {"effort": "high", "summary": "auto"},
    "max_output_tokens": 20, "temperature": 0.5, "truncation": "disabled", "metadata": {"a": "b"}, "service_tier": "flex"
}"#;

fn peeked(body: &str) -> Result<Peek, Error> {
    peek(&Bytes::copy_from_slice(body.as_bytes()))
}

fn translated(body: &str) -> Result<Conversation, Error> {
    conversation(&Bytes::copy_from_slice(body.as_bytes()))
}

#[test]
fn a_glance_at_a_request_tells_what_routing_needs() {
    let peek = peeked(REQUEST).unwrap();
    assert!(peek.stream && peek.has_tools && peek.has_schema && peek.has_images && peek.wants_usage);
    assert_eq!((peek.model.as_str(), peek.max_output_tokens, peek.choices), ("fast", Some(20), 1));
    let plain = peeked(r#"{"model":"m","input":"Hi","text":{"format":{"type":"text"}}}"#).unwrap();
    assert!(!plain.stream && !plain.has_tools && !plain.has_schema && !plain.has_images);
}

#[test]
fn what_is_not_stored_here_is_not_looked_for() {
    for (body, pointer) in [
        (r#"{"model":"m","input":"Hi","previous_response_id":"resp_1"}"#, "/previous_response_id"),
        (r#"{"model":"m","input":"Hi","conversation":{"id":"conv_1"}}"#, "/conversation"),
    ] {
        let Err(Error::Invalid { pointer: at, message }) = peeked(body) else { panic!("{body} was taken") };
        assert_eq!(at, pointer);
        assert!(message.contains("whole conversation"), "{message}");
    }
    let reference = r#"{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}"#;
    assert!(matches!(translated(reference), Err(Error::Invalid { pointer, .. }) if pointer == "/input/0"));
    assert!(matches!(peeked(r#"{"model":"m"}"#), Err(Error::Invalid { pointer, .. }) if pointer == "/input"));
}

#[test]
fn items_with_content_that_no_other_api_has_words_for_are_foreign_and_others_are_lost() {
    let foreign = |item: Value| {
        let kind = item["type"].clone();
        (item, Some(format!("`/input/1` (an item `{}`)", kind.as_str().unwrap_or_default())))
    };
    let lost = |item: Value| (item, None);
    for (item, expected) in [
        foreign(json!({"type": "local_shell_call", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}})),
        foreign(json!({"type": "local_shell_call_output", "id": "l", "output": "a.rs"})),
        foreign(json!({"type": "shell_call", "call_id": "c", "action": {"commands": ["ls"]}})),
        foreign(json!({"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a.rs"}]})),
        foreign(json!({"type": "apply_patch_call", "call_id": "c", "operation": {"diff": "+a"}})),
        foreign(json!({"type": "apply_patch_call_output", "call_id": "c", "output": "done"})),
        foreign(json!({"type": "mcp_call", "id": "m", "name": "q", "arguments": "{}", "output": "42"})),
        foreign(json!({"type": "mcp_call", "id": "m", "name": "q", "arguments": "{}", "error": "no"})),
        foreign(json!({"type": "code_interpreter_call", "code": "x", "outputs": [{"type": "logs", "logs": "42"}]})),
        foreign(json!({"type": "file_search_call", "queries": ["q"], "results": [{"text": "42"}]})),
        foreign(json!({"type": "computer_call", "call_id": "c", "action": {"type": "screenshot"}})),
        foreign(json!({"type": "computer_call_output", "call_id": "c", "output": {"image_url": "data:,"}})),
        foreign(json!({"type": "image_generation_call", "id": "i", "result": "AAAA"})),
        foreign(json!({"type": "compaction", "id": "c", "encrypted_content": "gAAA"})),
        foreign(json!({"type": "brand_new", "text": "42"})),
        lost(json!({"type": "web_search_call", "id": "w", "status": "completed", "action": {"query": "q"}})),
        lost(json!({"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "q"}]})),
        lost(json!({"type": "mcp_call", "id": "m", "name": "q", "arguments": "{}", "output": null})),
        lost(json!({"type": "code_interpreter_call", "code": "x", "outputs": null})),
        lost(json!({"type": "file_search_call", "queries": ["q"], "results": []})),
    ] {
        let said = json!({"role": "user", "content": "so?"});
        let got = translated(&json!({"model": "m", "input": [said, item.clone()]}).to_string()).unwrap();
        let places: Vec<&str> = if expected.is_none() { vec!["/input/1"] } else { vec![] };
        assert_eq!(
            (got.foreign.first(), got.lost),
            (expected.as_ref(), places.into_iter().map(String::from).collect()),
            "{item}"
        );
    }
}

#[test]
fn a_request_in_the_routers_words() {
    let part = |text: &str| Part::Text(text.into());
    let expected = Conversation {
        messages: vec![
            Message::text(Role::System, "Be brief."),
            Message {
                role: Role::User,
                parts: vec![
                    part("What is this?"),
                    Part::Image(Image::Base64 { media_type: "image/png".into(), data: "AAAA".into() }),
                    Part::Document {
                        name: Some("a.pdf".into()),
                        media_type: "application/pdf".into(),
                        content: Document::Base64("BBBB".into()),
                    },
                ],
            },
            Message {
                role: Role::Assistant,
                parts: vec![
                    Part::Thinking { text: "Look closer.".into(), signature: Some("SEAL".into()) },
                    Part::RedactedThinking { data: "SECRET".into() },
                    part("Let me see."),
                    Part::ToolCall { id: "call_1".into(), name: "zoom".into(), arguments: r#"{"by":2}"#.into() },
                ],
            },
            Message {
                role: Role::Tool,
                parts: vec![Part::ToolResult {
                    call_id: "call_1".into(),
                    parts: vec![part("A cat.")],
                    is_error: false,
                }],
            },
        ],
        tools: vec![Tool {
            name: "zoom".into(),
            description: "Zooms.".into(),
            parameters: json!({"type": "object"}),
            strict: Some(true),
        }],
        tool_choice: ToolChoice::Required,
        format: Format::Schema { name: "cat".into(), schema: json!({"type": "object"}), strict: Some(true) },
        thinking: Thinking::Effort("high".into()),
        max_output_tokens: Some(20),
        temperature: Some(0.5),
        lost: [
            "/include/1",
            "/input/3/encrypted_content",
            "/input/7",
            "/tools/1",
            "/text/verbosity",
            "/metadata",
            "/service_tier",
        ]
        .map(String::from)
        .into(),
        ..Conversation::default()
    };
    assert_eq!(translated(REQUEST).unwrap(), expected);
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// What every client relies on: numbers without gaps, announced once, ended once, and items that are begun before they end.
fn assert_sound(events: &[Value]) {
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], at, "{event}");
        if event.get("response").is_some() {
            assert_eq!(event["response"]["id"], events[0]["response"]["id"]);
        }
    }
    let kinds = kinds(events);
    assert_eq!(kinds.iter().filter(|kind| **kind == "response.created").count(), 1);
    assert_eq!(kinds.first(), Some(&"response.created"));
    let terminal = |kind: &&str| matches!(*kind, "response.completed" | "response.incomplete" | "response.failed");
    assert_eq!(kinds.iter().copied().filter(|kind| terminal(kind)).count(), 1, "{kinds:?}");
    assert!(kinds.last().is_some_and(terminal), "{kinds:?}");
    let mut open = std::collections::BTreeSet::new();
    let mut begun = 0;
    for event in events {
        let at = &event["output_index"];
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(*at, begun, "places are counted without gaps");
                begun += 1;
                open.insert(at.as_u64().unwrap());
            }
            "response.output_item.done" => assert!(open.remove(&at.as_u64().unwrap()), "{event}"),
            _ if !at.is_null() => assert!(open.contains(&at.as_u64().unwrap()), "{event}"),
            _ => {}
        }
    }
    let last = events.last().unwrap();
    assert!(open.is_empty() || last["type"] == "response.failed", "{open:?} never ended");
    assert_eq!(last["response"]["output"].as_array().unwrap().len(), begun);
}

#[test]
fn a_stream_in_our_own_words() {
    let frames = [
        Event::Thinking("Hm.".into()),
        Event::ThinkingSignature("SEAL".into()),
        Event::Text("Hi".into()),
        call(0, "call_1", "look"),
        arguments(0, "{}"),
        finished(FinishReason::ToolCalls),
    ]
    .map(Frame::from);
    let got = stream(Dialect::OpenAiResponses, true, frames);
    assert!(
        got.starts_with("event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,"),
        "{got}"
    );
    let events = read(&got);
    assert_sound(&events);
    assert_eq!(
        kinds(&events),
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    assert_eq!(
        events[10],
        json!({
            "type": "response.output_text.delta", "sequence_number": 10, "item_id": "msg_1_1", "output_index": 1,
            "content_index": 0, "delta": "Hi", "logprobs": [],
        })
    );
    assert_eq!(
        events[18]["response"]["output"],
        json!([
            {"id": "rs_1_0", "type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "sealed-elsewhere.SEAL"},
            {"id": "msg_1_1", "type": "message", "status": "completed", "role": "assistant", "content": [
                {"type": "output_text", "annotations": [], "logprobs": [], "text": "Hi"},
            ]},
            {"id": "fc_1_2", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "look", "arguments": "{}"},
        ])
    );
    assert_eq!(
        events[18]["response"]["usage"],
        json!({
            "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
            "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 15,
        })
    );
}

#[test]
fn an_answer_that_was_cut_short_says_so() {
    for (reason, why) in [(FinishReason::Length, "max_output_tokens"), (FinishReason::ContentFilter, "content_filter")]
    {
        let frames = [Event::Text("Hi".into()), finished(reason)].map(Frame::from);
        let events = read(&stream(Dialect::OpenAiResponses, true, frames));
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.incomplete");
        assert_eq!(last["response"]["status"], "incomplete");
        assert_eq!(last["response"]["incomplete_details"], json!({"reason": why}));
        assert_eq!(last["response"]["output"][0]["status"], "incomplete");
    }
}

/// What a provider says until it breaks off.
fn said() -> Vec<String> {
    let item = json!({"id": "msg_up", "type": "message", "status": "in_progress", "role": "assistant", "content": []});
    let seal = json!({"id": "rs_up", "type": "reasoning", "summary": [], "encrypted_content": "S"});
    let place = |fields: Value| {
        let mut all = json!({"item_id": "msg_up", "output_index": 1, "content_index": 0});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        all
    };
    let part = json!({"type": "output_text", "text": "", "annotations": []});
    let response = json!({"response": {"id": "resp_up", "object": "response", "output": []}});
    let events = [
        ("response.created", response.clone()),
        ("response.in_progress", response),
        ("response.output_item.added", json!({"output_index": 0, "item": seal})),
        ("response.output_item.done", json!({"output_index": 0, "item": seal})),
        ("response.output_item.added", json!({"output_index": 1, "item": item})),
        ("response.content_part.added", place(json!({"part": part}))),
        ("response.output_text.delta", place(json!({"delta": "Hi"}))),
    ];
    let numbered = events.into_iter().enumerate().map(|(at, (kind, fields))| {
        let mut event = json!({"type": kind, "sequence_number": at});
        event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        format!("event: {kind}\ndata: {event}\n\n")
    });
    numbered.collect()
}

/// As the reader hands it on.
fn frames_of(bytes: &[u8]) -> Vec<Frame> {
    collect(decode(origin(), reader::ResponsesReader::new(origin(), true), split(bytes, &[]))).frames
}

fn upstream() -> Vec<Frame> {
    frames_of(said().concat().as_bytes())
}

#[test]
fn the_providers_bytes_pass_to_their_own_end() {
    let opaque = [
        r#"{"type":"response.output_item.added","sequence_number":7,"output_index":2,"item":{"id":"ig","type":"image_generation_call"}}"#,
        r#"{"type":"response.image_generation_call.partial_image","sequence_number":8,"output_index":2,"partial_image_b64":"AAAA"}"#,
        r#"{ "type":"response.from_tomorrow", "sequence_number":9 }"#,
        r#"{"cut"#,
    ];
    let end = r#"{"type":"response.completed","sequence_number":7,"response":{"id":"resp_up"}}"#;
    for more in [&[][..], &opaque[..]] {
        let more: String = more.iter().map(|data| format!("data: {data}\n\n")).collect();
        let expected = said().concat() + &more + &format!("event: response.completed\ndata: {end}\n\n");
        assert_eq!(stream(Dialect::OpenAiResponses, true, frames_of(expected.as_bytes())), expected);
    }
}

#[test]
fn another_provider_goes_on_in_the_middle_of_an_item() {
    let passed = said().concat();
    let rest = [Event::Text(" there".into()), finished(FinishReason::Stop)].map(Frame::from);
    let got = stream(Dialect::OpenAiResponses, true, upstream().into_iter().chain(rest));
    assert!(got.starts_with(&passed), "{got}");
    let events = read(&got);
    assert_sound(&events);
    assert_eq!(events[7]["item_id"], "msg_up");
    assert_eq!(events[7]["delta"], " there");
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["encrypted_content"], "S");
    assert_eq!(output[1]["content"][0]["text"], "Hi there");
}

#[test]
fn a_failure_is_the_one_terminal_event() {
    let mut out = BytesMut::new();
    let mut encoder = encoder(envelope(true));
    for frame in upstream() {
        encoder.frame(frame, &mut out);
    }
    encoder.heartbeat(&mut out);
    encoder.fail(&Error::Cut { provider: "p".into(), message: "gone".into() }, &mut out);
    encoder.frame(finished(FinishReason::Stop).into(), &mut out);
    encoder.fail(&Error::Cancelled, &mut out);
    let events = read(std::str::from_utf8(&out).unwrap());
    assert_sound(&events);
    let response = &events.last().unwrap()["response"];
    assert_eq!(response["status"], "failed");
    assert_eq!(response["error"], json!({"code": "server_error", "message": "the answer of p was cut: gone"}));
    assert_eq!(response["output"][1]["content"][0]["text"], "Hi");
    assert_eq!(response["output"][1]["status"], "incomplete");
}

proptest! {
    #[test]
    fn a_stream_tells_the_whole_answer(events in answers()) {
        let whole = whole(&envelope(true), &gathered(&events));
        let told = read(&stream(Dialect::OpenAiResponses, true, events.into_iter().map(Frame::from)));
        assert_sound(&told);
        prop_assert_eq!(&told.last().unwrap()["response"], &whole);
    }

    #[test]
    fn what_was_answered_can_be_sent_back(events in answers()) {
        let whole = whole(&envelope(true), &gathered(&events));
        let body = json!({"model": "m", "input": whole["output"]}).to_string();
        if whole["output"].as_array().is_some_and(|output| !output.is_empty()) {
            let conversation = translated(&body).unwrap();
            prop_assert_eq!(&conversation.lost, &Vec::<String>::new());
            prop_assert_eq!(conversation.messages.len(), 1);
            prop_assert_eq!(conversation.messages[0].parts.len(), whole["output"].as_array().unwrap().len());
        }
    }

    #[test]
    fn a_stream_is_sound_whatever_comes(before in 0..8usize, frames in anything(), fails in any::<bool>()) {
        let mut out = BytesMut::new();
        let mut encoder = encoder(envelope(true));
        for frame in upstream().into_iter().take(before).chain(frames) {
            encoder.frame(frame, &mut out);
        }
        if fails {
            encoder.fail(&Error::Cancelled, &mut out);
        } else {
            encoder.frame(finished(FinishReason::Stop).into(), &mut out);
        }
        assert_sound(&read(std::str::from_utf8(&out).unwrap()));
    }

    #[test]
    fn no_body_is_too_strange(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from), mutated(REQUEST), distorted(REQUEST),
    ]) {
        survives(Dialect::OpenAiResponses, &body);
    }

    #[test]
    fn no_event_of_a_provider_is_too_strange(at in 0..7usize, cut in 0..400usize, other in distorted(
        r#"{"type":"response.output_item.added","sequence_number":18446744073709551615,"output_index":18446744073709551615,"item":{"type":"function_call","id":"x"}}"#
    )) {
        let mut bytes: Vec<Vec<u8>> = said().into_iter().map(String::into_bytes).collect();
        let end = cut.min(bytes[at].len());
        bytes[at].truncate(end);
        bytes.insert(at, [b"data: ", &other[..], b"\n\n"].concat());
        let mut frames = frames_of(&bytes.concat());
        frames.push(call(9, "c", "n").into());
        frames.push(finished(FinishReason::Stop).into());
        let told = stream(Dialect::OpenAiResponses, true, frames);
        prop_assert_eq!(told.matches("data: {\"type\":\"response.completed\"").count(), 1);
    }
}

mod codex;
