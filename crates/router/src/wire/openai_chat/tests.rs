use super::*;
use crate::{
    Event, Frame,
    answer::Mark,
    conversation::{Conversation, Document, Format, Image, Message, Part, Thinking, Tool, ToolChoice},
    dialect::Dialect,
    wire::openai::testing::{
        answers, anything, arguments, call, distorted, envelope, finished, gathered, mutated, raw, read, stream,
        survives,
    },
};
use bytes::BytesMut;
use proptest::prelude::*;
use protocol::Role;

const REQUEST: &str = r#"{
    "model": "fast", "stream": true, "stream_options": {"include_usage": true},
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "auto"}},
            {"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}}
        ]},
        {"role": "assistant", "content": null, "reasoning_content": "Look closer.", "refusal": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": "{\"by\":2}"}}
        ]},
        {"role": "tool", "tool_call_id": "call_1", "content": "A cat."}
    ],
    "tools": [
        {"type": "function", "function": {"name": "zoom", "description": "Zooms.", "parameters": {"type": "object"}, "strict": true}},
        {"type": "custom", "custom": {"name": "free"}}
    ],
    "tool_choice": {"type": "function", "function": {"name": "zoom"}},
    "parallel_tool_calls": false,
    "response_format": {"type": "json_schema", "json_schema": {"name": "cat", "schema": {"type": "object"}, "strict": true, "description": "A cat."}},
    "max_tokens": 10, "max_completion_tokens": 20,
    "temperature": 0.5, "top_p": 0.9, "frequency_penalty": 0.1, "presence_penalty": -0.1, "seed": 7, "stop": "END",
    "reasoning_effort": "low", "user": "u1",
    "n": 1, "store": false, "service_tier": "auto", "logprobs": true, "logit_bias": {"1": 2}, "metadata": {}, "a/b": 1
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
    let prompt_bytes = peek.prompt_bytes;
    let expected = Peek {
        model: "fast".into(),
        stream: true,
        wants_usage: true,
        max_output_tokens: Some(20),
        has_tools: true,
        has_schema: true,
        has_images: true,
        choices: 1,
        prompt_bytes,
    };
    assert_eq!(peek, expected);
    assert!((900..1700).contains(&prompt_bytes), "{prompt_bytes}");
    let plain = peeked(
        r#"{"model":"m","messages":[{"role":"user","content":"Hi"}],"stream":null,"tools":[],"functions":null}"#,
    )
    .unwrap();
    assert!(!plain.stream && !plain.has_tools && !plain.has_schema && !plain.has_images && !plain.wants_usage);
}

#[test]
fn what_routing_cannot_use_is_refused_with_its_place() {
    for (body, pointer) in [
        (r#"{"messages":[{}]}"#, "/model"),
        (r#"{"model":"","messages":[{}]}"#, "/model"),
        (r#"{"model":7,"messages":[{}]}"#, "/model"),
        (r#"{"model":"m"}"#, "/messages"),
        (r#"{"model":"m","messages":null}"#, "/messages"),
        (r#"{"model":"m","messages":[ ]}"#, "/messages"),
        (r#"{"model":"m","messages":"Hi"}"#, "/messages"),
        (r#"{"model":"m","messages":[{}],"stream":"yes"}"#, "/stream"),
        (r#"{"model":"m","messages":[{}],"n":0}"#, "/n"),
        (r#"{"model":"m","messages":[{}],"n":1000}"#, "/n"),
        (r#"{"model":"m","messages":[{}],"max_tokens":1.5}"#, "/max_tokens"),
        (r#"{"model":"m","messages":[{}],"max_completion_tokens":"9"}"#, "/max_completion_tokens"),
        (r#"{"model":"m","messages":[{}],"stream_options":7}"#, "/stream_options"),
        ("[]", ""),
        ("", ""),
    ] {
        let Err(Error::Invalid { pointer: at, .. }) = peeked(body) else { panic!("{body} was taken") };
        assert_eq!(at, pointer, "{body}");
    }
}

#[test]
fn a_request_in_the_routers_words() {
    let got = translated(REQUEST).unwrap();
    let part = |text: &str| Part::Text(text.into());
    let expected = Conversation {
        messages: vec![
            Message::text(Role::System, "Be brief."),
            Message {
                role: Role::User,
                parts: vec![
                    part("What is this?"),
                    Part::Image(Image::Base64 { media_type: "image/png".into(), data: "AAAA".into() }),
                    Part::Image(Image::Url("https://example.org/a.png".into())),
                    Part::Document {
                        name: Some("a.pdf".into()),
                        media_type: "application/pdf".into(),
                        content: Document::Base64("AAAA".into()),
                    },
                ],
            },
            Message {
                role: Role::Assistant,
                parts: vec![
                    Part::Thinking { text: "Look closer.".into(), signature: None },
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
        tool_choice: ToolChoice::Named("zoom".into()),
        parallel_tool_calls: Some(false),
        format: Format::Schema { name: "cat".into(), schema: json!({"type": "object"}), strict: Some(true) },
        thinking: Thinking::Effort("low".into()),
        max_output_tokens: Some(20),
        temperature: Some(0.5),
        top_p: Some(0.9),
        top_k: None,
        frequency_penalty: Some(0.1),
        presence_penalty: Some(-0.1),
        seed: Some(7),
        stop: vec!["END".into()],
        user: Some("u1".into()),
        renamed: Vec::new(),
        lost: [
            "/messages/1/content/2/image_url/detail",
            "/messages/1/name",
            "/tools/1",
            "/response_format/json_schema/description",
            "/logprobs",
            "/logit_bias",
            "/a~1b",
        ]
        .map(String::from)
        .into(),
        foreign: Vec::new(),
    };
    assert_eq!(got, expected);
}

#[test]
fn thoughts_among_the_parts_of_an_assistant_are_thoughts() {
    let thought = |text: &str| Part::Thinking { text: text.into(), signature: None };
    let answer = || Part::Text("42".into());
    for (thinking, expected) in [
        (json!([{"type": "text", "text": "6 by "}, {"type": "text", "text": "7"}]), thought("6 by 7")),
        (json!("6 by 7"), thought("6 by 7")),
        (json!([]), thought("")),
    ] {
        let content =
            json!([{"type": "thinking", "thinking": thinking, "closed": true}, {"type": "text", "text": "42"}]);
        let body = |role: &str| json!({"model": "m", "messages": [{"role": role, "content": content}]}).to_string();
        let got = translated(&body("assistant")).unwrap();
        assert_eq!((&got.messages[0].parts, got.lost), (&vec![expected, answer()], vec![]), "{thinking}");
        assert!(translated(&body("user")).is_err(), "users' thoughts have no place");
    }
}

#[test]
fn what_an_assistant_showed_or_spoke_is_foreign() {
    for (field, value, is_foreign) in [
        ("audio", json!({"id": "audio_1"}), true),
        ("images", json!([{"type": "image_url", "image_url": {"url": "data:,"}}]), true),
        ("audio", Value::Null, false),
        ("images", json!([]), false),
    ] {
        let mut message = json!({"role": "assistant", "content": null});
        message[field] = value.clone();
        let got = translated(&json!({"model": "m", "messages": [message]}).to_string()).unwrap();
        let place = format!("`/messages/0/{field}` (what an assistant showed or spoke)");
        assert_eq!((got.foreign, got.lost), (is_foreign.then_some(place).into_iter().collect(), vec![]), "{value}");
    }
}

#[test]
fn tools_that_are_no_functions_are_not_lost_where_they_are_all_or_chosen() {
    let custom = json!({"type": "custom", "custom": {"name": "patch"}});
    let function = json!({"type": "function", "function": {"name": "read"}});
    let chosen = |name: &str| json!({"type": "function", "function": {"name": name}});
    for (tools, choice, expected) in [
        (json!([custom]), Value::Null, Err("/tools")),
        (json!([custom]), json!("required"), Err("/tools")),
        (json!([custom, function]), chosen("patch"), Err("/tool_choice")),
        (json!([custom, function]), chosen("read"), Ok(ToolChoice::Named("read".into()))),
        (json!([custom, function]), json!("required"), Ok(ToolChoice::Required)),
        (json!([]), Value::Null, Ok(ToolChoice::Auto)),
    ] {
        let body = json!({"model": "m", "messages": [], "tools": tools, "tool_choice": choice}).to_string();
        match (translated(&body), expected) {
            (Ok(got), Ok(choice)) => assert_eq!(got.tool_choice, choice, "{body}"),
            (Err(Error::Invalid { pointer, .. }), Err(place)) => assert_eq!(pointer, place, "{body}"),
            (got, _) => panic!("{body}: {got:?}"),
        }
    }
}

#[test]
fn a_limit_is_what_servers_of_the_dialect_take() {
    for (limit, peeked_as, told) in [
        ("100.0", Some(100), Ok(Some(100))),
        ("-1", None, Ok(None)),
        ("-1.0", None, Ok(None)),
        ("null", None, Ok(None)),
        ("0", None, Err("/max_tokens")),
        ("1e30", Some(u32::MAX), Ok(Some(u32::MAX))),
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],"max_tokens":{limit}}}"#);
        assert_eq!(peeked(&body).unwrap().max_output_tokens, peeked_as, "{limit}");
        match (translated(&body), told) {
            (Ok(got), Ok(told)) => assert_eq!(got.max_output_tokens, told, "{limit}"),
            (Err(Error::Invalid { pointer, .. }), Err(told)) => assert_eq!(pointer, told, "{limit}"),
            (got, _) => panic!("{limit}: {got:?}"),
        }
    }
    let whole = translated(r#"{"model":"m","messages":[],"n":1.0,"top_k":-1,"seed":7.0}"#).unwrap();
    assert_eq!((whole.top_k, whole.seed, whole.lost), (None, Some(7), vec![]));
}

#[test]
fn a_tool_choice_keeps_its_meaning_or_is_refused() {
    let named = || Ok(ToolChoice::Named("f".into()));
    for (choice, expected) in [
        (r#""none""#, Ok(ToolChoice::None)),
        (r#"{"type":"none"}"#, Ok(ToolChoice::None)),
        (r#"{"type":"auto"}"#, Ok(ToolChoice::Auto)),
        (r#"{"type":"required"}"#, Ok(ToolChoice::Required)),
        (r#"{"type":"any"}"#, Ok(ToolChoice::Required)),
        (r#"{"type":"tool","name":"f"}"#, named()),
        (r#"{"type":"function","name":"f"}"#, named()),
        (r#"{"type":"function","function":{"name":"f"}}"#, named()),
        (r#"{"name":"f"}"#, named()),
        (r#"{"type":"custom","custom":{"name":"f"}}"#, Err("/tool_choice/type")),
        (r#"{"type":"sometimes"}"#, Err("/tool_choice/type")),
        (r#"{"type":"tool"}"#, Err("/tool_choice/name")),
        (r#"{}"#, Err("/tool_choice/name")),
        (r#""sometimes""#, Err("/tool_choice")),
        ("7", Err("/tool_choice")),
    ] {
        let body =
            format!(r#"{{"model":"m","messages":[],"tools":[{{"function":{{"name":"f"}}}}],"tool_choice":{choice}}}"#);
        match (translated(&body), expected) {
            (Ok(got), Ok(expected)) => assert_eq!(got.tool_choice, expected, "{choice}"),
            (Err(Error::Invalid { pointer, .. }), Err(expected)) => assert_eq!(pointer, expected, "{choice}"),
            (got, _) => panic!("{choice}: {got:?}"),
        }
    }
}

#[test]
fn what_no_other_api_has_words_for_is_refused_and_never_left_out() {
    for (rest, pointer) in [
        (r#""n":2"#, "/n"),
        (
            r#""messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"A"}}]}]"#,
            "/messages/0/content/0/type",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"f"}}]}]"#,
            "/messages/0/content/0/file/file_id",
        ),
        (
            r#""messages":[{"role":"user","content":[{"type":"file","file":{}}]}]"#,
            "/messages/0/content/0/file/file_data",
        ),
        (
            r#""messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"custom","custom":{"name":"x","input":"y"}}]}]"#,
            "/messages/0/tool_calls/0/type",
        ),
    ] {
        let body = format!(r#"{{"model":"m","messages":[],{rest}}}"#);
        let Err(Error::Invalid { pointer: at, .. }) = translated(&body) else { panic!("{rest} was taken") };
        assert_eq!(at, pointer, "{rest}");
    }
}

#[test]
fn calls_of_the_older_kind_find_their_results() {
    let got = translated(
        r#"{"model":"m","functions":[{"name":"f"}],"function_call":{"name":"f"},"messages":[
            {"role":"assistant","content":"","function_call":{"name":"f","arguments":"{}"}},
            {"role":"function","name":"f","content":"1"},
            {"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
            {"role":"function","name":"f","content":"2"}]}"#,
    )
    .unwrap();
    let ids = got.messages.iter().flat_map(|message| &message.parts).map(|part| match part {
        Part::ToolCall { id, .. } => id.as_str(),
        Part::ToolResult { call_id, .. } => call_id.as_str(),
        other => panic!("{other:?}"),
    });
    let ids: Vec<_> = ids.collect();
    assert_eq!((ids[0], ids[2]), (ids[1], ids[3]));
    assert_ne!(ids[0], ids[2]);
    assert_eq!(got.tool_choice, ToolChoice::Named("f".into()));
    assert_eq!(got.tools.len(), 1);
    assert_eq!(got.lost, [""; 0]);
}

#[test]
fn what_a_message_may_not_be_is_refused_with_its_place() {
    for (message, pointer) in [
        (r#"{"content":"Hi"}"#, "/messages/0/role"),
        (r#"{"role":"robot"}"#, "/messages/0/role"),
        (r#"{"role":"user","content":7}"#, "/messages/0/content"),
        (r#"{"role":"user","content":[{"text":"Hi"}]}"#, "/messages/0/content/0/type"),
        (r#"{"role":"user","content":[{"type":"text"}]}"#, "/messages/0/content/0/text"),
        (
            r#"{"role":"user","content":[{"type":"image_url","image_url":{"url":"ftp://x"}}]}"#,
            "/messages/0/content/0/image_url",
        ),
        (r#"{"role":"tool","content":"x"}"#, "/messages/0/tool_call_id"),
        (r#"{"role":"assistant","tool_calls":[{"id":"a","function":{}}]}"#, "/messages/0/tool_calls/0/function/name"),
        ("7", "/messages/0"),
    ] {
        let Err(Error::Invalid { pointer: at, .. }) = translated(&format!(r#"{{"model":"m","messages":[{message}]}}"#))
        else {
            panic!("{message} was taken")
        };
        assert_eq!(at, pointer, "{message}");
    }
}

#[test]
fn a_stream_in_our_own_words() {
    let frames = [
        Event::Started { id: None, model: None, usage: Default::default() },
        Event::Thinking("Hm.".into()),
        Event::Text("Hi".into()),
        call(0, "call_1", "look"),
        arguments(0, "{\"a\""),
        arguments(0, ":1}"),
        finished(FinishReason::ToolCalls),
    ]
    .map(Frame::from);
    let got = stream(Dialect::OpenAiChat, true, frames);
    let head =
        r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"fast","choices":"#;
    let chunk = |delta: &str, reason: &str| {
        format!(r#"{head}[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{reason}}}],"usage":null}}"#)
            + "\n\n"
    };
    let expected = [
        chunk(r#"{"role":"assistant","content":""}"#, "null"),
        chunk(r#"{"reasoning_content":"Hm."}"#, "null"),
        chunk(r#"{"content":"Hi"}"#, "null"),
        chunk(
            r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"look","arguments":""}}]}"#,
            "null",
        ),
        chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}"#, "null"),
        chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}"#, "null"),
        chunk("{}", r#""tool_calls""#),
        format!(
            r#"{head}[],"usage":{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{{"cached_tokens":4,"cache_write_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":2}}}}}}"#
        ) + "\n\n",
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(got, expected.concat());
}

const ROLE: &str = "data: {\"id\":\"chatcmpl-up\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n";
const TEXT: &str = "data: {\"id\":\"chatcmpl-up\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
const FINISH: &str =
    "data: {\"id\":\"chatcmpl-up\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
const USAGE: &str = "data: {\"id\":\"chatcmpl-up\",\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";

fn marked(bytes: &str, finished: bool, counted: bool) -> Frame {
    Frame { mark: Some(Mark::Chunk { finished, counted }), ..raw(bytes, vec![]) }
}

fn begun() -> [Frame; 2] {
    let started = Event::Started { id: Some("chatcmpl-up".into()), model: None, usage: Default::default() };
    [raw(ROLE, vec![started]), raw(TEXT, vec![Event::Text("Hi".into())])]
}

#[test]
fn the_providers_bytes_pass_and_only_the_end_is_ours() {
    let end = Frame::from(finished(FinishReason::Stop));
    let whole = begun().into_iter().chain([marked(FINISH, true, false), marked(USAGE, false, true), end.clone()]);
    assert_eq!(stream(Dialect::OpenAiChat, true, whole), [ROLE, TEXT, FINISH, USAGE, "data: [DONE]\n\n"].concat());
    // The counts came with nothing, though they were asked for.
    let uncounted = begun().into_iter().chain([marked(FINISH, true, false), end]);
    let got = read(&stream(Dialect::OpenAiChat, true, uncounted));
    assert_eq!(got.len(), 5);
    assert_eq!(got[3]["usage"]["prompt_tokens"], 10);
    assert_eq!(got[3]["choices"], json!([]));
}

#[test]
fn another_provider_goes_on_in_the_middle_of_an_answer() {
    let rest = [Event::Text(" there".into()), finished(FinishReason::Stop)].map(Frame::from);
    let got = stream(Dialect::OpenAiChat, false, begun().into_iter().chain(rest));
    let Some(ours) = got.strip_prefix(&[ROLE, TEXT].concat()) else { panic!("{got}") };
    let chunks = read(ours);
    assert_eq!(chunks.len(), 3, "{ours}");
    assert_eq!(chunks[0]["id"], "chatcmpl-up");
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"content": " there"}));
    assert_eq!(chunks[1]["choices"][0]["finish_reason"], "stop");
    assert_eq!(chunks[2], "[DONE]");
}

#[test]
fn a_failure_in_the_middle_is_told_and_ends_the_stream() {
    let mut out = BytesMut::new();
    let mut encoder = encoder(envelope(true));
    for frame in begun() {
        encoder.frame(frame, &mut out);
    }
    encoder.heartbeat(&mut out);
    let before = out.len();
    encoder.fail(&Error::Cut { provider: "p".into(), message: "gone".into() }, &mut out);
    encoder.frame(finished(FinishReason::Stop).into(), &mut out);
    encoder.heartbeat(&mut out);
    assert_eq!(
        std::str::from_utf8(&out[before..]).unwrap(),
        "data: {\"error\":{\"message\":\"the answer of p was cut: gone\",\"type\":\"server_error\",\"param\":null,\"code\":\"model_failed\"}}\n\ndata: [DONE]\n\n"
    );
}

#[test]
fn a_whole_answer() {
    let events =
        [Event::Thinking("Hm.".into()), call(0, "call_1", "look"), arguments(0, "{}"), finished(FinishReason::Stop)];
    assert_eq!(
        whole(&envelope(false), &gathered(&events)),
        json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "fast",
            "choices": [{
                "index": 0, "logprobs": null, "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant", "content": null, "refusal": null, "reasoning_content": "Hm.",
                    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
                },
            }],
            "usage": {
                "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 2},
            },
        })
    );
}

/// As clients do: texts are appended, calls found by their index.
fn added_up(chunks: &[Value]) -> Value {
    let (mut text, mut thinking, mut reason, mut usage) = (String::new(), String::new(), Value::Null, Value::Null);
    let mut calls: Vec<Value> = Vec::new();
    for chunk in chunks {
        if !chunk["usage"].is_null() {
            usage = chunk["usage"].clone();
        }
        let Some(choice) = chunk["choices"].get(0) else { continue };
        text += choice["delta"]["content"].as_str().unwrap_or_default();
        thinking += choice["delta"]["reasoning_content"].as_str().unwrap_or_default();
        if !choice["finish_reason"].is_null() {
            reason = choice["finish_reason"].clone();
        }
        for delta in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let more = delta["function"]["arguments"].as_str().unwrap_or_default();
            match calls.iter_mut().find(|call| call["index"] == delta["index"]) {
                Some(call) => {
                    let arguments = call["function"]["arguments"].as_str().unwrap_or_default().to_owned() + more;
                    call["function"]["arguments"] = arguments.into();
                }
                None => calls.push(delta.clone()),
            }
        }
    }
    json!({"text": text, "thinking": thinking, "calls": calls, "reason": reason, "usage": usage})
}

proptest! {
    #[test]
    fn a_stream_adds_up_to_the_whole_answer(events in answers()) {
        let whole = whole(&envelope(true), &gathered(&events));
        let chunks = read(&stream(Dialect::OpenAiChat, true, events.into_iter().map(Frame::from)));
        let got = added_up(&chunks);
        let message = &whole["choices"][0]["message"];
        prop_assert_eq!(&got["text"], message["content"].as_str().unwrap_or_default());
        prop_assert_eq!(&got["thinking"], message["reasoning_content"].as_str().unwrap_or_default());
        prop_assert_eq!(&got["reason"], &whole["choices"][0]["finish_reason"]);
        prop_assert_eq!(&got["usage"], &whole["usage"]);
        let mut calls = got["calls"].as_array().cloned().unwrap_or_default();
        for call in &mut calls {
            call.as_object_mut().unwrap().shift_remove("index");
        }
        prop_assert_eq!(calls, message["tool_calls"].as_array().cloned().unwrap_or_default());
    }

    #[test]
    fn a_stream_ends_once_whatever_comes(frames in anything(), fails in any::<bool>()) {
        let mut out = BytesMut::new();
        let mut encoder = encoder(envelope(true));
        let ends = fails || frames.iter().flat_map(|frame| &frame.events).any(|event| matches!(event, Event::Finished(_)));
        for frame in frames {
            encoder.frame(frame, &mut out);
        }
        if fails {
            encoder.fail(&Error::Cancelled, &mut out);
        }
        let chunks = read(std::str::from_utf8(&out).unwrap());
        let done = chunks.iter().filter(|chunk| **chunk == "[DONE]").count();
        prop_assert_eq!(done, usize::from(ends));
        prop_assert!(!ends || chunks.last().is_some_and(|last| last == "[DONE]"));
        let roles = chunks.iter().filter(|chunk| !chunk["choices"][0]["delta"]["role"].is_null()).count();
        prop_assert!(roles <= 1);
    }

    #[test]
    fn no_body_is_too_strange(body in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from), mutated(REQUEST), distorted(REQUEST),
    ]) {
        survives(Dialect::OpenAiChat, &body);
    }
}

#[test]
fn a_schema_beside_the_type_is_a_schema_and_a_search_is_no_default() {
    let got = translated(
        r#"{"model":"m","messages":[{"role":"user","content":"a"}],"web_search_options":{},"response_format":{"type":"json_object","schema":{"type":"object","required":["a"]}}}"#,
    )
    .unwrap();
    let schema = json!({"type": "object", "required": ["a"]});
    assert_eq!(got.format, Format::Schema { name: "answer".into(), schema, strict: None });
    assert_eq!(got.lost, ["/web_search_options"]);
}
