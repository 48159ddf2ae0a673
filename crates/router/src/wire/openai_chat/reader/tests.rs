use super::*;
use crate::{
    answer::Block,
    wire::{
        openai::provider::testing::{Got, collect, origin, split},
        stream::decode,
    },
};
use futures_util::{StreamExt, stream};
use proptest::prelude::*;

const TEXT: &str = include_str!("../golden/text.sse");
const TOOLS: &str = include_str!("../golden/tools.sse");
const ERROR: &str = include_str!("../golden/error.sse");
const COMPLETION: &str = include_str!("../golden/completion.sse");
const DONE: &str = "data: [DONE]\n\n";

const PASSING: Bytesway = Bytesway { raw: true, wants_usage: true, choices: 1 };

fn run_as(bytesway: Bytesway, bytes: &[u8], cuts: &[usize]) -> Got {
    collect(decode(origin(), ChatReader::new(origin(), bytesway), split(bytes, cuts)))
}

fn run(text: &str) -> Got {
    run_as(PASSING, text.as_bytes(), &[])
}

fn body(text: &str) -> Result<Frame, Error> {
    ChatReader::new(origin(), PASSING).body(&Bytes::copy_from_slice(text.as_bytes()))
}

fn chunk(delta: &str, finish: &str) -> String {
    format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n")
}

/// `text` without comments and the last word.
fn without_asides(text: &str) -> String {
    let parts = text.split_inclusive("\n\n").filter(|part| !part.starts_with(':') && *part != DONE && *part != "\n");
    parts.map(str::to_owned).collect()
}

#[test]
fn text_passes_byte_for_byte_and_is_understood() {
    let got = run(TEXT);
    assert!(got.is_whole(), "{got:?}");
    assert_eq!(got.raw(), without_asides(TEXT));
    let whole = got.whole();
    assert_eq!(
        (whole.text().as_str(), whole.id.as_deref(), whole.model.as_deref()),
        ("Grüße, 🌍!", Some("chatcmpl-1"), Some("gpt"))
    );
    let finish = got.finish();
    assert_eq!((finish.reason, finish.usage.input_tokens, finish.usage.output_tokens), (FinishReason::Stop, 19, 10));
    assert_eq!(got.frames.iter().filter(|frame| **frame == Frame::default()).count(), 2, "comments show life");
    assert_eq!(got.frames.last().unwrap().raw, None);
}

#[test]
fn usage_nobody_asked_for_stays_here_but_is_counted() {
    let got = run_as(Bytesway { wants_usage: false, ..PASSING }, TEXT.as_bytes(), &[]);
    assert!(!got.raw().contains("\"choices\":[]") && got.raw().contains("\"finish_reason\":\"stop\""));
    assert_eq!(got.finish().usage.input_tokens, 19);
    let none = run_as(Bytesway { raw: false, ..PASSING }, TEXT.as_bytes(), &[]);
    assert_eq!((none.raw().as_str(), none.events()), ("", got.events()));
}

#[test]
fn counts_of_every_kind_are_read() {
    let usage = r#"{"prompt_tokens":9,"completion_tokens":8,"prompt_tokens_details":{"cached_tokens":7},"completion_tokens_details":{"reasoning_tokens":6}}"#;
    let text = format!("{}data: {{\"choices\":[],\"usage\":{usage}}}\n\n", chunk("{}", "\"stop\""));
    let expected = Usage {
        input_tokens: 9,
        cached_input_tokens: 7,
        cache_write_tokens: 0,
        cache_write_1h_tokens: 0,
        output_tokens: 8,
        reasoning_tokens: 6,
    };
    assert_eq!(run(&text).finish().usage, expected);
    let silent = run(&chunk("{}", "\"stop\""));
    assert_eq!(silent.finish().usage, Usage::default());
}

#[test]
fn every_line_end_of_the_standard_is_one() {
    let expected = run(TEXT).events();
    for text in [TEXT.replace('\n', "\r\n"), TEXT.replace('\n', "\r"), TEXT.replace("\n\ndata", "\n\n\n\ndata")] {
        assert_eq!(run(&text).events(), expected);
    }
    let several_lines = TEXT.replace(r#"data: {"id""#, "data: {\ndata: \"id\"");
    assert_ne!(several_lines, TEXT);
    let got = run(&several_lines);
    assert_eq!((got.events(), got.raw()), (expected, without_asides(&several_lines)));
}

#[test]
fn tool_calls_come_as_they_grow() {
    let got = run(TOOLS);
    let block = |index, id: &str, name: &str, arguments: &str| Block::ToolCall {
        index,
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let expected =
        [block(0, "call_a", "shell", r#"{"command":"ls -l"}"#), block(1, "call_b", "read", r#"{"path":"a.py"}"#)];
    assert_eq!((got.whole().blocks.as_slice(), got.finish().reason), (&expected[..], FinishReason::ToolCalls));
    assert_eq!(got.raw(), without_asides(TOOLS));
    let length = run(&TOOLS.replace(r#""finish_reason":"tool_calls""#, r#""finish_reason":"length""#));
    assert_eq!(length.finish().reason, FinishReason::Length);
    // Some servers say `stop` all the same.
    let stop = run(&TOOLS.replace(r#""finish_reason":"tool_calls""#, r#""finish_reason":"stop""#));
    assert_eq!(stop.finish().reason, FinishReason::ToolCalls);
}

#[test]
fn thoughts_and_refusals_in_every_spelling() {
    for delta in [
        r#"{"reasoning_content":"Hm","content":"Yes"}"#,
        r#"{"reasoning":"Hm","content":"Yes"}"#,
        r#"{"reasoning":"Hm","reasoning_content":"Hm","refusal":"Yes"}"#,
        r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]},{"type":"text","text":"Yes"}]}"#,
    ] {
        let got = run(&chunk(delta, "\"stop\""));
        let thinking = Block::Thinking { text: "Hm".to_owned(), signature: None };
        assert_eq!(got.whole().blocks, [thinking, Block::Text("Yes".to_owned())], "{delta}");
    }
}

#[test]
fn completions_of_the_old_kind_are_understood() {
    let got = run(COMPLETION);
    assert_eq!((got.whole().text().as_str(), got.finish().reason), ("Once upon", FinishReason::Length));
    assert_eq!(got.raw(), without_asides(COMPLETION));
    let frame =
        body(r#"{"object":"text_completion","choices":[{"index":0,"text":"Once","finish_reason":"stop"}]}"#).unwrap();
    assert!(frame.events.contains(&Event::Text("Once".to_owned())));
}

#[test]
fn an_error_in_the_stream_is_an_error_and_hides_the_key() {
    let got = run(ERROR);
    assert_eq!(got.whole().text(), "It begins");
    assert!(matches!(&got.error, Some(Error::Failed { message, .. }) if message.contains("overloaded")), "{got:?}");
    assert!(!got.error.unwrap().to_string().contains("sk-1"));
    let named = run("event: error\ndata: {\"message\":\"This model's maximum context length is 9\"}\n\n");
    assert!(matches!(named.error, Some(Error::ContextLengthExceeded { .. })));
    let vllm = run("data: {\"object\":\"error\",\"message\":\"boom\",\"code\":500}\n\n");
    assert!(matches!(&vllm.error, Some(Error::Failed { message, .. }) if message == "boom"), "{vllm:?}");
    let reason = run(&chunk("{}", "\"error\""));
    assert!(matches!(reason.error, Some(Error::Failed { .. })));
}

#[test]
fn nothing_fails_an_answer_that_is_whole() {
    let finished = chunk(r#"{"content":"x"}"#, "\"stop\"");
    for after in
        ["data: {\"error\":{\"message\":\"late\"}}\n\n", "data: nonsense\n\n", "event: error\ndata: {}\n\n", ": \n\n"]
    {
        let got = run(&format!("{finished}{after}"));
        assert!(got.is_whole() && got.raw() == finished, "{after}: {got:?}");
    }
    let broken = split(finished.as_bytes(), &[])
        .chain(stream::iter([Err(Error::Cut { provider: "openai".to_owned(), message: "reset".to_owned() })]));
    assert!(collect(decode(origin(), ChatReader::new(origin(), PASSING), broken)).is_whole());
}

#[test]
fn without_a_finish_reason_it_is_a_cut_wherever_it_ends() {
    let finish = TEXT.find(r#""finish_reason":"stop""#).unwrap();
    // The blank line may be missing; the JSON may not.
    let finished = finish + TEXT[finish..].find("\n\n").unwrap();
    for end in 0..TEXT.len() {
        let got = run_as(PASSING, &TEXT.as_bytes()[..end], &[]);
        assert_eq!(got.is_whole(), end >= finished, "ends at {end}: {got:?}");
        assert_eq!(matches!(got.error, Some(Error::Cut { .. })), end < finished, "ends at {end}: {got:?}");
    }
    let done = run(&format!("{}{DONE}", chunk(r#"{"content":"x"}"#, "null")));
    assert!(matches!(&done.error, Some(Error::Cut { message, .. }) if message.contains("[DONE]")), "{done:?}");
}

#[test]
fn a_frame_that_cannot_be_read_passes_on_or_fails_the_answer() {
    let (first, last) = (chunk(r#"{"content":"a"}"#, "null"), chunk(r#"{"content":"b"}"#, "\"stop\""));
    for bad in [
        &b"data: {\"choices\":[{\"delta\":\n\n"[..],
        b"data: {\"choices\":7}\n\n",
        b"data: {\"choices\":[{\"index\":0,\"delta\":7}]}\n\n",
        b"data: {\"choices\":[7]}\n\n",
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":7}}]}\n\n",
        b"data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":\"x\"}}]}\n\n",
        b"data: {\"id\":\"\xff\"}\n\n",
    ] {
        let text = [first.as_bytes(), bad, last.as_bytes()].concat();
        let got = run_as(PASSING, &text, &[]);
        let whole = got.whole();
        let passed: Vec<u8> = got.frames.iter().filter_map(|frame| frame.raw.as_deref()).flatten().copied().collect();
        assert_eq!((whole.text().as_str(), whole.opaque, passed), ("ab", true, text.clone()), "{got:?}");
        let read = run_as(Bytesway { raw: false, ..PASSING }, &text, &[]);
        assert!(matches!(read.error, Some(Error::Malformed { .. })), "{read:?}");
    }
}

#[test]
fn events_without_blank_lines_between_them_are_read_one_by_one() {
    let lines = |text: &str| text.replace("\n\n", "\n");
    let (first, last) = (chunk(r#"{"content":"a"}"#, "null"), chunk(r#"{"content":"b"}"#, "\"stop\""));
    let got = run(&format!("{}{}{DONE}", lines(&first), lines(&last)));
    assert_eq!((got.whole().text(), got.raw()), ("ab".to_owned(), format!("{first}{last}")));
    assert!(got.is_whole());
}

/// A chunk with an odd value at one place; `@` is where.
const PLACES: [&str; 17] = [
    r#"{"id":@,"choices":[{"index":0,"delta":{"content":"one "}}]}"#,
    r#"{"object":@,"model":"m","choices":[{"index":0,"delta":{"content":"one "}}]}"#,
    r#"{"model":@,"choices":[{"index":0,"delta":{"content":"one "}}]}"#,
    r#"{"created":@,"choices":[{"index":0,"delta":{"content":"one "}}]}"#,
    r#"{"usage":@,"choices":[{"index":0,"delta":{"content":"one "}}]}"#,
    r#"{"usage":{"prompt_tokens":@,"prompt_tokens_details":@},"choices":[{"index":0,"delta":{"content":"one "}}]}"#,
    r#"{"system_fingerprint":@,"service_tier":@,"choices":[{"index":0,"delta":{"content":"one "}}]}"#,
    r#"{"choices":[{"index":0,"logprobs":@,"delta":{"content":"one "}}]}"#,
    r#"{"choices":[{"index":0,"text":@,"message":@,"delta":{"content":"one "}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"role":@,"content":"one "}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"one ","name":@,"obfuscation":@}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"one ","images":@,"audio":@,"annotations":@}}]}"#,
    r#"{"choices":[{"index":0,"stop_reason":@,"delta":{"content":"one "}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"one ","tool_calls":[{"index":0,"id":"x","type":"function","extra_content":@,"function":{"name":"f","arguments":"{}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"one ","tool_calls":[{"index":0,"id":@,"function":{"name":"f","arguments":"{}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"one ","tool_calls":[{"index":0,"type":@,"function":{"name":"f","arguments":"{}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"one ","tool_calls":[{"index":@,"id":"x","function":{"name":"f","arguments":"{}"}}]}}]}"#,
];

fn with_odd_value(place: &str, value: &str) {
    let text = format!("data: {}\n\n{}", place.replace('@', value), chunk(r#"{"content":"two"}"#, "\"stop\""));
    for raw in [true, false] {
        let got = run_as(Bytesway { raw, ..PASSING }, text.as_bytes(), &[]);
        let whole = got.whole();
        assert_eq!((whole.text().as_str(), got.error.as_ref()), ("one two", None), "{value} in {place}");
        let calls: Vec<_> = whole.blocks.iter().filter(|block| matches!(block, Block::ToolCall { .. })).collect();
        assert_eq!(calls.len(), usize::from(place.contains("tool_calls")), "{value} in {place}");
        for call in calls {
            let Block::ToolCall { id, name, arguments, .. } = call else { unreachable!() };
            assert!(!id.is_empty() && name == "f" && arguments == "{}", "{value} in {place}: {call:?}");
        }
        // Where an index should be and none can be read, one is written.
        let is_written = place.contains(r#"[{"index":@"#);
        assert!(!raw || is_written || got.raw() == text, "{value} in {place}");
    }
}

#[test]
fn an_odd_value_beside_the_text_costs_no_text() {
    for value in [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e999",
        "NaN",
        "-Infinity",
        r#""""#,
        r#""x""#,
        r#""\ud83d""#,
        "[]",
        "{}",
        "[[]]",
        r#"{"a":{}}"#,
        r#"[{"a":1}]"#,
    ] {
        for place in PLACES {
            with_odd_value(place, value);
        }
    }
    for odd in [
        r#"{"choices":[{"index":null,"delta":{"content":"one ","refusal":false,"tool_calls":{},"function_call":""}}]}"#,
        r#"{"choices":[{"delta":{"content":"one ","refusal":[],"tool_calls":[],"function_call":{}}}]}"#,
        r#"{"choices":[{"index":"0","finish_reason":0,"delta":{"content":"one ","reasoning":{},"reasoning_details":7}}]}"#,
        r#"{"choices":[{"index":0,"finish_reason":"","delta":{"content":["one"," "]}}]}"#,
    ] {
        for end in [r#""stop""#, "1", r#""STOP""#, "true"] {
            let got = run(&format!("data: {odd}\n\n{}", chunk(r#"{"content":"two"}"#, end)));
            assert_eq!(got.whole().text(), "one two", "{odd}");
            assert!(got.is_whole() && got.whole().blocks.len() == 1, "{odd} {end}: {got:?}");
        }
    }
}

#[test]
fn a_last_chunk_that_repeats_the_message_adds_nothing() {
    let whole = r#"data: {"object":"chat.completion","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","reasoning":"Hm","content":"one two","tool_calls":[{"id":"x","function":{"name":"f","arguments":"{}"}}]}}]}"#;
    let deltas = chunk(r#"{"reasoning":"Hm","content":"one "}"#, "null")
        + &chunk(r#"{"content":"two"}"#, "null")
        + &chunk(r#"{"tool_calls":[{"index":0,"id":"x","function":{"name":"f","arguments":"{}"}}]}"#, "null");
    let got = run(&format!("{deltas}{whole}\n\n"));
    assert_eq!((got.whole().text().as_str(), got.whole().blocks.len()), ("one two", 3));
    // A stream of that chunk alone is an answer all the same.
    let alone = run(&format!("{whole}\n\n"));
    assert_eq!((alone.whole().blocks, alone.finish().reason), (got.whole().blocks, FinishReason::ToolCalls));
}

#[test]
fn what_there_are_no_words_for_passes_on() {
    for delta in [
        r#"{"images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}"#,
        r#"{"audio":{"id":"a","data":"AAAA"}}"#,
        r#"{"annotations":[{"type":"url_citation"}]}"#,
        r#"{"content":[{"type":"image_url","image_url":{"url":"data:,"}}]}"#,
        r#"{"content":[{"type":"hologram","text":"x"}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"a","type":"custom","custom":{"name":"x","input":""}}]}"#,
        r#"{"tool_calls":[{"index":0,"custom":{"input":"y"}}]}"#,
        r#"{"tool_calls":[{"index":0,"id":"a","type":"web_search"}]}"#,
    ] {
        let text = format!("{}{}", chunk(delta, "null"), chunk("{}", "\"stop\""));
        let got = run(&text);
        assert!(got.whole().opaque && got.is_whole() && got.whole().blocks.is_empty(), "{delta}: {got:?}");
        assert_eq!(got.raw(), text);
    }
}

#[test]
fn no_call_leaves_without_a_name() {
    let nameless = chunk(r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{}"}}]}"#, "\"tool_calls\"");
    let got = run(&nameless);
    assert!(got.whole().opaque && got.whole().blocks.is_empty() && got.raw() == nameless, "{got:?}");
    let read = run_as(Bytesway { raw: false, ..PASSING }, nameless.as_bytes(), &[]);
    assert!(matches!(read.error, Some(Error::Malformed { .. })), "{read:?}");
}

#[test]
fn a_call_without_arguments_gets_an_object_under_its_own_index() {
    let begun = |index: &str, name: &str| {
        chunk(
            &format!(r#"{{"tool_calls":[{{{index}"id":"{name}","function":{{"name":"{name}","arguments":""}}}}]}}"#),
            "null",
        )
    };
    let end = chunk("{}", "\"tool_calls\"");
    let object = |index: u8| {
        chunk(&format!(r#"{{"tool_calls":[{{"index":{index},"function":{{"arguments":"{{}}"}}}}]}}"#), "null")
    };
    for (text, passed) in [
        (begun("\"index\":3,", "f") + &end, begun("\"index\":3,", "f") + &object(3) + &end),
        (
            begun("\"index\":1,", "f") + &begun("\"index\":2,", "g") + &end,
            begun("\"index\":1,", "f") + &begun("\"index\":2,", "g") + &object(1) + &object(2) + &end,
        ),
        // Behind its beginning, where that comes with the end.
        (
            begun("\"index\":3,", "f").replace("null}]", "\"stop\"}]"),
            begun("\"index\":3,", "f").replace("null}]", "\"stop\"}]") + &object(3),
        ),
        (begun("", "f") + &end, begun("\"index\":0,", "f") + &object(0) + &end),
        // Whose it would be cannot be said.
        (
            begun("\"index\":0,", "f") + &begun("\"index\":0,", "g") + &end,
            begun("\"index\":0,", "f") + &begun("\"index\":0,", "g") + &end,
        ),
    ] {
        let got = run(&text);
        assert_eq!(got.raw(), passed);
        for block in got.whole().blocks {
            assert!(matches!(&block, Block::ToolCall { arguments, .. } if arguments == "{}"), "{block:?}");
        }
    }
}

#[test]
fn pieces_of_calls_without_an_index_get_the_one_of_their_call() {
    let piece = |index: &str, rest: &str| format!("{{{index}{rest}}}");
    let begun = |index: &str, id: &str| {
        piece(index, &format!(r#""id":"{id}","type":"function","function":{{"name":"{id}","arguments":""}}"#))
    };
    let more = |index: &str, text: &str| piece(index, &format!(r#""function":{{"arguments":"{text}"}}"#));
    let told = |pieces: &[String]| chunk(&format!(r#"{{"tool_calls":[{}]}}"#, pieces.join(",")), "null");
    let end = chunk("{}", "\"tool_calls\"");
    for none in ["", r#""index":null,"#, r#""index" : null , "#] {
        // Where there is no such member it is written first, else in its place.
        let at = |index: u8| match none {
            "" => format!("\"index\":{index},"),
            none => none.replace("null", &index.to_string()),
        };
        for (what, text, passed) in [
            (
                "one call in fragments that are alike",
                told(&[begun(none, "a")]) + &told(&[more(none, "{")]) + &told(&[more(none, " "), more(none, " ")]),
                told(&[begun(&at(0), "a")])
                    + &told(&[more(&at(0), "{")])
                    + &told(&[more(&at(0), " "), more(&at(0), " ")]),
            ),
            (
                "two calls, one after the other",
                told(&[begun(none, "a")])
                    + &told(&[more(none, "{}")])
                    + &told(&[begun(none, "b")])
                    + &told(&[more(none, "{}")]),
                told(&[begun(&at(0), "a")])
                    + &told(&[more(&at(0), "{}")])
                    + &told(&[begun(&at(1), "b")])
                    + &told(&[more(&at(1), "{}")]),
            ),
            (
                "two calls at once",
                told(&[begun(none, "a"), begun(none, "b")]) + &told(&[more(none, "{}")]),
                told(&[begun(&at(0), "a"), begun(&at(1), "b")]) + &told(&[more(&at(1), "{}")]),
            ),
            (
                "fragments of a call that began with one",
                told(&[begun("\"index\":4,", "a")]) + &told(&[more(none, "{}")]) + &told(&[begun(none, "b")]),
                told(&[begun("\"index\":4,", "a")]) + &told(&[more(&at(4), "{}")]) + &told(&[begun(&at(5), "b")]),
            ),
            (
                "nothing of a call, before any began",
                told(&[more(none, "")]) + &told(&[begun(none, "a")]),
                told(&[more(none, "")]) + &told(&[begun(&at(0), "a")]),
            ),
        ] {
            let got = run(&(text + &end));
            let raw = got.raw();
            assert!(raw.starts_with(&passed), "{what}:\n{raw}\n{passed}");
            assert!(!raw[passed.len()..].contains("null,\"function"), "{what}: {raw}");
        }
    }
    let whole = chunk(r#"{"content":"a"}"#, "null")
        + "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"tool_calls\",\"message\":{\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\n";
    assert_eq!(run(&whole).raw(), whole, "calls of a whole message have no index");
}

#[test]
fn an_emoji_cut_over_two_frames_is_whole() {
    let text =
        chunk(r#"{"content":"a \ud83d"}"#, "null") + &chunk(r#"{"content":"\ude00","logprobs":"\ud83d"}"#, "\"stop\"");
    assert_eq!(run(&text).whole().text(), "a 😀");
    let half = chunk(r#"{"content":"a \ud83d"}"#, "\"stop\"");
    assert_eq!(run_as(Bytesway { raw: false, ..PASSING }, half.as_bytes(), &[]).whole().text(), "a \u{fffd}");
}

#[test]
fn of_several_answers_the_first_is_understood_and_all_pass() {
    let other = "data: {\"choices\":[{\"index\":1,\"delta\":{\"content\":\"B\"},\"finish_reason\":\"stop\"}]}\n\n";
    let text = format!("{}{other}", chunk(r#"{"content":"A"}"#, "\"stop\""));
    let two = Bytesway { choices: 2, ..PASSING };
    let got = run_as(two, format!("{text}{DONE}").as_bytes(), &[]);
    assert_eq!((got.whole().text().as_str(), got.raw()), ("A", text));
    let begun = other.replace("\"stop\"", "null");
    let cut = run_as(two, format!("{}{begun}", chunk(r#"{"content":"A"}"#, "\"stop\"")).as_bytes(), &[]);
    assert!(matches!(cut.error, Some(Error::Cut { .. })), "the second answer was cut: {cut:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_hangs_up_does_not_hold_the_answer_back() {
    let finished = chunk(r#"{"content":"x"}"#, "\"stop\"");
    let counted = format!("{finished}data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":1}}}}\n\n");
    let done = format!("{finished}{DONE}");
    for (text, wait) in [(&finished, TRAILER_WAIT), (&counted, END_WAIT), (&done, END_WAIT)] {
        let start = tokio::time::Instant::now();
        let open = split(text.as_bytes(), &[]).chain(stream::pending());
        let frames: Vec<_> = decode(origin(), ChatReader::new(origin(), PASSING), open).collect().await;
        assert!(matches!(frames.last(), Some(Ok(frame)) if matches!(frame.events.last(), Some(Event::Finished(_)))));
        // The timer's grain is a millisecond.
        assert!(start.elapsed() >= wait && start.elapsed() < wait + Duration::from_millis(5), "{text}");
    }
    let chatter = split(finished.as_bytes(), &[]).chain(stream::repeat(()).then(|()| async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(Bytes::from_static(b": still here\n\n"))
    }));
    let frames: Vec<_> = decode(origin(), ChatReader::new(origin(), PASSING), chatter).collect().await;
    assert!(frames.last().is_some_and(Result::is_ok));
}

#[test]
fn an_answer_in_one_body() {
    let text = r#"{ "id":"c", "model":"gpt", "choices":[{"index":0,"message":{"role":"assistant","content":null,
        "reasoning_content":"Hm","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]},
        "finish_reason":"tool_calls"}], "usage":{"prompt_tokens":3,"completion_tokens":2}}"#;
    let frame = body(text).unwrap();
    assert_eq!(frame.raw.as_deref(), Some(text.as_bytes()));
    let mut whole = crate::answer::Whole::default();
    frame.events.iter().for_each(|event| whole.add(event));
    let finish = whole.finish.clone().unwrap();
    assert_eq!((finish.reason, finish.usage.input_tokens, whole.blocks.len()), (FinishReason::ToolCalls, 3, 2));
    assert_eq!(
        body(&text.replace("tool_calls\"}", "length\"}")).unwrap().events.last().map(|last| matches!(last,
        Event::Finished(finish) if finish.reason == FinishReason::Length)),
        Some(true)
    );
}

#[test]
fn a_body_that_is_no_answer_is_an_error() {
    assert!(
        matches!(body(r#"{"error":{"message":"no key sk-1"}}"#), Err(Error::Failed { message, .. }) if &*message == "no key [key]")
    );
    assert!(matches!(
        body(r#"{"choices":[{"message":{"content":"x"},"finish_reason":null}]}"#),
        Err(Error::Cut { .. })
    ));
    for text in ["", "null", "[]", "{}", r#"{"choices":[]}"#, "<html>", r#"{"choices":"#] {
        assert!(matches!(body(text), Err(Error::Malformed { .. })), "{text}");
    }
}

#[test]
fn arguments_without_a_name_do_not_pile_up() {
    let piece = "x".repeat(900 * 1024);
    let delta = format!("{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":\"{piece}\"}}}}]}}");
    let got = run(&chunk(&delta, "null").repeat(20));
    assert!(matches!(got.error, Some(Error::TooLarge { .. })));
    let calls: String =
        (0..5000).map(|n| chunk(&format!("{{\"tool_calls\":[{{\"index\":{n},\"id\":\"a{n}\"}}]}}"), "null")).collect();
    assert!(matches!(run(&calls).error, Some(Error::TooLarge { .. })));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec(("[a-z]{0,3}", inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn whatever_stands_beside_text_and_calls_leaves_them_as_they_are(value in any_json(), place in 0..PLACES.len()) {
        with_odd_value(PLACES[place], &value.to_string());
    }

    #[test]
    fn where_the_network_cuts_makes_no_difference(cuts in proptest::collection::vec(any::<usize>(), 0..40)) {
        for text in [TEXT.to_owned(), TOOLS.to_owned(), ERROR.to_owned(), COMPLETION.to_owned(), TEXT.replace('\n', "\r\n"), TEXT.replace('\n', "\r")] {
            prop_assert_eq!(run_as(PASSING, text.as_bytes(), &cuts), run(&text));
        }
    }

    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let got = run_as(PASSING, &bytes, &[]);
        prop_assert!(got.error.is_some() != got.is_whole());
        let _ = ChatReader::new(origin(), PASSING).body(&Bytes::from(bytes));
    }

    /// Close to what is sound, where most of the paths are.
    #[test]
    fn decoding_what_was_damaged_never_panics(at in any::<usize>(), with in any::<u8>(), which in 0..4_usize) {
        let mut bytes = [TEXT, TOOLS, ERROR, COMPLETION][which].as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] = with;
        let got = run_as(PASSING, &bytes, &[]);
        prop_assert!(got.error.is_some() != got.is_whole());
    }
}

#[test]
fn counts_are_read_wherever_servers_write_them() {
    let usage = r#""usage":{"prompt_tokens":1000,"completion_tokens":500}"#;
    let said = chunk(r#"{"content":"ok"}"#, "null");
    for (end, output) in [
        (format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"x_groq":{{"id":"r",{usage}}}}}"#), 500),
        (format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop",{usage}}}]}}"#), 500),
        (format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],{usage}}}"#), 500),
        (
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1500,"completion_tokens_details":{"reasoning_tokens":400}}}"#.to_owned(),
            500,
        ),
    ] {
        let got = run(&format!("{said}data: {end}\n\n{DONE}"));
        assert_eq!((got.finish().usage.input_tokens, got.finish().usage.output_tokens), (1000, output), "{end}");
    }
}

#[test]
fn every_reason_to_stop_is_an_end_a_filter_a_limit_or_a_failure() {
    for (reason, expected) in [
        ("stop", Some(FinishReason::Stop)),
        ("eos", Some(FinishReason::Stop)),
        ("length", Some(FinishReason::Length)),
        ("MAX_TOKENS", Some(FinishReason::Length)),
        ("time_limit", Some(FinishReason::Length)),
        ("content_filter: PROHIBITED_CONTENT", Some(FinishReason::ContentFilter)),
        ("BLOCKLIST", Some(FinishReason::ContentFilter)),
        ("SPII", Some(FinishReason::ContentFilter)),
        ("recitation", Some(FinishReason::ContentFilter)),
        ("abort", None),
        ("function_call_filter: MALFORMED_FUNCTION_CALL", None),
    ] {
        let got =
            run(&format!("{}{}{DONE}", chunk(r#"{"content":"half"}"#, "null"), chunk("{}", &format!("\"{reason}\""))));
        let finish = got.is_whole().then(|| got.finish().reason);
        assert_eq!(finish, expected, "{reason}");
    }
}
