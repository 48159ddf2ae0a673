use super::*;
use crate::endpoint::Scheme;
use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;
use protocol::Location;
use std::time::Duration;

const TEXT: &str = include_str!("../golden/text.ndjson");
const TOOLS: &str = include_str!("../golden/tools.ndjson");
const ERROR: &str = include_str!("../golden/error.ndjson");
const REAL_CHAT: &str = include_str!("../golden/real_chat.ndjson");
const REAL_LOGPROBS: &str = include_str!("../golden/real_logprobs.ndjson");
const REAL_GENERATE: &str = include_str!("../golden/real_generate.ndjson");
const REAL_TOOLS: &str = include_str!("../golden/real_tools.ndjson");
const REAL_LOAD: &str = include_str!("../golden/real_load.json");

/// `bytes` as a network might deliver them, in pieces that end at `cuts`.
fn split(bytes: &[u8], cuts: &[usize]) -> ByteStream {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
    ends.sort_unstable();
    let starts = std::iter::once(0).chain(ends.clone());
    let pieces: Vec<_> = starts.zip(ends).map(|(start, end)| Ok(Bytes::copy_from_slice(&bytes[start..end]))).collect();
    Box::pin(stream::iter(pieces))
}

fn run(body: &[u8], cuts: &[usize], raw: Raw) -> (Vec<Frame>, Option<Error>) {
    let endpoint = Endpoint::new(
        "ollama",
        "http://127.0.0.1:1",
        Location::Local,
        Duration::from_secs(1),
        Scheme::Bearer,
        vec![crate::Secret::new("the-key-of-it")],
    );
    let mut decoded = decode(Arc::new(endpoint.unwrap()), "m", split(body, cuts), raw, "smollm2:135m");
    let mut frames = Vec::new();
    while let Some(frame) = decoded.next().now_or_never().expect("nothing to wait for") {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => return (frames, Some(error)),
        }
    }
    (frames, None)
}

fn whole(body: &str) -> (crate::answer::Whole, Option<Error>) {
    let (frames, error) = run(body.as_bytes(), &[], Raw::Withheld);
    let mut whole = crate::answer::Whole::default();
    frames.iter().flat_map(|frame| &frame.events).for_each(|event| whole.add(event));
    (whole, error)
}

fn bytes_of(frames: &[Frame]) -> String {
    frames.iter().filter_map(|frame| frame.raw.as_ref()).map(|raw| std::str::from_utf8(raw).unwrap()).collect()
}

#[test]
fn text_thoughts_and_counts() {
    let (whole, error) = whole(TEXT);
    assert_eq!(error, None);
    assert_eq!(whole.text(), "Grüße, 🌍!");
    assert_eq!(whole.model.as_deref(), Some("qwen3:8b"));
    assert!(matches!(&whole.blocks[0], crate::answer::Block::Thinking { text, .. } if text == "They greet me."));
    let finish = whole.finish.unwrap();
    let usage = (finish.usage.input_tokens, finish.usage.output_tokens);
    assert_eq!((finish.reason, usage, finish.load_ms), (FinishReason::Stop, (26, 282), Some(1)));
}

#[test]
fn tool_calls_come_whole_and_get_ids_where_they_have_none() {
    let (whole, error) = whole(TOOLS);
    assert_eq!(error, None);
    let [crate::answer::Block::ToolCall { id: first, arguments, .. }, second] = whole.blocks.as_slice() else {
        panic!("{whole:?}")
    };
    assert_eq!(arguments, r#"{"command":"ls -l"}"#);
    assert!(first.starts_with("call_"), "{first}");
    let crate::answer::Block::ToolCall { index: 1, id, arguments, .. } = second else { panic!("{second:?}") };
    assert_eq!((id.as_str(), arguments.as_str()), ("call_given", r#"{"path": "a.py"}"#));
    assert_eq!(whole.finish.unwrap().reason, FinishReason::ToolCalls);
}

#[test]
fn what_comes_once_more_is_told_once() {
    let line = |message: Value, done: bool| serde_json::json!({"message": message, "done": done}).to_string() + "\n";
    let text = |text: &str, done: bool| line(serde_json::json!({"content": text}), done);
    for (lines, said) in [
        (text("one ", false) + &text("two", false) + &text("one two", true), "one two"),
        (text("one ", false) + &text("two", true), "one two"),
        (text("one", false) + &text(" one", true), "one one"),
        (text("one two", true), "one two"),
    ] {
        let (got, error) = whole(&lines);
        assert_eq!((got.text().as_str(), error), (said, None), "{lines}");
        let lines: Vec<_> = lines.split_inclusive('\n').map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
        let body: Value = serde_json::from_slice(&crate::wire::ollama::joined::joined(&lines).unwrap()).unwrap();
        assert_eq!(body["message"]["content"], said);
    }
    let call = |id: Value, index: u64, at: u64| serde_json::json!({"id": id, "function": {"index": index, "name": "read", "arguments": {"a": at}}});
    let (id, other) = (|| Value::from("c"), || Value::from("d"));
    for (again, count) in
        [(call(id(), 0, 1), 1), (call(id(), 1, 1), 2), (call(other(), 0, 1), 2), (call(id(), 0, 2), 2)]
    {
        let calls = |call: &Value, done| line(serde_json::json!({"content": "", "tool_calls": [call]}), done);
        let lines = calls(&call(id(), 0, 1), false) + &calls(&again, true);
        assert_eq!(whole(&lines).0.blocks.len(), count, "{again}");
        let lines: Vec<_> = lines.split_inclusive('\n').map(|line| Bytes::copy_from_slice(line.as_bytes())).collect();
        let body: Value = serde_json::from_slice(&crate::wire::ollama::joined::joined(&lines).unwrap()).unwrap();
        assert_eq!(body["message"]["tool_calls"].as_array().unwrap().len(), count, "{again}");
    }
    let nameless = call(Value::Null, 0, 1);
    let twice = line(serde_json::json!({"content": "", "tool_calls": [nameless, nameless]}), true);
    assert_eq!(whole(&twice).0.blocks.len(), 2, "without ids they are two");
}

#[test]
fn a_real_server_says_the_same() {
    let (chat, error) = whole(REAL_CHAT);
    assert_eq!(error, None);
    assert!(chat.text().starts_with("I'm so glad you"), "{}", chat.text());
    assert_eq!(chat.finish.as_ref().unwrap().reason, FinishReason::Length);
    assert_eq!((chat.usage().input_tokens, chat.usage().output_tokens), (12, 12));
    let (generated, error) = whole(REAL_GENERATE);
    assert_eq!((generated.text().as_str(), error), ("I'm so glad", None));
    let (loaded, error) = whole(REAL_LOAD);
    assert_eq!((loaded.blocks.len(), loaded.finish.is_some(), error), (0, true, None));
}

#[test]
fn a_real_tool_call_is_a_line_of_life_per_token_and_then_one_call() {
    let (frames, error) = run(REAL_TOOLS.as_bytes(), &[], Raw::WithoutLogprobs);
    assert_eq!(error, None);
    let silent = frames.iter().filter(|frame| frame.events.iter().all(|event| !event.is_content())).count();
    assert!(silent > 5, "{silent} of {} frames say nothing", frames.len());
    let names = frames.iter().flat_map(|frame| &frame.events);
    let names: Vec<_> = names
        .filter_map(|event| if let Event::ToolCall { name, .. } = event { Some(name.as_str()) } else { None })
        .collect();
    assert_eq!(names, ["shell"]);
    assert!(!bytes_of(&frames).contains("logprobs") && bytes_of(&frames).lines().count() < 5, "{}", bytes_of(&frames));
}

#[test]
fn bytes_pass_exactly_and_log_probabilities_only_to_who_asked() {
    let (frames, _) = run(REAL_LOGPROBS.as_bytes(), &[3, 700], Raw::AsTheyAre);
    assert_eq!(bytes_of(&frames), REAL_LOGPROBS);
    let (frames, _) = run(REAL_CHAT.trim_end().as_bytes(), &[], Raw::WithoutLogprobs);
    assert_eq!(bytes_of(&frames), REAL_CHAT, "the last line gets the end that it lacked");
    let (frames, _) = run(REAL_LOGPROBS.as_bytes(), &[], Raw::WithoutLogprobs);
    let first = bytes_of(&frames).lines().next().unwrap().to_owned();
    assert!(first.ends_with(r#""message":{"role":"assistant","content":"I"},"done":false}"#), "{first}");
    let (frames, _) = run(REAL_CHAT.as_bytes(), &[], Raw::Withheld);
    assert!(frames.iter().all(|frame| frame.raw.is_none()));
}

#[test]
fn an_error_in_the_stream_is_an_error() {
    let (before, error) = whole(ERROR);
    assert_eq!(before.text(), "It begins");
    assert!(matches!(error, Some(Error::Failed { message, .. }) if message.contains("model runner")));
    let (_, error) = whole("{\"error\":\"the input length exceeds the context length\",\"status\":400}\n");
    assert!(matches!(error, Some(Error::ContextLengthExceeded { .. })));
    let (_, error) = whole("{\"error\":\"no: the-key-of-it\"}\n");
    assert!(!error.unwrap().to_string().contains("the-key-of-it"));
}

#[test]
fn a_line_that_cannot_be_read_passes_on_and_is_no_answer_by_itself() {
    let (first, rest) = REAL_CHAT.split_once('\n').unwrap();
    let middle = format!("{first}\n<garbage>\n[]\n{rest}");
    let before = format!("<garbage>\n{REAL_CHAT}");
    for (body, opaque) in [(&middle, 2), (&before, 1)] {
        for raw in [Raw::AsTheyAre, Raw::WithoutLogprobs] {
            let (frames, error) = run(body.as_bytes(), &[], raw);
            assert_eq!((bytes_of(&frames), error), (body.clone(), None));
            let events = frames.iter().flat_map(|frame| &frame.events);
            assert_eq!(events.filter(|event| matches!(event, Event::Opaque(_))).count(), opaque);
            assert!(frames.iter().all(|frame| !frame.events.is_empty()));
        }
        let (_, error) = run(body.as_bytes(), &[], Raw::Withheld);
        assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
    }
    for raw in [Raw::AsTheyAre, Raw::Withheld] {
        let (frames, error) = run(b"<html>\n</html>\n", &[], raw);
        assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
        assert_eq!(frames, []);
    }
}

fn opaque_of(whole: &str) -> (String, usize, Option<Error>) {
    let (frames, error) = run(whole.as_bytes(), &[], Raw::AsTheyAre);
    assert_eq!(bytes_of(&frames), whole);
    let events: Vec<_> = frames.into_iter().flat_map(|frame| frame.events).collect();
    let text = events.iter().filter_map(|event| if let Event::Text(text) = event { Some(text.as_str()) } else { None });
    let text = text.collect();
    (text, events.iter().filter(|event| matches!(event, Event::Opaque(_))).count(), error)
}

#[test]
fn content_without_words_here_is_opaque_and_odd_side_fields_are_nothing() {
    const END: &str = "{\"done\":true}\n";
    for (line, text, opaque) in [
        (r#"{"message":{"content":"a","images":["iVBO"]}}"#, "a", 1),
        (r#"{"message":{"content":"a","images":[]},"images":null}"#, "a", 0),
        (r#"{"response":"a","image":"iVBO","completed":3,"total":4}"#, "a", 1),
        (r#"{"message":{"content":"a","annotations":[{"url":"x"}],"refusal":null,"seen":3}}"#, "a", 1),
        (r#"{"message":{"content":[{"type":"text","text":"a"}]}}"#, "", 1),
        (r#"{"message":"a"}"#, "", 1),
        (r#"{"message":{"content":"a","thinking":{"steps":[]}}}"#, "a", 1),
        (r#"{"message":{"content":"a","thinking":false},"error":""}"#, "a", 0),
        (r#"{"message":{"content":"a","tool_calls":[{"function":{"arguments":{}}}]}}"#, "a", 1),
        (r#"{"model":17,"created_at":[],"message":{"role":3,"content":"a","tool_calls":{}},"logprobs":NaN}"#, "a", 1),
        (r#"{"model":17,"message":{"role":null,"content":"a","tool_calls":[]},"usage":{"x":1},"id":"x"}"#, "a", 0),
    ] {
        assert_eq!(opaque_of(&format!("{line}\n{END}")), (text.to_owned(), opaque, None), "{line}");
    }
}

#[test]
fn an_emoji_in_two_lines_is_whole() {
    let (whole, error) = whole(
        r#"{"message":{"content":"\ud83d"}}
{"message":{"content":"\ude00 and \ud83d"},"done":true}
"#,
    );
    assert_eq!((whole.text().as_str(), error), ("😀 and \u{fffd}", None));
}

#[test]
fn an_answer_in_one_body_is_an_answer_however_it_is_laid_out() {
    let body: Value = serde_json::from_str(
        r#"{"model":"m","message":{"role":"assistant","content":"a\nb"},"done":true,"prompt_eval_count":"5","eval_count":2.9,"load_duration":1e9}"#,
    )
    .unwrap();
    for body in [body.to_string(), format!("{body}\r\n"), serde_json::to_string_pretty(&body).unwrap()] {
        let (frames, error) = run(body.as_bytes(), &[7], Raw::AsTheyAre);
        assert_eq!((frames.len(), error), (1, None), "{body}");
        assert_eq!(bytes_of(&frames).lines().count(), 1, "it is one line for a client that reads lines");
        let Some(Event::Finished(finish)) = frames[0].events.last() else { panic!("{frames:?}") };
        let usage = (finish.usage.input_tokens, finish.usage.output_tokens);
        assert_eq!((usage, finish.load_ms), ((5, 2), Some(1000)));
        assert_eq!(frames[0].events[1], Event::Text("a\nb".to_owned()));
    }
}

#[test]
fn nothing_is_read_after_the_end() {
    let (frames, error) = run(format!("{TEXT}{ERROR}").as_bytes(), &[], Raw::Withheld);
    assert_eq!(error, None);
    assert!(matches!(frames.last().unwrap().events.last(), Some(Event::Finished(_))));
}

#[test]
fn an_end_without_done_is_a_cut_wherever_it_comes() {
    for text in [TEXT, TOOLS, REAL_GENERATE] {
        for end in 0..text.trim_end().len() {
            let (frames, error) = run(&text.as_bytes()[..end], &[], Raw::Withheld);
            assert!(matches!(error, Some(Error::Cut { .. })), "cut at {end}: {error:?}");
            assert!(!frames.iter().flat_map(|frame| &frame.events).any(|event| matches!(event, Event::Finished(_))));
        }
        assert_eq!(whole(text.trim_end()).1, None, "the last line needs no line end");
    }
}

/// Any JSON value that is no text of its own.
fn json_value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("JSON has none", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
        Just("NaN".to_owned()),
        Just(r#""\ud83d""#.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(inner, 0..4).prop_map(|items| {
                let members = items.iter().enumerate().map(|(at, item)| format!("\"m{at}\":{item}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_of_a_side_field_touches_text_and_calls(value in json_value(), field in 0..16_usize) {
        const FIELDS: [&str; 8] = ["model", "created_at", "done_reason", "load_duration", "prompt_eval_count", "eval_count", "logprobs", "context"];
        const OF_THE_MESSAGE: [&str; 4] = ["role", "images", "tool_name", "annotations"];
        const OF_THE_CALL: [&str; 4] = ["id", "index", "type", "extra"];
        let side = |at: usize| match FIELDS.get(at) { Some(name) => format!(",\"{name}\":{value}"), None => String::new() };
        let in_message = field.checked_sub(8).and_then(|at| OF_THE_MESSAGE.get(at));
        let in_message = in_message.map(|name| format!(",\"{name}\":{value}")).unwrap_or_default();
        let in_call = field.checked_sub(12).and_then(|at| OF_THE_CALL.get(at));
        let in_call = in_call.map(|name| format!(",\"{name}\":{value}")).unwrap_or_default();
        let side = side(field);
        let body = format!(
            "{{\"message\":{{\"content\":\"said\",\"tool_calls\":[{{\"function\":{{\"name\":\"look\",\"arguments\":{{\"a\":1}}{in_call}}}{in_call}}}]{in_message}}}{side}}}\n{{\"done\":true{side}}}\n"
        );
        let (whole, error) = whole(&body);
        prop_assert_eq!(error, None);
        prop_assert_eq!(whole.text(), "said");
        let calls: Vec<_> = whole.blocks.iter().filter_map(|block| match block {
            crate::answer::Block::ToolCall { name, arguments, .. } => Some((name.as_str(), arguments.as_str())),
            _ => None,
        }).collect();
        prop_assert_eq!(calls, [("look", r#"{"a":1}"#)]);
        prop_assert!(whole.finish.is_some());
    }

    #[test]
    fn where_the_network_cuts_makes_no_difference(cuts in proptest::collection::vec(0..2000_usize, 0..40)) {
        for text in [TEXT, ERROR, REAL_TOOLS] {
            let uncut = run(text.as_bytes(), &[], Raw::WithoutLogprobs);
            prop_assert_eq!(run(text.as_bytes(), &cuts, Raw::WithoutLogprobs), uncut);
        }
    }

    #[test]
    fn no_body_makes_it_panic(body in proptest::collection::vec(any::<u8>(), 0..300), cut in 0..300_usize) {
        run(&body, &[cut], Raw::WithoutLogprobs);
        let text = REAL_TOOLS.as_bytes();
        let mut mixed = text[..text.len().min(cut * 20)].to_vec();
        mixed.extend_from_slice(&body);
        run(&mixed, &[cut], Raw::AsTheyAre);
    }
}
