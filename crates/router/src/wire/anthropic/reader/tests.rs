use super::*;
use crate::answer::{Block, Usage, Whole};
use futures_util::{FutureExt, StreamExt, stream};
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

fn run_in(text: &[u8], cuts: &[usize], manner: Manner) -> (Vec<Frame>, Option<Error>) {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([0, text.len()]).collect();
    cuts.sort_unstable();
    let pieces: Vec<_> = cuts.windows(2).map(|cut| Ok(Bytes::copy_from_slice(&text[cut[0]..cut[1]]))).collect();
    let mut decoded = decode("anthropic", "m", Box::pin(stream::iter(pieces)), manner);
    let mut frames = Vec::new();
    while let Some(frame) = decoded.next().now_or_never().expect("nothing to wait for") {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => {
                assert_eq!(decoded.next().now_or_never(), Some(None), "nothing follows an error");
                return (frames, Some(error));
            }
        }
    }
    (frames, None)
}

fn run(text: &str, cuts: &[usize]) -> (Vec<Frame>, Option<Error>) {
    run_in(text.as_bytes(), cuts, Manner { raw: true, held_back: String::new() })
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
    assert_eq!(finish.reason, FinishReason::Length, "a new event is no wrong one");
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

#[test]
fn without_its_end_it_is_a_cut_wherever_it_ends() {
    for text in WHOLE {
        let ended = text.rfind('}').unwrap() + 1;
        for end in 0..text.len() {
            let (frames, error) = run_in(&text.as_bytes()[..end], &[], Manner { raw: true, held_back: String::new() });
            assert_eq!(gathered(&frames).finish.is_some(), end >= ended, "ends at {end}");
            assert_eq!(matches!(error, Some(Error::Cut { .. })), end < ended, "ends at {end}: {error:?}");
            if end >= ended {
                assert!(raw(&frames).ends_with(b"}\n\n"), "the caller gets the missing line end");
            }
        }
    }
}

#[test]
fn nothing_is_waited_for_after_the_end() {
    let open = stream::iter([Ok(Bytes::from_static(TEXT.as_bytes()))]).chain(stream::pending());
    let decoded = decode("anthropic", "m", Box::pin(open), Manner::default());
    let frames: Vec<_> = decoded.collect().now_or_never().expect("it has ended");
    assert!(matches!(frames.last().unwrap().as_ref().unwrap().events[..], [Event::Finished(_)]));
}

#[test]
fn an_event_that_cannot_be_read_is_left_out_while_the_rest_is_sound() {
    let garbage = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"ind\n\n";
    let at = TEXT.find("event: content_block_delta").unwrap();
    let with = |count: usize| format!("{}{}{}", &TEXT[..at], garbage.repeat(count), &TEXT[at..]);
    let (frames, error) = run(&with(2), &[]);
    assert_eq!((raw(&frames), error), (TEXT.as_bytes().to_vec(), None));
    let whole = gathered(&frames);
    assert_eq!(whole.text(), "Grüße, 🌍!");
    let (_, error) = run(&with(17), &[]);
    assert!(matches!(&error, Some(Error::Malformed { message, .. }) if message.contains("16 events")), "{error:?}");
    let broken = [TEXT.as_bytes(), b""].concat();
    let broken: Vec<u8> = [&broken[..at], b"data: \xff\n\n", &broken[at..]].concat();
    let (frames, error) = run_in(&broken, &[], Manner::default());
    assert_eq!((gathered(&frames).text().as_str(), error), ("Grüße, 🌍!", None));
}

#[test]
fn bytes_do_not_pass_once_a_block_lacks_its_beginning() {
    let broken = TEXT.replace(r#""content_block":{"#, r#""content_block":"#);
    let (frames, _) = run(&broken, &[]);
    let start = TEXT.find("event: content_block_start").unwrap();
    assert_eq!(raw(&frames), &TEXT.as_bytes()[..start]);
    assert_eq!(gathered(&frames).text(), "Grüße, 🌍!");
}

#[test]
fn white_space_the_caller_has_already_does_not_come_twice() {
    let said = |begin: &str, held_back: &str| {
        let text = TEXT.replace("Grüße", begin);
        let (frames, _) = run_in(text.as_bytes(), &[], Manner { raw: true, held_back: held_back.into() });
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
    let mut gathered = Whole::default();
    whole("p", "m", body.to_string().as_bytes()).unwrap().iter().for_each(|event| gathered.add(event));
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
    assert!(matches!(whole("p", "m", b"{}"), Err(Error::Cut { .. })));
    assert!(matches!(whole("p", "m", b"<html>"), Err(Error::Malformed { .. })));
    let error = br#"{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}"#;
    assert!(matches!(whole("p", "m", error), Err(Error::RateLimited { .. })));
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
        run_in(&broken, &[], Manner { raw: true, held_back: " ".into() });
        let _ = whole("p", "m", &bytes);
    }
}
