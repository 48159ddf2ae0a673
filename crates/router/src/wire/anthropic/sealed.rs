//! Thoughts that the vendor would refuse: those it did not seal itself. A caller who was answered by another model in between
//! sends that one's thoughts back, without a seal or under a foreign one.

use crate::{
    json_object::Fields,
    seals::NAMED,
    wire::lenient::{Members, text},
};
use serde_json::value::RawValue;

/// What the vendor's seals never begin with: the mark of an encrypted token as OpenAI makes them.
const FOREIGN: &str = "gAAAA";

/// Whether the vendor may have made it.
pub(crate) fn is_own(seal: &str) -> bool {
    !seal.is_empty() && !seal.starts_with(FOREIGN) && !seal.starts_with(NAMED)
}

/// The fields of a caller's request that must be other than they are: `messages` without such thoughts. Where thoughts went
/// that the vendor demands while tools are used, it is not told to think on.
pub(crate) fn changes(fields: &Fields<'_>) -> Vec<(&'static str, String)> {
    let Some(messages) = fields.get("messages").filter(|messages| messages.get().contains("thinking\"")) else {
        return Vec::new();
    };
    let Ok(all) = serde_json::from_str::<Vec<&RawValue>>(messages.get()) else { return Vec::new() };
    let mut kept = Vec::with_capacity(all.len());
    let (mut any, mut in_this_turn) = (false, false);
    for message in all {
        match without_foreign(message) {
            Some(rest) => {
                (any, in_this_turn) = (true, true);
                kept.extend(rest);
            }
            None => {
                in_this_turn &= !begins_turn(message);
                kept.push(message.get().to_owned());
            }
        }
    }
    if !any {
        return Vec::new();
    }
    let mut changes = vec![("messages", format!("[{}]", kept.join(",")))];
    let thinks = Members::of(fields.get("thinking")).text("type").is_some_and(|kind| kind == "enabled");
    if in_this_turn && thinks {
        changes.push(("thinking", r#"{"type":"disabled"}"#.to_owned()));
    }
    changes
}

/// Whether a user says something and does not only answer calls of tools.
fn begins_turn(message: &RawValue) -> bool {
    let message = Members::of(Some(message));
    let is_user = message.text("role").is_some_and(|role| role == "user");
    let blocks = message.list("content");
    is_user && !blocks.iter().any(|block| kind(block).as_deref() == Some("tool_result"))
}

/// `None` where nothing has to go; `Some(None)` where nothing is left.
fn without_foreign(message: &RawValue) -> Option<Option<String>> {
    let message = Members::of(Some(message));
    let blocks = message.list("content");
    let kept: Vec<&str> = blocks.iter().filter(|block| !is_foreign(block)).map(|block| block.get()).collect();
    if kept.len() == blocks.len() {
        return None;
    }
    if kept.is_empty() {
        return Some(None);
    }
    let content = format!("[{}]", kept.join(","));
    Some(String::from_utf8(message.with(&[("content", &content)]).to_vec()).ok())
}

fn is_foreign(block: &RawValue) -> bool {
    let members = Members::of(Some(block));
    let seal = match members.text("type").as_deref() {
        Some("thinking") => members.get("signature"),
        Some("redacted_thinking") => members.get("data"),
        _ => return false,
    };
    !seal.and_then(text).is_some_and(|seal| is_own(&seal))
}

fn kind(block: &RawValue) -> Option<String> {
    Members::of(Some(block)).text("type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_of_others_go_and_nothing_else_does() {
        let seen = |thinking: &str, messages: &str| {
            let body = format!(r#"{{"thinking":{thinking},"messages":{messages}}}"#);
            let changes = changes(&Fields::of(body.as_bytes()).unwrap());
            changes.into_iter().map(|(name, json)| format!("{name}={json}")).collect::<Vec<_>>()
        };
        let own = r#"{"type":"thinking", "thinking":"t","signature":"EqQB+/="}"#;
        let bare = r#"{"type":"thinking","thinking":"t","signature":""}"#;
        let call = r#"{"type":"tool_use","id":"a","name":"n","input":{ }}"#;
        let said = |role: &str, blocks: &[&str]| format!(r#"{{"role":"{role}" ,"content":[{}]}}"#, blocks.join(","));
        let asks = r#"{"role":"user","content":"is \"thinking\" hard?"}"#;
        let result = said("user", &[r#"{"type":"tool_result","tool_use_id":"a"}"#]);
        let on = r#"{"type":"enabled","budget_tokens":2000}"#;
        let off = r#"thinking={"type":"disabled"}"#.to_owned();
        let list = |messages: &[&str]| format!("[{}]", messages.join(","));
        let changed = |messages: &[&str]| format!("messages={}", list(messages));
        let foreign = r#"{"type":"redacted_thinking","data":"gAAAAABo"}"#;
        let missing = r#"{"type":"thinking","thinking":"t"}"#;
        let (called, sealed) = (said("assistant", &[call]), said("assistant", &[own, call]));
        for (what, thinking, messages, expected) in [
            ("nothing to do", on, list(&[asks, &sealed, &result]), vec![]),
            ("a text", on, r#""thinking""#.to_owned(), vec![]),
            (
                "a model at home",
                "null",
                list(&[asks, &said("assistant", &[bare, call])]),
                vec![changed(&[asks, &called])],
            ),
            ("without a seal", "null", list(&[&said("assistant", &[missing, call])]), vec![changed(&[&called])]),
            ("another vendor", "null", list(&[&said("assistant", &[own, foreign, call])]), vec![changed(&[&sealed])]),
            ("nothing is left", "null", list(&[asks, &said("assistant", &[bare]), asks]), vec![changed(&[asks, asks])]),
            (
                "while a tool is used",
                on,
                list(&[asks, &said("assistant", &[bare, call]), &result]),
                vec![changed(&[asks, &called, &result]), off],
            ),
            (
                "in a turn that is over",
                on,
                list(&[&said("assistant", &[bare, call]), &result, asks]),
                vec![changed(&[&called, &result, asks])],
            ),
        ] {
            assert_eq!(seen(thinking, &messages), expected, "{what}");
        }
    }
}
