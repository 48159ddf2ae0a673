//! What an assistant thought, in a message of a chat that comes back: the API has no place for it, and servers made some.
//!
//! | place | whose way |
//! |---|---|
//! | `reasoning_content`, `reasoning` | most servers; both where both are sent |
//! | `reasoning_details` | OpenRouter, with the seals of the vendors behind it |
//! | parts `thinking` of the content | Mistral |

use crate::{
    json_object::Fields,
    wire::lenient::{Members, text},
};
use serde_json::value::RawValue;

const TEXTS: [&str; 2] = ["reasoning_content", "reasoning"];
const DETAILS: &str = "reasoning_details";

/// All of it as one text; `None` where there is none.
pub(crate) fn of(message: &RawValue) -> Option<String> {
    let members = Members::of(Some(message));
    let told = TEXTS.iter().find_map(|name| members.text(name).filter(|text| !text.is_empty()));
    let details = || all(members.list(DETAILS), |detail| detail.text("text").or_else(|| detail.text("summary")));
    let parts = || all(members.list("content"), |part| is_thought(part).then(|| of_part(part)));
    told.or_else(details).or_else(parts)
}

/// The same message without it; `None` for what is no message.
pub(crate) fn without(message: &RawValue) -> Option<String> {
    let fields = Fields::of(message.get().as_bytes()).ok()?;
    let rest = fields.only(|name| name != DETAILS && !TEXTS.contains(&name));
    let members = Members::of(Some(message));
    let (parts, kept): (_, Vec<_>) = {
        let parts = members.list("content");
        let kept = parts.iter().filter(|part| !is_thought(&Members::of(Some(part)))).map(|part| part.get());
        (parts.len(), kept.collect())
    };
    if kept.len() == parts {
        return Some(rest);
    }
    let rest = Fields::of(rest.as_bytes()).ok()?.with(&[("content", &format!("[{}]", kept.join(",")))]);
    String::from_utf8(rest.to_vec()).ok()
}

fn all(items: Vec<&RawValue>, told: impl Fn(&Members<'_>) -> Option<String>) -> Option<String> {
    let all: String = items.into_iter().filter_map(|item| told(&Members::of(Some(item)))).collect();
    (!all.is_empty()).then_some(all)
}

fn is_thought(part: &Members<'_>) -> bool {
    part.text("type").is_some_and(|kind| kind == "thinking")
}

/// A text, or parts of one.
fn of_part(part: &Members<'_>) -> String {
    let inner = || all(part.list("thinking"), |inner| inner.text("text"));
    part.get("thinking").and_then(text).or_else(inner).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_thought_is_found_and_left_out_in_every_place() {
        let call = json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]);
        let parts = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "H"}, {"type": "text", "text": "m."}]},
                           {"type": "text", "text": "So."}]);
        for (thought, message, rest) in [
            (Some("Hm."), json!({"content": "So.", "reasoning_content": "Hm."}), json!({"content": "So."})),
            (
                Some("Hm."),
                json!({"content": null, "reasoning_content": null, "reasoning": "Hm.", "tool_calls": call.clone(),
                       "reasoning_details": [{"type": "reasoning.encrypted", "data": "AAA"}]}),
                json!({"content": null, "tool_calls": call}),
            ),
            (
                Some("Hm."),
                json!({"content": "So.", "reasoning_details": [{"text": "H"}, {"summary": "m."}]}),
                json!({"content": "So."}),
            ),
            (Some("Hm."), json!({"content": parts}), json!({"content": [{"type": "text", "text": "So."}]})),
            (None, json!({"content": "thinking", "x": [1]}), json!({"content": "thinking", "x": [1]})),
            (None, json!({"reasoning_content": ""}), json!({})),
        ] {
            let raw = RawValue::from_string(message.to_string()).unwrap();
            assert_eq!(of(&raw).as_deref(), thought, "{message}");
            let left: Value = serde_json::from_str(&without(&raw).unwrap()).unwrap();
            assert_eq!(left, rest, "{message}");
        }
        assert_eq!(without(&RawValue::from_string("7".to_owned()).unwrap()), None);
    }
}
