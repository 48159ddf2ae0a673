//! A tool's settings without what devmesh wrote there, and with what the tool or its user wrote since.
//!
//! ```text
//!   original ──devmesh──▶ written ──somebody else──▶ now ──▶ what differs between the first two, and still stands, goes
//! ```

use super::{
    edit::{json, toml, yaml},
    kept::Copy,
    tool::Tool,
};
use serde_json::{Map, Value};

/// `None`: there is nothing left, and there was no file.
///
/// # Errors
/// Why what was written cannot be told from what was there.
pub fn taken_back(tool: Tool, copy: &Copy, now: Option<&str>) -> Result<Option<String>, String> {
    let Some(now) = now else { return Ok(copy.text.clone()) };
    if Some(now) == copy.text.as_deref() || Some(now) == copy.written.as_deref() {
        return Ok(copy.text.clone());
    }
    let written = copy.written.as_deref().ok_or("an earlier version of devmesh did not keep what it wrote")?;
    let texts = [copy.text.as_deref().unwrap_or_default(), written, now];
    let left = match tool {
        Tool::Aider | Tool::Continue => yaml::taken_back(texts, frame(tool, copy))?,
        Tool::Codex => patched(tool, copy, texts, toml::value, toml::patched)?,
        Tool::Claude | Tool::Opencode | Tool::Cline | Tool::Qwen => {
            patched(tool, copy, texts, json::value, json::merged)?
        }
    };
    Ok(left.or_else(|| copy.text.as_ref().map(|_| String::new())))
}

/// What settings that devmesh began have to have as long as anything else stands in them.
fn frame(tool: Tool, copy: &Copy) -> &'static [&'static str] {
    match tool {
        _ if copy.text.is_some() => &[],
        Tool::Opencode => &["$schema"],
        Tool::Cline => &["version", "modes"],
        Tool::Continue => &["name", "version", "schema"],
        Tool::Codex | Tool::Claude | Tool::Aider | Tool::Qwen => &[],
    }
}

fn patched(
    tool: Tool,
    copy: &Copy,
    texts: [&str; 3],
    value: fn(&str) -> Result<Value, String>,
    patched: fn(&str, &Value) -> Result<String, String>,
) -> Result<Option<String>, String> {
    let [original, written, now] = texts;
    let (original, written, held) = (value(original)?, value(written)?, value(now)?);
    let (Some(original), Some(written), Some(held)) = (original.as_object(), written.as_object(), held.as_object())
    else {
        return Err("it is no object".to_owned());
    };
    let mut patch = patch(original, written, held);
    let frame = frame(tool, copy);
    if held.keys().all(|name| patch.get(name).is_some_and(Value::is_null)) {
        return Ok(None);
    }
    patch.retain(|name, _| !frame.contains(&name.as_str()));
    patched(now, &Value::Object(patch)).map(Some)
}

/// The merge patch (RFC 7396) that gives `now` back what `original` had where it still has what was `written`.
fn patch(original: &Map<String, Value>, written: &Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = Map::new();
    let gone = original.keys().filter(|name| !written.contains_key(*name));
    for name in written.keys().chain(gone) {
        let (before, ours, held) = (original.get(name), written.get(name), now.get(name));
        if before == ours {
            continue;
        }
        match (ours, held) {
            _ if ours == held => _ = patch.insert(name.clone(), before.cloned().unwrap_or_default()),
            (Some(Value::Object(ours)), Some(Value::Object(held))) => {
                let nothing = Map::new();
                let inner = self::patch(before.and_then(Value::as_object).unwrap_or(&nothing), ours, held);
                let is_emptied = held.keys().all(|name| inner.get(name).is_some_and(Value::is_null));
                if before.is_none() && is_emptied {
                    patch.insert(name.clone(), Value::Null);
                } else if !inner.is_empty() {
                    patch.insert(name.clone(), Value::Object(inner));
                }
            }
            (Some(Value::Array(ours)), Some(Value::Array(held))) => {
                let before = before.and_then(Value::as_array).map(Vec::as_slice);
                let left = entries(before.unwrap_or_default(), ours, held);
                let left = if left.is_empty() && before.is_none() { Value::Null } else { Value::Array(left) };
                patch.insert(name.clone(), left);
            }
            // Somebody else decided since.
            _ => {}
        }
    }
    patch
}

/// Entries are known by their names: what devmesh added goes, whatever was put into it; what it replaced comes back.
fn entries(original: &[Value], written: &[Value], now: &[Value]) -> Vec<Value> {
    let is_in = |list: &[Value], entry: &Value| list.iter().any(|other| is_same(other, entry));
    let mut left: Vec<Value> =
        now.iter().filter(|entry| !is_in(written, entry) || is_in(original, entry)).cloned().collect();
    for entry in &mut left {
        let before = original.iter().find(|before| is_same(before, entry));
        if let Some(before) = before.filter(|_| written.contains(entry)) {
            entry.clone_from(before);
        }
    }
    left
}

fn is_same(one: &Value, other: &Value) -> bool {
    one == other || one.get("name").is_some_and(|name| Some(name) == other.get("name"))
}

#[cfg(test)]
mod tests;
