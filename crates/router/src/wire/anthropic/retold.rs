//! An answer that came in one body, as the events its stream would have had: so that there is one reading of both, and so
//! that a caller who wants a stream gets all of it.
//!
//! Every value keeps its own JSON text. What has no deltas stands whole in the beginning of its block.

use crate::{sse, wire::lenient::Members};
use bytes::Bytes;
use serde_json::{Value, value::RawValue};

pub(crate) fn events(message: &Members<'_>) -> Vec<sse::Event> {
    let head = message.with(&[("content", "[]"), ("stop_reason", "null"), ("stop_sequence", "null")]);
    let mut events = vec![event("message_start", &format!(r#""message":{}"#, text(&head)))];
    let one_text = message.get("content").filter(|content| content.get().starts_with('"'));
    if let Some(content) = one_text {
        let start = r#"{"type":"text","text":""}"#;
        block(0, start, &[("text_delta", "text", content.get().to_owned())], &mut events);
    }
    for (index, value) in message.list("content").into_iter().enumerate() {
        let (start, deltas) = parts(value);
        block(index, &start, &deltas, &mut events);
    }
    let raw = |name: &str| message.get(name).map_or("null", RawValue::get);
    let delta = format!(
        r#""delta":{{"stop_reason":{},"stop_sequence":{}}},"usage":{}"#,
        raw("stop_reason"),
        raw("stop_sequence"),
        raw("usage")
    );
    events.extend([event("message_delta", &delta), event("message_stop", "")]);
    events
}

/// The name of a delta, of its field, and the field's JSON text.
type Delta = (&'static str, &'static str, String);

/// A block's beginning, and its deltas.
fn parts(value: &RawValue) -> (String, Vec<Delta>) {
    let block = Members::of(Some(value));
    let raw = |name: &str| block.get(name).map(|value| value.get().to_owned());
    let (emptied, deltas): (&[_], [Option<Delta>; 2]) = match block.text("type").as_deref() {
        Some("text") => (&[("text", r#""""#)], [raw("text").map(|text| ("text_delta", "text", text)), None]),
        Some("thinking") => (
            &[("thinking", r#""""#), ("signature", r#""""#)],
            [
                raw("thinking").map(|thought| ("thinking_delta", "thinking", thought)),
                raw("signature").map(|seal| ("signature_delta", "signature", seal)),
            ],
        ),
        Some("tool_use") => {
            let input = raw("input").filter(|input| input.starts_with('{'));
            let Some(input) = input else { return (value.get().to_owned(), Vec::new()) };
            (&[("input", "{}")], [Some(("input_json_delta", "partial_json", Value::from(input).to_string())), None])
        }
        _ => return (value.get().to_owned(), Vec::new()),
    };
    (text(&block.with(emptied)), deltas.into_iter().flatten().collect())
}

fn block(index: usize, start: &str, deltas: &[Delta], events: &mut Vec<sse::Event>) {
    events.push(event("content_block_start", &format!(r#""index":{index},"content_block":{start}"#)));
    for (kind, name, json) in deltas {
        let delta = format!(r#""index":{index},"delta":{{"type":"{kind}","{name}":{json}}}"#);
        events.push(event("content_block_delta", &delta));
    }
    events.push(event("content_block_stop", &format!(r#""index":{index}"#)));
}

fn event(kind: &'static str, members: &str) -> sse::Event {
    let comma = if members.is_empty() { "" } else { "," };
    // Between the words of JSON a line end is white space, and inside of them there is none.
    let data = format!(r#"{{"type":"{kind}"{comma}{members}}}"#).replace(['\n', '\r'], " ");
    let raw = Bytes::from(format!("event: {kind}\ndata: {data}\n\n"));
    let from = raw.len() - 2 - data.len();
    sse::Event {
        event: Some(Bytes::from_static(kind.as_bytes())),
        data: raw.slice(from..raw.len() - 2),
        raw,
        is_cut: false,
    }
}

fn text(json: &Bytes) -> String {
    String::from_utf8_lossy(json).into_owned()
}
