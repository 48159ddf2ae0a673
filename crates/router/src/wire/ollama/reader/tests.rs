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
    let mut decoded = decode(Arc::new(endpoint.unwrap()), "m", split(body, cuts), raw);
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
fn unreadable_lines_are_left_out_and_counted_but_not_for_ever() {
    let (first, rest) = REAL_CHAT.split_once('\n').unwrap();
    let (whole_one, error) = whole(&format!("{first}\n<garbage>\n[]\n{rest}"));
    assert!(whole_one.finish.is_some() && error.is_none());
    let (_, error) = whole(&format!("{first}\n{}{rest}", "?\n".repeat(17)));
    assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
    let (_, error) = whole("<html>\n</html>\n");
    assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
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

proptest! {
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
