//! JSON, with the comments and trailing commas that tools allow in theirs.

use jsonc_parser::{
    ParseOptions,
    cst::{CstInputValue, CstNode, CstObject, CstRootNode},
};
use serde_json::{Map, Value};

/// A merge patch (RFC 7396): members of `wanted` are set, those that are null there go; objects are merged, at every depth.
pub fn merged(before: &str, wanted: &Value) -> Result<String, String> {
    let root = parsed(before)?;
    merge(&object_of(&root)?, wanted);
    Ok(written(&root))
}

/// `entry` stands in the list at `path`, in the place of the one with the same `key` or at its end.
pub fn with_entry(before: &str, path: &[&str], key: &str, entry: &Value) -> Result<String, String> {
    let root = parsed(before)?;
    let mut object = object_of(&root)?;
    let (last, objects) = path.split_last().ok_or("no place is named")?;
    for name in objects {
        object = object.object_value_or_create(name).ok_or_else(|| format!("`{name}` is no object there"))?;
    }
    let list = object.array_value_or_create(last).ok_or_else(|| format!("`{last}` is no list there"))?;
    let elements = list.elements();
    let same = elements.iter().find(|element| value_of(element).is_some_and(|value| value[key] == entry[key]));
    match same {
        Some(same) if value_of(same).as_ref() == Some(entry) => {}
        Some(same) => match same.as_object() {
            Some(object) => _ = object.replace_with(input(entry)),
            None => return Err(format!("an entry of `{last}` is no object there")),
        },
        None => {
            list.ensure_multiline();
            list.append(input(entry));
        }
    }
    Ok(written(&root))
}

/// The whole, an empty object where nothing is said.
pub fn value(text: &str) -> Result<Value, String> {
    Ok(parsed(text)?.to_serde_value().unwrap_or_else(|| Value::Object(Map::new())))
}

/// The text at `path`, `None` where there is none.
pub fn text_at(before: &str, path: &[&str]) -> Result<Option<String>, String> {
    let whole = value(before)?;
    let found = path.iter().try_fold(&whole, |value, name| value.get(name));
    Ok(found.and_then(Value::as_str).map(str::to_owned))
}

fn parsed(text: &str) -> Result<CstRootNode, String> {
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| format!("it is no JSON: {error}"))
}

fn object_of(root: &CstRootNode) -> Result<CstObject, String> {
    let object = root.object_value_or_create().ok_or("it is JSON and no object")?;
    Ok(object)
}

fn written(root: &CstRootNode) -> String {
    let text = root.to_string();
    if text.ends_with('\n') { text } else { text + "\n" }
}

fn merge(object: &CstObject, wanted: &Value) {
    for (name, value) in wanted.as_object().into_iter().flatten() {
        match object.get(name) {
            Some(property) if value.is_null() => property.remove(),
            None if value.is_null() => {}
            None => {
                object.ensure_multiline();
                object.append(name, input(&without_nulls(value)));
            }
            Some(property) if value.is_object() => merge(&property.object_value_or_set(), value),
            Some(property) => {
                if property.value().as_ref().and_then(value_of).as_ref() != Some(value) {
                    property.set_value(input(value));
                }
            }
        }
    }
}

/// What a patch leaves where nothing was.
fn without_nulls(patch: &Value) -> Value {
    let Some(members) = patch.as_object() else { return patch.clone() };
    let said = members.iter().filter(|(_, value)| !value.is_null());
    Value::Object(said.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
}

fn value_of(node: &CstNode) -> Option<Value> {
    node.to_serde_value()
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(number) => CstInputValue::Number(number.to_string()),
        Value::String(text) => CstInputValue::String(text.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(input).collect()),
        Value::Object(members) => {
            CstInputValue::Object(members.iter().map(|(name, value)| (name.clone(), input(value))).collect())
        }
    }
}
