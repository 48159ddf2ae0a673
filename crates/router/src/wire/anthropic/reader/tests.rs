use super::*;
use crate::{
    answer::{Block, Usage, Whole},
    testing::split,
    wire::{anthropic::provider::came, openai::provider::testing::origin},
};
use futures_util::{StreamExt, stream};
use proptest::prelude::*;
use protocol::FinishReason;
use serde_json::json;

const TEXT: &str = include_str!("../golden/text.sse");
const THINKING: &str = include_str!("../golden/thinking.sse");
const TOOLS: &str = include_str!("../golden/tools.sse");
/// A search that ran at the vendor, citations, an event nobody knows, and a tool call.
const MIXED: &str = include_str!("../golden/mixed.sse");
const ERROR: &str = include_str!("../golden/error.sse");
const REFUSAL: &str = include_str!("../golden/refusal.sse");
const WHOLE: [&str; 5] = [TEXT, THINKING, TOOLS, MIXED, REFUSAL];

fn passing() -> Manner {
    Manner { passes_as: Some("claude-sonnet-4-5-20250929".to_owned()), held_back: String::new() }
}

fn read(text: &[u8], cuts: &[usize], manner: Manner, streamed: bool) -> (Vec<Frame>, Option<Error>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let reader = MessagesReader::new(origin(), manner);
        let mut decoded = came::decode(reader, origin(), Box::pin(split(text, cuts)), streamed);
        let mut frames = Vec::new();
        while let Some(frame) = decoded.next().await {
            match frame {
                Ok(frame) => frames.push(frame),
                Err(error) => {
                    assert_eq!(decoded.next().await, None, "nothing follows an error");
                    return (frames, Some(error));
                }
            }
        }
        (frames, None)
    })
}

fn run_in(text: &[u8], cuts: &[usize], manner: Manner) -> (Vec<Frame>, Option<Error>) {
    read(text, cuts, manner, true)
}

fn run(text: &str, cuts: &[usize]) -> (Vec<Frame>, Option<Error>) {
    run_in(text.as_bytes(), cuts, passing())
}

fn gathered(frames: &[Frame]) -> Whole {
    let mut whole = Whole::default();
    frames.iter().flat_map(|frame| &frame.events).for_each(|event| whole.add(event));
    whole
}

fn answer(text: &str) -> Whole {
    let (frames, error) = run(text, &[]);
    assert_eq!(error, None);
    gathered(&frames)
}

fn raw(frames: &[Frame]) -> Vec<u8> {
    frames.iter().filter_map(|frame| frame.raw.clone()).collect::<Vec<_>>().concat()
}

#[test]
fn text_with_its_counts() {
    let whole = answer(TEXT);
    assert_eq!((whole.text().as_str(), whole.id.as_deref()), ("Grüße, 🌍!", Some("msg_01Abc")));
    let usage = Usage {
        input_tokens: 20,
        cached_input_tokens: 5,
        cache_write_tokens: 3,
        cache_write_1h_tokens: 0,
        output_tokens: 9,
        reasoning_tokens: 0,
    };
    assert_eq!(whole.finish, Some(Finish::new(FinishReason::Stop, usage)));
}

#[test]
fn thoughts_keep_their_signatures() {
    let whole = answer(THINKING);
    let signature = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds+/x==".to_owned();
    assert_eq!(
        whole.blocks,
        [
            Block::Thinking { text: "Let me see.".into(), signature: Some(signature) },
            Block::RedactedThinking("ZW5jcnlwdGVk+/==".into()),
            Block::Text("27".into()),
        ]
    );
    let finish = whole.finish.unwrap();
    assert_eq!((finish.reason, finish.stop_sequence.as_deref()), (FinishReason::Stop, Some("END")));
    assert_eq!((finish.usage.input_tokens, finish.usage.output_tokens), (20, 40), "totals are not added up");
    assert_eq!(finish.usage.reasoning_tokens, 31);
}

fn call(index: usize, id: &str, name: &str, arguments: &str) -> Block {
    Block::ToolCall { index, id: id.into(), name: name.into(), arguments: arguments.into() }
}

#[test]
fn tool_calls_are_counted_from_the_first_one() {
    let whole = answer(TOOLS);
    let calls = [call(0, "toolu_01A", "read", r#"{"path": "a.py"}"#), call(1, "toolu_01B", "now", "{}")];
    assert_eq!(whole.blocks[1..], calls);
    assert_eq!(whole.finish.unwrap().reason, FinishReason::ToolCalls);
}

#[test]
fn what_ran_at_the_vendor_passes_without_being_a_call() {
    let whole = answer(MIXED);
    assert_eq!(whole.blocks, [Block::Text("Found.".into()), call(0, "toolu_01C", "write", "{}")]);
    let finish = whole.finish.unwrap();
    assert_eq!(finish.reason, FinishReason::Length);
    let opaque: Vec<_> = run(MIXED, &[]).0.into_iter().flat_map(|frame| frame.events).filter_map(opaque_in).collect();
    let expected = [
        "a block `server_tool_use`",
        "arguments of a tool of the vendor's",
        "a block `web_search_tool_result`",
        "an event `weather_report`",
        "a delta `citations_delta`",
    ];
    assert_eq!(opaque, expected);
}

fn opaque_in(event: Event) -> Option<String> {
    if let Event::Opaque(what) = event { Some(what) } else { None }
}

#[test]
fn a_refusal_is_one() {
    assert_eq!(answer(REFUSAL).finish.unwrap().reason, FinishReason::ContentFilter);
}

#[test]
fn an_error_in_the_stream_is_an_error() {
    let (frames, error) = run(ERROR, &[]);
    assert_eq!(gathered(&frames).text(), "It begins");
    assert!(matches!(&error, Some(Error::Overloaded { message, .. }) if message == "Overloaded"), "{error:?}");
    let (_, error) = run("event: error\ndata: {\"error\":{\"message\":\"prompt is too long\"}}\n\n", &[]);
    assert!(matches!(error, Some(Error::ContextLengthExceeded { .. })), "{error:?}");
}

#[test]
fn bytes_pass_as_they_came_and_a_redacted_answer_has_none() {
    for text in WHOLE {
        let (frames, _) = run(text, &[]);
        // A comment says nothing to the caller.
        assert_eq!(raw(&frames), text.replace(": a comment\n\n", "").as_bytes());
        let (frames, _) = run_in(text.as_bytes(), &[], Manner::default());
        assert_eq!(raw(&frames), b"");
        assert_eq!(gathered(&frames), answer(text));
    }
}

/// Where the line ends that tells why the model stopped.
fn stop_told(text: &str) -> usize {
    let at =
        text.match_indices("message_delta").map(|(at, _)| at).find(|at| text[*at..].contains("stop_reason")).unwrap();
    let line = text[at..].find("data: ").unwrap() + at;
    line + text[line..].find('\n').unwrap()
}

#[test]
fn before_why_it_stopped_is_told_it_is_a_cut_wherever_it_ends() {
    for text in WHOLE {
        let ended = stop_told(text);
        for end in 0..text.len() {
            let (frames, error) = run_in(&text.as_bytes()[..end], &[], passing());
            assert_eq!(gathered(&frames).finish.is_some(), end >= ended, "ends at {end}");
            assert_eq!(matches!(error, Some(Error::Cut { .. })), end < ended, "ends at {end}: {error:?}");
            if end >= ended {
                assert_eq!(gathered(&frames), answer(text), "ends at {end}");
                assert!(raw(&frames).ends_with(b"}\n\n"), "the caller gets the missing line end");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_last_word_is_a_cut() {
    let told = Bytes::copy_from_slice(&TEXT.as_bytes()[..stop_told(TEXT) + 2]);
    let broken = Error::Cut { provider: "p".into(), message: "reset".into() };
    let body = stream::iter([Ok(told), Err(broken.clone())]);
    let reader = MessagesReader::new(origin(), Manner::default());
    let frames: Vec<_> = came::decode(reader, origin(), Box::pin(body), true).collect().await;
    assert_eq!(frames.last().unwrap(), &Err(broken));
}

#[tokio::test(start_paused = true)]
async fn the_end_is_not_waited_for_after_the_last_word() {
    let open = stream::iter([Ok(Bytes::from_static(TEXT.as_bytes()))]).chain(stream::pending());
    let reader = MessagesReader::new(origin(), Manner::default());
    let begun = tokio::time::Instant::now();
    let frames: Vec<_> = came::decode(reader, origin(), Box::pin(open), true).collect().await;
    assert!(matches!(frames.last().unwrap().as_ref().unwrap().events[..], [Event::Finished(_)]));
    assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
}

#[test]
fn a_frame_that_cannot_be_read_passes_on_or_ends_the_answer() {
    let at = TEXT.find("event: content_block_delta").unwrap();
    for garbage in [
        &b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"ind\n\n"[..],
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"x\":\"\xff\"}\n\n",
        b"data: [1]\n\n",
        b"data: {}\n\n",
        b"data: some words\n\n",
    ] {
        let text = [&TEXT.as_bytes()[..at], garbage, &TEXT.as_bytes()[at..]].concat();
        let (frames, error) = run_in(&text, &[], passing());
        assert_eq!((raw(&frames), error), (text.clone(), None));
        let whole = gathered(&frames);
        assert_eq!((whole.text().as_str(), whole.opaque), ("Grüße, 🌍!", true));
        let (frames, error) = run_in(&text, &[], Manner::default());
        assert_eq!(gathered(&frames).text(), "");
        assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
        let (frames, error) = run_in(&[garbage, TEXT.as_bytes()].concat(), &[], passing());
        let begins_so = [garbage, TEXT.as_bytes()].concat();
        assert_eq!((raw(&frames), error), (begins_so, None), "something could be read after it");
        let (frames, error) = run_in(garbage, &[], passing());
        assert!(frames.is_empty() && matches!(error, Some(Error::Malformed { .. })), "{error:?}");
    }
}

/// The start of an answer, what a row puts in, and its end.
fn around(events: &[Value]) -> String {
    let start = json!({"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 1}}});
    let end = [
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}}),
        json!({"type": "message_stop"}),
    ];
    let all = [start].into_iter().chain(events.iter().cloned()).chain(end);
    all.map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}

#[test]
fn odd_shapes_of_servers_are_read() {
    let begin = |block: Value| json!({"type": "content_block_start", "index": 0, "content_block": block});
    let delta = |delta: Value| json!({"type": "content_block_delta", "index": 0, "delta": delta});
    let stop = || json!({"type": "content_block_stop", "index": 0});
    let tool = |input: Value| begin(json!({"type": "tool_use", "id": 7, "name": "n", "input": input}));
    let piece = |piece: Value| delta(json!({"type": "input_json_delta", "partial_json": piece}));
    let half = |at: usize| {
        let events = [
            begin(json!({"type": "text"})),
            delta(json!({"type": "text_delta", "text": "A"})),
            delta(json!({"type": "text_delta", "text": "B"})),
            stop(),
        ];
        around(&events[..at]).replace("\"A\"", "\"\\ud83c\"").replace("\"B\"", "\"\\udf0d!\"")
    };
    let called = |arguments: &str| vec![call(0, "7", "n", arguments)];
    let text = |text: &str| vec![Block::Text(text.into())];
    for (what, stream, blocks, is_opaque) in [
        ("an emoji in two frames", half(4), text("🌍!"), false),
        ("half an emoji", half(2), text("\u{fffd}"), false),
        (
            "a delta without a kind",
            around(&[begin(json!({"type": "text"})), delta(json!({"text": "a"}))]),
            text("a"),
            false,
        ),
        ("a delta without a block", around(&[delta(json!({"type": "text_delta", "text": "a"}))]), text("a"), false),
        ("a text that is none", around(&[delta(json!({"type": "text_delta", "text": [1]}))]), vec![], true),
        ("arguments at once", around(&[tool(json!({"a": 1})), stop()]), called(r#"{"a":1}"#), false),
        ("arguments as text", around(&[tool(json!("{\"a\":1}")), stop()]), called(r#"{"a":1}"#), false),
        ("arguments twice", around(&[tool(json!({"a": 1})), piece(json!("{\"b\":2}"))]), called(r#"{"b":2}"#), false),
        ("a piece that is an object", around(&[tool(json!({})), piece(json!({"b": 2}))]), called(r#"{"b":2}"#), false),
        ("a call that never ends", around(&[tool(json!({}))]), called("{}"), false),
        ("a block that is none", around(&[begin(json!(3)), delta(json!({"text": "a"})), stop()]), text("a"), true),
        ("a kind nobody knows", around(&[begin(json!({"type": "novel", "text": "x"})), stop()]), vec![], true),
        (
            "seals that are none",
            around(&[begin(json!({"type": "redacted_thinking", "data": 1})), stop()]),
            vec![],
            true,
        ),
    ] {
        let (frames, error) = run(&stream, &[]);
        assert_eq!(error, None, "{what}");
        let whole = gathered(&frames);
        assert_eq!((whole.blocks.clone(), whole.opaque), (blocks, is_opaque), "{what}");
        assert_eq!((whole.usage().input_tokens, whole.usage().output_tokens), (1, 2), "{what}");
        assert_eq!(
            raw(&frames),
            stream.replace(r#""model":"m""#, r#""model":"claude-sonnet-4-5-20250929""#).as_bytes()
        );
    }
}

#[test]
fn calls_told_side_by_side_keep_their_arguments() {
    let start = |index: usize| {
        let block = json!({"type": "tool_use", "id": format!("t{index}"), "name": "n", "input": {}});
        json!({"type": "content_block_start", "index": index, "content_block": block})
    };
    let piece = |index: usize, piece: &str| json!({"type": "content_block_delta", "index": index, "delta": {"type": "input_json_delta", "partial_json": piece}});
    let (frames, _) =
        run(&around(&[start(0), start(1), piece(1, "{\"b\":"), piece(0, "{\"a\":1}"), piece(1, "2}")]), &[]);
    assert_eq!(gathered(&frames).blocks, [call(0, "t0", "n", r#"{"a":1}"#), call(1, "t1", "n", r#"{"b":2}"#)]);
}

#[test]
fn the_answer_is_of_the_model_that_was_asked_for_and_else_as_it_came() {
    let manner = |name: &str| Manner { passes_as: Some(name.to_owned()), held_back: String::new() };
    let theirs = r#""model":"claude-sonnet-4-5-20250929""#;
    for (name, written) in [("fast", r#""model":"fast""#), ("a\"b", r#""model":"a\"b""#)] {
        for text in WHOLE {
            let (frames, _) = run_in(text.as_bytes(), &[], manner(name));
            assert_eq!(raw(&frames), text.replace(": a comment\n\n", "").replacen(theirs, written, 1).as_bytes());
        }
    }
    let parts = TEXT.replacen(",\"role\"", ",\ndata:\"role\"", 1);
    let (frames, _) = run_in(parts.as_bytes(), &[], manner("fast"));
    assert_eq!(raw(&frames), parts.replacen(theirs, r#""model":"fast""#, 1).as_bytes(), "in several lines");
    let body = "{ \"content\":[{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"n\",\"input\":{\"model\":\"x\"}}],\n \"model\" : \"x\",\"stop_reason\":\"tool_use\"}";
    let (frames, _) = read(body.as_bytes(), &[], manner("fast"), false);
    assert_eq!(raw(&frames), body.replace("\"model\" : \"x\"", "\"model\" : \"fast\"").as_bytes(), "in one body");
    let bare = br#"{"content":[],"stop_reason":"end_turn"}"#;
    assert_eq!(raw(&read(bare, &[], manner("fast"), false).0), bare, "where no model is told");
}

#[test]
fn a_stream_or_one_body_is_an_answer_whatever_was_asked_for() {
    let body = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "container": {"id": "c"},
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s+/="},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
            {"type": "text", "text": "Look\n", "citations": [{"type": "novel"}]},
            {"type": "tool_use", "id": "t", "name": "n", "input": {"b": 1, "a": [ ]}}],
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 2}});
    let pretty = serde_json::to_string_pretty(&body).unwrap();
    let expected =
        [Block::Thinking { text: "hm".into(), signature: Some("s+/=".into()) }, Block::Text("Look\n".into())];
    for text in [body.to_string(), format!("\r\n{pretty}\n")] {
        let (frames, error) = read(text.as_bytes(), &[3], passing(), true);
        assert_eq!(error, None);
        let whole = gathered(&frames);
        assert_eq!((&whole.blocks[..2], whole.opaque), (&expected[..], true));
        assert!(
            matches!(&whole.blocks[2], Block::ToolCall { arguments, .. } if arguments.starts_with("{")),
            "{whole:?}"
        );
        let stream = String::from_utf8(raw(&frames)).unwrap();
        for part in ["\"query\"", "\"novel\"", "\"container\"", "server_tool_use", "event: message_stop"] {
            assert!(stream.contains(part), "{part}: {stream}");
        }
        // Its own words are a stream that is read like any other.
        let again = gathered(&run(&stream, &[]).0);
        assert_eq!((again.blocks, again.finish), (whole.blocks, whole.finish));
    }
    for text in [TEXT, THINKING, TOOLS, REFUSAL] {
        let (frames, error) = read(text.as_bytes(), &[], passing(), false);
        assert_eq!((frames.len(), gathered(&frames), error), (1, answer(text), None), "one body was asked for");
        let (again, error) = read(&raw(&frames), &[], passing(), false);
        assert_eq!((gathered(&again), error), (answer(text), None), "and is one");
        let translated = read(text.as_bytes(), &[], Manner::default(), false).0;
        assert_eq!(gathered(&translated), answer(text));
    }
    let unknown = read(MIXED.as_bytes(), &[], passing(), false).1;
    assert!(matches!(&unknown, Some(Error::Malformed { message, .. }) if message.contains("weather")), "{unknown:?}");
    let known = MIXED.replace("weather_report", "ping");
    let body: Value = serde_json::from_slice(&raw(&read(known.as_bytes(), &[], passing(), false).0)).unwrap();
    assert_eq!(body["content"][0]["input"], json!({"query": "x"}));
    assert_eq!(body["content"][1]["content"][0]["encrypted_content"], "abc");
    assert_eq!(body["content"][2]["citations"][0]["cited_text"], "x");
    assert_eq!((&body["stop_reason"], &body["usage"]["output_tokens"]), (&json!("max_tokens"), &json!(20)));
    let page = read(b"Bad Gateway", &[], passing(), true).1;
    assert!(matches!(&page, Some(Error::Malformed { message, .. }) if message.contains("Bad Gateway")), "{page:?}");
}

#[test]
fn white_space_the_caller_has_already_does_not_come_twice() {
    let said = |begin: &str, held_back: &str| {
        let text = TEXT.replace("Grüße", begin);
        let (frames, _) = run_in(text.as_bytes(), &[], Manner { passes_as: None, held_back: held_back.into() });
        gathered(&frames).text()
    };
    assert_eq!(said("\\n\\nyou", "\n\n"), "you, 🌍!");
    assert_eq!(said("\\n", "\n,"), " 🌍!");
    assert_eq!(said("you", " "), "you, 🌍!");
    assert_eq!(said("  you", " "), " you, 🌍!");
}

#[test]
fn an_answer_in_one_body_is_the_same_answer() {
    let body = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s+/="},
            {"type": "redacted_thinking", "data": "b64"},
            {"type": "web_search_tool_result", "data": 1},
            {"type": "text", "text": "Look"},
            {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"b": 1, "a": 2}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}},
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3},
    });
    let (frames, _) = read(body.to_string().as_bytes(), &[], passing(), false);
    assert_eq!(frames.len(), 1);
    let gathered = gathered(&frames);
    assert_eq!(
        gathered.blocks,
        [
            Block::Thinking { text: "hm".into(), signature: Some("s+/=".into()) },
            Block::RedactedThinking("b64".into()),
            Block::Text("Look".into()),
            call(0, "toolu_1", "read", r#"{"b":1,"a":2}"#),
            call(1, "toolu_2", "now", "{}"),
        ]
    );
    assert_eq!((gathered.usage().input_tokens, gathered.usage().output_tokens), (3, 3));
    let failed = |body: &[u8]| read(body, &[], passing(), false).1;
    assert!(matches!(failed(b"{}"), Some(Error::Cut { .. })));
    assert!(matches!(failed(b"<html>"), Some(Error::Malformed { .. })));
    let error = br#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#;
    assert!(matches!(failed(error), Some(Error::RateLimited { .. })));
}

/// Any JSON value, written as a server may.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "1e99",
        "\"\"",
        "\"7\"",
        "\"text\"",
        "\"\\ud83d\"",
        "NaN",
        "-Infinity",
        "[]",
        "{}",
    ]);
    leaf.prop_map(str::to_owned).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
            ("[a-z_]{1,6}", inner).prop_map(|(name, value)| format!("{{\"{name}\": {value}}}")),
        ]
    })
}

proptest! {
    #[test]
    fn where_the_network_cuts_makes_no_difference(cuts in prop::collection::vec(0..4000usize, 0..40)) {
        for text in WHOLE.into_iter().chain([ERROR]) {
            prop_assert_eq!(run(text, &cuts), run(text, &[]));
            let windows = text.replace('\n', "\r\n");
            let (frames, error) = run(&windows, &cuts);
            prop_assert_eq!(gathered(&frames), gathered(&run(text, &[]).0));
            prop_assert_eq!(error, run(text, &[]).1);
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..3000usize, text in 0..5usize) {
        run_in(&bytes, &[], Manner::default());
        let mut broken = WHOLE[text].as_bytes().to_vec();
        let at = at % broken.len();
        broken.splice(at..(at + 3).min(broken.len()), bytes.iter().copied());
        run_in(&broken, &[], Manner { held_back: " ".into(), ..passing() });
        read(&bytes, &[], passing(), false);
    }

    #[test]
    fn a_side_field_costs_nothing_else(values in prop::collection::vec(any_json(), 12)) {
        let v = |at: usize| &values[at];
        let stream = format!(
            "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":{},\"model\":{},\"usage\":{},\"role\":{}}}}}\n\n\
             event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{},\"content_block\":{{\"type\":\"text\",\"text\":\"\",\"citations\":{}}}}}\n\n\
             event: content_block_delta\ndata: {{\"index\":{},\"x\":{},\"type\":\"content_block_delta\",\"delta\":{{\"type\":\"text_delta\",\"text\":\"Hi\"}}}}\n\n\
             event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":0}}\n\n\
             event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":1,\"content_block\":{{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"n\",\"caller\":{}}}}}\n\n\
             event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":1,\"delta\":{{\"type\":\"input_json_delta\",\"partial_json\":\"{{}}\",\"y\":{}}}}}\n\n\
             event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":1}}\n\n\
             event: message_delta\ndata: {{\"type\":\"message_delta\",\"delta\":{{\"stop_reason\":\"tool_use\",\"stop_sequence\":{}}},\"usage\":{}}}\n\n\
             event: message_stop\ndata: {{\"type\":\"message_stop\"}}\n\n",
            v(0), v(1), v(2), v(3), v(4), v(5), v(6), v(7), v(8), v(9), v(10), v(11),
        );
        let (frames, error) = run(&stream, &[]);
        prop_assert_eq!(error, None);
        let whole = gathered(&frames);
        prop_assert_eq!(whole.blocks, vec![Block::Text("Hi".into()), call(0, "t", "n", "{}")]);
        prop_assert_eq!((whole.finish.unwrap().reason, whole.opaque), (FinishReason::ToolCalls, false));
        let name = format!("\"model\":{},\"usage\"", v(1));
        let asked_for = if v(1) == "null" { name.clone() } else { "\"model\":\"claude-sonnet-4-5-20250929\",\"usage\"".to_owned() };
        let expected = stream.replacen(&name, &asked_for, 1);
        let passed = raw(&frames);
        // A word that is no JSON was read as nothing, and nothing is not renamed.
        prop_assert!(passed == expected.as_bytes() || v(1).contains("N") || v(1).contains("Inf"));
    }
}
