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
fn a_frame_that_cannot_be_read_is_left_out_while_the_rest_is_sound() {
    let (first, last) = (chunk(r#"{"content":"a"}"#, "null"), chunk(r#"{"content":"b"}"#, "\"stop\""));
    let bad =
        [&b"data: {\"choices\":[{\"delta\":\n\n"[..], b"data: {\"choices\":7}\n\n", b"data: {\"id\":\"\xff\"}\n\n"]
            .concat();
    let text = [first.as_bytes(), &bad, last.as_bytes()].concat();
    let got = run_as(PASSING, &text, &[]);
    assert_eq!((got.whole().text().as_str(), got.whole().opaque), ("ab", true));
    assert!(run(&("data: x\n\n".repeat(16) + &last)).is_whole());
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
        matches!(body(r#"{"error":{"message":"no key sk-1"}}"#), Err(Error::Failed { message, .. }) if message == "no key [key]")
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
    let calls: String = (0..5000).map(|n| chunk(&format!("{{\"tool_calls\":[{{\"index\":{n}}}]}}"), "null")).collect();
    assert!(matches!(run(&calls).error, Some(Error::TooLarge { .. })));
}

proptest! {
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
