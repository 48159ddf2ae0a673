//! A whole response in one body as the events of a stream: for whoever asked for one. Items that have no words here come along
//! as they are.

use crate::wire::lenient::{Members, Object};
use bytes::Bytes;
use serde_json::value::RawValue;

/// `None` for what is no whole response: an error, or something else.
pub(crate) fn events(body: &[u8]) -> Option<Bytes> {
    let object = Object::of(body).ok()?;
    let response = object.fields();
    let status = response.text("status").filter(|status| matches!(status.as_str(), "completed" | "incomplete"))?;
    if response.get("error").is_some() {
        return None;
    }
    let mut told = Told::default();
    let begun = response.with(&[("status", "\"in_progress\""), ("output", "[]"), ("usage", "null")]);
    let begun = String::from_utf8_lossy(&begun);
    for kind in ["response.created", "response.in_progress"] {
        told.say(kind, &[("response", &begun)]);
    }
    for (at, item) in response.list("output").into_iter().enumerate() {
        told.item(at, item);
    }
    let whole = std::str::from_utf8(body).ok()?;
    told.say(&format!("response.{status}"), &[("response", whole)]);
    Some(told.out.into())
}

#[derive(Default)]
struct Told {
    out: String,
    sequence: usize,
}

impl Told {
    fn say(&mut self, kind: &str, members: &[(&str, &str)]) {
        let members = members.iter().map(|(name, json)| format!(",\"{name}\":{}", json.replace(['\r', '\n'], " ")));
        let members: String = members.collect();
        let sequence = self.sequence;
        self.sequence += 1;
        self.out.push_str(&format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{sequence}{members}}}\n\n"
        ));
    }

    fn item(&mut self, at: usize, value: &RawValue) {
        let item = Members::of(Some(value));
        let output_index = at.to_string();
        let id = item.get("id").map_or("\"\"", RawValue::get);
        let place = [("item_id", id), ("output_index", output_index.as_str())];
        let kind = item.text("type").unwrap_or_default();
        let empty: &[(&str, &str)] = match kind.as_str() {
            "message" => &[("status", "\"in_progress\""), ("content", "[]")],
            "reasoning" => &[("summary", "[]")],
            "function_call" => &[("status", "\"in_progress\""), ("arguments", "\"\"")],
            _ => &[],
        };
        let begun = item.with(empty);
        let begun = if empty.is_empty() { value.get().into() } else { String::from_utf8_lossy(&begun) };
        self.say("response.output_item.added", &[("output_index", &output_index), ("item", &begun)]);
        match kind.as_str() {
            "message" => self.parts("response.content_part", "content_index", place, item.list("content")),
            "reasoning" => {
                self.parts("response.reasoning_summary_part", "summary_index", place, item.list("summary"));
            }
            "function_call" => {
                if let Some(arguments) = item.get("arguments") {
                    let with = |name| [place[0], place[1], (name, arguments.get())];
                    self.say("response.function_call_arguments.delta", &with("delta"));
                    self.say("response.function_call_arguments.done", &with("arguments"));
                }
            }
            _ => {}
        }
        self.say("response.output_item.done", &[("output_index", &output_index), ("item", value.get())]);
    }

    fn parts(&mut self, kind: &str, index: &str, place: [(&str, &str); 2], parts: Vec<&RawValue>) {
        for (at, value) in parts.into_iter().enumerate() {
            let at = at.to_string();
            let part = Members::of(Some(value));
            let (text, said) = match part.text("type").unwrap_or_default().as_str() {
                "output_text" => ("response.output_text", "text"),
                "refusal" => ("response.refusal", "refusal"),
                "summary_text" => ("response.reasoning_summary_text", "text"),
                _ => ("", ""),
            };
            let with = |name, json| [place[0], place[1], (index, at.as_str()), (name, json)];
            let words = part.get(said).map(RawValue::get);
            let begun = part.with(&[(said, "\"\"")]);
            let begun = if words.is_some() { String::from_utf8_lossy(&begun) } else { value.get().into() };
            self.say(&format!("{kind}.added"), &with("part", &begun));
            if let Some(words) = words {
                self.say(&format!("{text}.delta"), &with("delta", words));
                self.say(&format!("{text}.done"), &with(said, words));
            }
            self.say(&format!("{kind}.done"), &with("part", value.get()));
        }
    }
}
