//! What the dialects' tests share: answers, and how a client reads a stream.

use crate::{
    Event, Frame,
    answer::{Finish, Usage, Whole},
    dialect::{Dialect, Envelope},
    sse::Splitter,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use protocol::FinishReason;
use serde_json::Value;

pub(crate) fn envelope(wants_usage: bool) -> Envelope {
    Envelope { created_s: 1_700_000_000, wants_usage, estimated_input_tokens: 0, ..crate::testing::envelope() }
}

pub(crate) fn raw(bytes: &str, events: Vec<Event>) -> Frame {
    Frame::new(Some(Bytes::copy_from_slice(bytes.as_bytes())), events)
}

pub(crate) fn call(index: usize, id: &str, name: &str) -> Event {
    Event::ToolCall { index, id: id.into(), name: name.into() }
}

pub(crate) fn arguments(index: usize, fragment: &str) -> Event {
    Event::ToolArguments { index, fragment: fragment.into() }
}

pub(crate) fn finished(reason: FinishReason) -> Event {
    let usage = Usage {
        input_tokens: 10,
        cached_input_tokens: 4,
        cache_write_tokens: 0,
        cache_write_1h_tokens: 0,
        output_tokens: 5,
        reasoning_tokens: 2,
    };
    Event::Finished(Finish::new(reason, usage))
}

pub(crate) fn stream(dialect: Dialect, wants_usage: bool, frames: impl IntoIterator<Item = Frame>) -> String {
    let mut out = BytesMut::new();
    let mut encoder = dialect.encoder(envelope(wants_usage));
    for frame in frames {
        encoder.frame(frame, &mut out);
    }
    String::from_utf8(out.to_vec()).unwrap()
}

/// Every event's data, as a client gets it; `[DONE]` as text.
pub(crate) fn read(stream: &str) -> Vec<Value> {
    assert!(stream.is_empty() || stream.ends_with("\n\n"), "the last event does not end: {stream}");
    let mut splitter = Splitter::default();
    splitter.push(Bytes::copy_from_slice(stream.as_bytes()));
    let events = std::iter::from_fn(|| splitter.next()).map(|event| event.unwrap().data);
    let events = events.filter(|data| !data.is_empty());
    events
        .map(|data| if &data[..] == b"[DONE]" { "[DONE]".into() } else { serde_json::from_slice(&data).unwrap() })
        .collect()
}

pub(crate) fn gathered(events: &[Event]) -> Whole {
    let mut whole = Whole::default();
    events.iter().for_each(|event| whole.add(event));
    whole
}

fn reason() -> impl Strategy<Value = FinishReason> {
    prop_oneof![
        Just(FinishReason::Stop),
        Just(FinishReason::Length),
        Just(FinishReason::ToolCalls),
        Just(FinishReason::ContentFilter),
    ]
}

/// Answers as models give them: whole, with calls counted from 0, several of them written at once. No call's arguments are
/// whole before its end, because what comes after that is no part of them.
pub(crate) fn answers() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![
        "[a-z\"\\\\\n é]{1,8}".prop_map(Event::Text),
        "[a-z\"\n ]{1,8}".prop_map(Event::Thinking),
        "[a-z]{1,8}".prop_map(Event::ThinkingSignature),
        "[a-z]{1,8}".prop_map(Event::RedactedThinking),
        Just(call(0, "", "look")),
        (0..3usize, "[{\":a1]{1,6}").prop_map(|(index, fragment)| arguments(index, &fragment)),
    ];
    (prop::collection::vec(step, 0..20), reason()).prop_map(|(mut events, reason)| {
        let mut calls = 0;
        for event in &mut events {
            if let Event::ToolCall { index, id, .. } = event {
                (*index, *id) = (calls, format!("call_{calls}"));
                calls += 1;
            }
        }
        events.push(finished(reason));
        events
    })
}

/// Anything at all, in any order, with and without bytes.
pub(crate) fn anything() -> impl Strategy<Value = Vec<Frame>> {
    let event = prop_oneof![
        Just(Event::Started { id: Some("x".into()), model: None, usage: Usage::default() }),
        "[a-z]{0,3}".prop_map(Event::Text),
        "[a-z]{0,3}".prop_map(Event::Thinking),
        "[a-z]{0,3}".prop_map(Event::ThinkingSignature),
        "[a-z]{0,3}".prop_map(Event::RedactedThinking),
        (0..3usize).prop_map(|index| call(index, "c", "n")),
        (0..3usize, "[{}1]{0,2}").prop_map(|(index, fragment)| arguments(index, &fragment)),
        reason().prop_map(finished),
    ];
    prop::collection::vec(prop::collection::vec(event, 0..3).prop_map(|events| Frame::new(None, events)), 0..12)
}

/// A body of the dialect with a few bytes of it changed.
pub(crate) fn mutated(body: &'static str) -> impl Strategy<Value = Bytes> {
    let change = (0..body.len(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'{'), Just(b'['), Just(b'0'), Just(b',')]);
    prop::collection::vec(change, 0..4).prop_map(move |changes| {
        let mut bytes = body.as_bytes().to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        bytes.into()
    })
}

/// A body of the dialect with one value somewhere in it replaced by something else that is JSON.
pub(crate) fn distorted(body: &'static str) -> impl Strategy<Value = Bytes> {
    let other = prop_oneof![
        Just(Value::Null),
        Just(Value::from(-1)),
        Just(Value::from(1e300)),
        Just(Value::from("")),
        Just(Value::from("data:,")),
        Just(serde_json::json!([])),
        Just(serde_json::json!([[{"type": "text"}]])),
        Just(serde_json::json!({"type": "function"})),
    ];
    (any::<prop::sample::Index>(), other).prop_map(move |(at, other)| {
        let mut value: Value = serde_json::from_str(body).unwrap();
        let mut places = Vec::new();
        pointers(&value, String::new(), &mut places);
        if let Some(place) = value.pointer_mut(&places[at.index(places.len())]) {
            *place = other;
        }
        value.to_string().into()
    })
}

fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| pointers(value, format!("{at}/{name}"), all)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| pointers(value, format!("{at}/{index}"), all));
        }
        _ => {}
    }
    all.push(at);
}

/// Reads `body` both ways; whatever it is, nothing panics, and a refusal says why.
pub(crate) fn survives(dialect: Dialect, body: &Bytes) {
    for refusal in [dialect.peek(body).err(), dialect.conversation(body).err()].into_iter().flatten() {
        let crate::Error::Invalid { message, .. } = refusal else { panic!("{refusal:?}") };
        assert!(!message.is_empty());
    }
}
