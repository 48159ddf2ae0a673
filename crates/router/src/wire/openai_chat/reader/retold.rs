//! An answer in one body as the chunks of a stream, and the chunks of a stream as one body: servers give either, whatever was
//! asked for. Everything in it comes along, read here or not.

use crate::{
    sse,
    wire::{
        lenient::{Members, Object},
        stream::lines_of,
    },
};
use bytes::Bytes;
use serde_json::{Map, Value, value::RawValue};
use std::collections::VecDeque;

/// What follows itself in a stream, and does not replace it.
const TEXTS: [&str; 9] =
    ["content", "text", "reasoning_content", "reasoning", "refusal", "arguments", "data", "transcript", "thinking"];

/// The body as events: one with everything, and one with what it counted. `None` for what is no answer.
pub(crate) fn in_chunks(body: &[u8]) -> Option<Bytes> {
    let object = Object::of(body).ok()?;
    let fields = object.fields();
    let (mut head, mut usage) = (String::new(), None);
    for (name, value) in fields.iter() {
        match name {
            "choices" => {}
            "usage" => usage = Some(value.get()),
            "object" if value.get() == "\"chat.completion\"" => head.push_str("\"object\":\"chat.completion.chunk\","),
            _ => head.push_str(&member(name, value.get())),
        }
    }
    let choices: Vec<String> = fields.list("choices").into_iter().map(choice).collect();
    if choices.is_empty() {
        return None;
    }
    let mut events = format!("data: {{{head}\"choices\":[{}]}}\n\n", choices.join(","));
    if let Some(usage) = usage {
        events.push_str(&format!("data: {{{head}\"choices\":[],\"usage\":{}}}\n\n", one_line(usage)));
    }
    events.push_str("data: [DONE]\n\n");
    Some(events.into())
}

fn choice(value: &RawValue) -> String {
    let choice = Members::of(Some(value));
    if !choice.is_object() {
        return one_line(value.get());
    }
    let members = choice.iter().map(|(name, value)| match name {
        "message" => member("delta", &delta(value)),
        name => member(name, value.get()),
    });
    let members: String = members.collect();
    format!("{{{}}}", members.trim_end_matches(','))
}

/// Calls of a stream say which they are.
fn delta(message: &RawValue) -> String {
    let members = Members::of(Some(message));
    let calls = members.list("tool_calls");
    if calls.is_empty() {
        return message.get().to_owned();
    }
    let calls = calls.into_iter().enumerate().map(|(at, call)| {
        let members = Members::of(Some(call));
        if !members.is_object() || members.get("index").is_some() {
            return call.get().to_owned();
        }
        String::from_utf8_lossy(&members.with(&[("index", &at.to_string())])).into_owned()
    });
    let calls = format!("[{}]", calls.collect::<Vec<_>>().join(","));
    String::from_utf8_lossy(&members.with(&[("tool_calls", &calls)])).into_owned()
}

fn member(name: &str, value: &str) -> String {
    format!("{}:{},", Value::from(name), one_line(value))
}

/// Between its tokens JSON may break lines, and events may not.
fn one_line(json: &str) -> String {
    json.replace(['\r', '\n'], " ")
}

/// The events of a whole stream as one body. `None` where one of them is an error or cannot be read, or the end is missing.
pub(crate) fn in_one(stream: &Bytes) -> Option<Bytes> {
    let mut splitter = sse::Splitter::default();
    splitter.push(stream.clone());
    let (mut whole, mut choices) = (Map::new(), Vec::<Map<String, Value>>::new());
    let mut lines = VecDeque::new();
    while let Some(event) = lines.pop_front().map(Ok).or_else(|| splitter.next()).or_else(|| splitter.finish()) {
        let event = event.ok()?;
        let data = event.data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            continue;
        }
        let mut chunk = match serde_json::from_slice(data) {
            Ok(Value::Object(chunk)) => chunk,
            // Events that one line feed parts.
            Err(_) if data.contains(&b'\n') => {
                lines = lines_of(&event);
                continue;
            }
            _ => return None,
        };
        if chunk.get("error").is_some_and(|error| !error.is_null()) || event.event.as_deref() == Some(b"error") {
            return None;
        }
        if let Some(Value::Array(parts)) = chunk.remove("choices") {
            for part in parts {
                let Value::Object(mut part) = part else { return None };
                if let Some(delta) = part.remove("delta") {
                    part.insert("message".to_owned(), delta);
                }
                let index = part.get("index").cloned().unwrap_or_else(|| 0.into());
                match choices.iter_mut().find(|choice| choice.get("index").unwrap_or(&Value::Null) == &index) {
                    Some(choice) => add(choice, part),
                    None => {
                        part.insert("index".to_owned(), index);
                        choices.push(part);
                    }
                }
            }
        }
        whole.extend(chunk.into_iter().filter(|(_, value)| !value.is_null()));
    }
    if choices.is_empty() || choices.iter().any(|choice| choice.get("finish_reason").is_none_or(Value::is_null)) {
        return None;
    }
    for choice in &mut choices {
        if let Some(Value::Array(calls)) = choice.get_mut("message").and_then(|message| message.get_mut("tool_calls")) {
            calls.iter_mut().filter_map(Value::as_object_mut).for_each(|call| drop(call.remove("index")));
        }
    }
    if whole.get("object").is_some_and(|object| object == "chat.completion.chunk") {
        whole.insert("object".to_owned(), "chat.completion".into());
    }
    whole.insert("choices".to_owned(), choices.into_iter().map(Value::Object).collect());
    Some(Value::Object(whole).to_string().into())
}

fn add(to: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match (to.get_mut(&name), value) {
            (_, Value::Null) => {}
            (Some(Value::String(text)), Value::String(more)) if TEXTS.contains(&name.as_str()) => text.push_str(&more),
            (Some(Value::Object(object)), Value::Object(more)) => add(object, more),
            (Some(Value::Array(list)), Value::Array(more)) => more.into_iter().for_each(|item| add_item(list, item)),
            (_, value) => drop(to.insert(name, value)),
        }
    }
}

/// Pieces of one thing have one index.
fn add_item(list: &mut Vec<Value>, item: Value) {
    let known = item.get("index").and_then(|index| list.iter_mut().find(|known| known.get("index") == Some(index)));
    match (known, item) {
        (Some(Value::Object(known)), Value::Object(item)) => add(known, item),
        (_, item) => list.push(item),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_and_its_chunks_are_one_another() {
        let body = json!({
            "id": "1", "object": "chat.completion", "model": "m", "novel": {"a": [1]},
            "choices": [
                {"index": 0, "finish_reason": "tool_calls", "message": {
                    "role": "assistant", "content": "Hi\nthere", "refusal": "No.", "images": [{"url": "data:x"}],
                    "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{\"q\": 1}"}}]}},
                {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "Ho"}},
            ],
            "usage": {"prompt_tokens": 1},
        });
        let pretty = serde_json::to_vec_pretty(&body).unwrap();
        let events = in_chunks(&pretty).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&in_one(&events).unwrap()).unwrap(), body);
        for broken in ["data: {}\n\n", "data: {\"error\":{\"message\":\"no\"}}\n\n", "data: {\n\n", ""] {
            assert_eq!(in_one(&Bytes::from(broken)), None, "{broken}");
        }
    }

    #[test]
    fn pieces_are_put_together() {
        let chunk = |delta: Value, reason: Value| {
            format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}))
        };
        let call = |more: Value| json!({"tool_calls": [more]});
        let stream = [
            chunk(json!({"role": "assistant", "content": "a"}), Value::Null),
            chunk(json!({"content": "b", "images": [1]}), Value::Null),
            chunk(call(json!({"index": 0, "id": "x", "function": {"name": "f", "arguments": "{"}})), Value::Null),
            chunk(call(json!({"index": 0, "function": {"arguments": "}"}})), Value::Null),
            chunk(json!({"images": [2]}), json!("stop")),
        ];
        let whole: Value = serde_json::from_slice(&in_one(&Bytes::from(stream.concat())).unwrap()).unwrap();
        assert_eq!(
            whole["choices"][0]["message"],
            json!({"role": "assistant", "content": "ab", "images": [1, 2],
                   "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": "{}"}}]})
        );
    }
}
