use super::*;
use crate::testing::envelope;
use bytes::Bytes;
use proptest::prelude::*;
use protocol::FinishReason;

fn encoded(frames: Vec<Frame>) -> String {
    let mut out = BytesMut::new();
    let mut encoder = encoder(envelope());
    for frame in frames {
        encoder.frame(frame, &mut out);
    }
    String::from_utf8(out.to_vec()).unwrap()
}

fn events(events: Vec<Event>) -> String {
    encoded(events.into_iter().map(Frame::from).collect())
}

fn raw(text: &str, mark: Mark, events: Vec<Event>) -> Frame {
    let raw = Some(Bytes::copy_from_slice(text.as_bytes()));
    Frame { raw, events, mark: Some(answer::Mark::Anthropic(mark)) }
}

fn data(stream: &str) -> Vec<Value> {
    stream
        .split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["type"], name);
            data
        })
        .collect()
}

fn started() -> Event {
    Event::Started { id: Some("other".into()), model: None, usage: Usage::default() }
}

fn finished(reason: FinishReason) -> Event {
    let usage = Usage {
        input_tokens: 30,
        cached_input_tokens: 10,
        cache_write_tokens: 4,
        cache_write_1h_tokens: 0,
        output_tokens: 7,
        reasoning_tokens: 0,
    };
    Event::Finished(Finish::new(reason, usage))
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn call(index: usize) -> Event {
    Event::ToolCall { index, id: format!("toolu_{index}"), name: "read".into() }
}

fn arguments(index: usize, fragment: &str) -> Event {
    Event::ToolArguments { index, fragment: fragment.into() }
}

/// What a client has gathered in the end: the blocks in order. Fails on a stream that breaks the dialect's rules.
fn gathered(stream: &str) -> Vec<Value> {
    let events = data(stream);
    assert_eq!(events.first().map(|event| &event["type"]), Some(&json!("message_start")), "{stream}");
    let (mut blocks, mut open, mut answered, mut ended) = (Vec::<Value>::new(), false, false, false);
    for event in &events[1..] {
        assert!(!ended, "something after the end: {stream}");
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert!(!open && !answered, "{stream}");
                assert_eq!(event["index"], blocks.len(), "{stream}");
                blocks.push(event["content_block"].clone());
                open = true;
            }
            "content_block_delta" => {
                assert!(open, "{stream}");
                assert_eq!(event["index"], blocks.len() - 1, "{stream}");
                let (block, delta) = (blocks.last_mut().unwrap(), &event["delta"]);
                let (kind, field, from) = match delta["type"].as_str().unwrap() {
                    "text_delta" => ("text", "text", "text"),
                    "thinking_delta" => ("thinking", "thinking", "thinking"),
                    "signature_delta" => ("thinking", "signature", "signature"),
                    "input_json_delta" => ("tool_use", "input", "partial_json"),
                    other => panic!("{other}"),
                };
                assert_eq!(block["type"], kind, "{stream}");
                let before = block[field].as_str().unwrap_or("").to_owned();
                block[field] = Value::String(before + delta[from].as_str().unwrap());
            }
            "content_block_stop" => {
                assert!(open, "{stream}");
                assert_eq!(event["index"], blocks.len() - 1, "{stream}");
                open = false;
            }
            "message_delta" => {
                assert!(!open && !answered, "{stream}");
                answered = true;
            }
            "message_stop" => {
                assert!(answered, "{stream}");
                ended = true;
            }
            other => panic!("{other}"),
        }
    }
    assert!(ended, "no end: {stream}");
    blocks
}

#[test]
fn an_answer_of_another_vendor_is_a_stream_of_this_one() {
    let stream = events(vec![
        started(),
        Event::Thinking("hm".into()),
        Event::ThinkingSignature("c2ln+/=".into()),
        Event::RedactedThinking("b64".into()),
        text("Lo"),
        text("ok"),
        call(0),
        arguments(0, "{\"a\""),
        arguments(0, ":1}"),
        call(1),
        finished(FinishReason::ToolCalls),
    ]);
    assert_eq!(
        gathered(&stream),
        [
            json!({"type": "thinking", "thinking": "hm", "signature": "c2ln+/="}),
            json!({"type": "redacted_thinking", "data": "b64"}),
            json!({"type": "text", "text": "Look"}),
            json!({"type": "tool_use", "id": "toolu_0", "name": "read", "input": "{\"a\":1}"}),
            json!({"type": "tool_use", "id": "toolu_1", "name": "read", "input": {}}),
        ]
    );
    let events = data(&stream);
    assert_eq!(events[0]["message"]["usage"]["input_tokens"], 42, "estimated where nothing is known yet");
    let end = &events[events.len() - 2];
    assert_eq!(end["delta"], json!({"stop_reason": "tool_use", "stop_sequence": null}));
    assert_eq!(
        end["usage"],
        json!({"input_tokens": 16, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 10, "output_tokens": 7})
    );
}

#[test]
fn the_prompts_real_size_is_told_at_once_where_it_is_known() {
    let usage = Usage { input_tokens: 30, cached_input_tokens: 10, ..Usage::default() };
    let stream = events(vec![Event::Started { id: None, model: None, usage }]);
    let message = &data(&stream)[0]["message"];
    assert_eq!(
        (&message["usage"]["input_tokens"], &message["usage"]["cache_read_input_tokens"]),
        (&json!(20), &json!(10))
    );
    assert_eq!((&message["id"], &message["model"], &message["content"]), (&json!("msg_1"), &json!("fast"), &json!([])));
}

#[test]
fn calls_made_side_by_side_are_written_one_after_the_other() {
    let stream = events(vec![
        call(0),
        call(1),
        call(2),
        arguments(1, "{\"b\":"),
        arguments(0, "{\"a\":"),
        arguments(2, "{}"),
        arguments(0, "1}"),
        arguments(1, "2}"),
        finished(FinishReason::ToolCalls),
    ]);
    let inputs: Vec<_> = gathered(&stream).iter().map(|block| block["input"].clone()).collect();
    assert_eq!(inputs, ["{\"a\":1}", "{\"b\":2}", "{}"]);
}

#[test]
fn what_comes_inside_of_a_call_waits_until_the_call_is_whole() {
    let (text_block, whole) = (json!({"type": "text", "text": "mid"}), "{\"a\":\"1\"}");
    let call_block = |at: usize, input: &str| json!({"type": "tool_use", "id": format!("toolu_{at}"), "name": "read", "input": input});
    let thought = |signature: &str| json!({"type": "thinking", "thinking": "mid", "signature": signature});
    for (inside, after) in [
        (vec![text("m"), text("id")], vec![text_block.clone()]),
        (vec![Event::Thinking("mid".into())], vec![thought("")]),
        (vec![Event::Thinking("mid".into()), Event::ThinkingSignature("s".into())], vec![thought("s")]),
        (vec![Event::RedactedThinking("b64".into())], vec![json!({"type": "redacted_thinking", "data": "b64"})]),
        (
            vec![text("mid"), call(1), arguments(1, "{\"b\":"), Event::Thinking("mid".into()), arguments(1, "2}")],
            vec![text_block.clone(), call_block(1, "{\"b\":2}"), thought("")],
        ),
    ] {
        let around = [vec![call(0), arguments(0, "{\"a\":")], inside.clone(), vec![arguments(0, "\"1\"}")]].concat();
        let stream = events([around, vec![finished(FinishReason::ToolCalls)]].concat());
        assert_eq!(gathered(&stream), [vec![call_block(0, whole)], after].concat(), "{inside:?}");
    }
    let never_whole = events(vec![call(0), text("mid"), finished(FinishReason::Length)]);
    assert_eq!(gathered(&never_whole).last(), Some(&text_block), "nothing is dropped");
}

#[test]
fn every_reason_has_its_name() {
    let reason = |event| {
        let stream = events(vec![event]);
        data(&stream)[1]["delta"]["stop_reason"].clone()
    };
    assert_eq!(reason(finished(FinishReason::Stop)), "end_turn");
    assert_eq!(reason(finished(FinishReason::Length)), "max_tokens");
    assert_eq!(reason(finished(FinishReason::ContentFilter)), "refusal");
    let mut finish = Finish::new(FinishReason::Stop, Usage::default());
    finish.stop_sequence = Some("END".into());
    assert_eq!(reason(Event::Finished(finish)), "stop_sequence");
}

const START: &str =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_a\",  \"usage\":{}}}\n\n";
const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const HELLO: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";
const STOP: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
const DELTA: &str = "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{}}\n\n";
const END: &str = "event: message_stop\ndata: {\"type\":\"message_stop\" }\n\n";
const NEW: &str = "event: weather_report\ndata: {\"type\":\"weather_report\"}\n\n";

fn own() -> Vec<Frame> {
    vec![
        raw(START, Mark::MessageStart, vec![started()]),
        raw(BLOCK, Mark::BlockStart { index: Some(0), kind: BlockKind::Text }, vec![]),
        raw(HELLO, Mark::BlockDelta, vec![text("Hello")]),
        raw(NEW, Mark::Other, vec![Event::Opaque("an event".into())]),
        raw(STOP, Mark::BlockStop, vec![]),
        raw(DELTA, Mark::MessageDelta, vec![]),
        raw(END, Mark::MessageStop, vec![finished(FinishReason::Stop)]),
    ]
}

#[test]
fn the_vendors_own_bytes_pass_as_they_are() {
    assert_eq!(encoded(own()), [START, BLOCK, HELLO, NEW, STOP, DELTA, END].concat());
}

#[test]
fn what_is_odd_among_the_vendors_own_passes_as_it_is() {
    let odd = "data: {\"type\n\n";
    let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    let unreadable = || raw(odd, Mark::Unreadable, vec![Event::Opaque("a frame".into())]);
    let with = |at: usize, frame: Frame| {
        let mut frames = own();
        frames.insert(at, frame);
        frames
    };
    let all = [START, BLOCK, HELLO, NEW, STOP, DELTA, END];
    for at in 0..all.len() {
        let passed = |text: &str| [&all[..at], &[text], &all[at..]].concat().concat();
        assert_eq!(encoded(with(at, raw(ping, Mark::Other, vec![]))), passed(ping), "a ping at {at}");
        if at > 0 {
            assert_eq!(encoded(with(at, unreadable())), passed(odd), "an unreadable frame at {at}");
        }
    }
    let mut headless = own();
    headless[0] = unreadable();
    assert_eq!(encoded(headless), [&[odd], &all[1..]].concat().concat(), "in place of the beginning");
    let mut skipping = own();
    skipping.remove(4);
    assert_eq!(encoded(skipping), [&all[..4], &all[5..]].concat().concat(), "a block without its end");
}

#[test]
fn another_provider_goes_on_in_the_middle_wherever_the_first_one_was_cut() {
    for cut in 0..own().len() {
        for other in [own(), vec![text(" you").into(), finished(FinishReason::Stop).into()]] {
            let frames: Vec<_> = own().into_iter().take(cut).chain(other).collect();
            let stream = encoded(frames);
            let passed: String = [START, BLOCK, HELLO, STOP, DELTA].concat();
            let events = data(&stream.replace(NEW, ""));
            assert!(events.len() > 2, "{stream}");
            let blocks = gathered(&stream.replace(NEW, ""));
            assert!(blocks.len() <= 2, "{stream}");
            assert!(cut < 6 || stream.replace(NEW, "").starts_with(&passed), "{stream}");
        }
    }
    let mut frames: Vec<_> = own().into_iter().take(3).collect();
    frames.extend([text(" you").into(), finished(FinishReason::Stop).into()]);
    assert_eq!(gathered(&encoded(frames)), [json!({"type": "text", "text": "Hello you"})], "in the same block");
}

#[test]
fn bytes_of_another_dialect_are_not_passed() {
    let unmarked = |text: &str, events| Frame { mark: None, ..raw(text, Mark::Other, events) };
    let stream = encoded(vec![
        unmarked("data: {\"choices\":[]}\n\n", vec![]),
        unmarked("data: {\"choices\":[{}]}\n\n", vec![text("Hello")]),
        unmarked("data: [DONE]\n\n", vec![finished(FinishReason::Stop)]),
    ]);
    assert_eq!(gathered(&stream), [json!({"type": "text", "text": "Hello"})]);
}

#[test]
fn an_error_ends_the_stream_and_completes_nothing() {
    let mut out = BytesMut::new();
    let mut encoder = encoder(envelope());
    encoder.frame(call(0).into(), &mut out);
    encoder.heartbeat(&mut out);
    encoder.fail(&Error::Cut { provider: "p".into(), message: "gone".into() }, &mut out);
    encoder.fail(&Error::Cancelled, &mut out);
    encoder.heartbeat(&mut out);
    encoder.frame(finished(FinishReason::Stop).into(), &mut out);
    let events = data(std::str::from_utf8(&out).unwrap());
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["message_start", "content_block_start", "ping", "error"]);
    let error = events.last().unwrap();
    assert_eq!((&error["error"]["type"], &error["request_id"]), (&json!("api_error"), &json!("1")));
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(started()),
        "[a-z]{0,3}".prop_map(Event::Text),
        "[a-z]{0,3}".prop_map(Event::Thinking),
        "[a-z+/=]{0,3}".prop_map(Event::ThinkingSignature),
        "[a-z]{0,3}".prop_map(Event::RedactedThinking),
        (0..4usize).prop_map(call),
        (0..4usize, prop::sample::select(vec!["{}", "{", "}", "\"a\":1", ""]))
            .prop_map(|(index, fragment)| arguments(index, fragment)),
        Just(finished(FinishReason::Stop)),
    ]
}

proptest! {
    #[test]
    fn any_sequence_of_events_is_a_sound_stream(
        of_the_vendor in 0..4usize,
        sequence in prop::collection::vec((any_event(), prop::option::of(0..7usize)), 0..40),
    ) {
        let mut frames: Vec<_> = own().into_iter().take(of_the_vendor).collect();
        frames.extend(
            sequence
                .into_iter()
                .flat_map(|(event, own_at)| [Frame::from(event)].into_iter().chain(own_at.map(|at| own().swap_remove(at)))),
        );
        frames.push(finished(FinishReason::Stop).into());
        gathered(&encoded(frames).replace(NEW, ""));
    }

    #[test]
    fn text_and_signatures_arrive_as_they_were(texts in prop::collection::vec("\\PC{1,8}", 1..5), signature in "\\PC{1,20}") {
        let mut sequence = vec![Event::Thinking("t".into()), Event::ThinkingSignature(signature.clone())];
        sequence.extend(texts.iter().map(|piece| text(piece)));
        sequence.push(finished(FinishReason::Stop));
        let blocks = gathered(&events(sequence));
        prop_assert_eq!(&blocks[0]["signature"], &json!(signature));
        prop_assert_eq!(&blocks[1]["text"], &json!(texts.concat()));
    }
}
