//! TOML.

use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, TableLike};

/// Each value stands at its path, whose tables are made where they are missing. Null: nothing stands there.
pub fn with(before: &str, wanted: &[(Vec<&str>, Value)]) -> Result<String, String> {
    let mut document: DocumentMut = before.parse().map_err(|error| format!("it is no TOML: {error}"))?;
    for (path, value) in wanted {
        let (name, tables) = path.split_last().ok_or("no place is named")?;
        if value.is_null() {
            remove(document.as_table_mut(), tables, name);
            continue;
        }
        let mut table: &mut dyn TableLike = document.as_table_mut();
        for (depth, part) in tables.iter().enumerate() {
            let is_last = depth + 1 == tables.len();
            let item = table.entry(part).or_insert_with(|| {
                let mut made = Table::new();
                // The headers of tables that only hold others go without saying.
                made.set_implicit(!is_last);
                Item::Table(made)
            });
            table = item.as_table_like_mut().ok_or_else(|| format!("`{part}` is no table there"))?;
        }
        set(table, name, value)?;
    }
    Ok(document.to_string())
}

/// With a merge patch (RFC 7396) of scalars.
pub fn patched(before: &str, patch: &Value) -> Result<String, String> {
    let mut wanted = Vec::new();
    flatten(patch, &mut Vec::new(), &mut wanted);
    with(before, &wanted)
}

/// The whole.
pub fn value(text: &str) -> Result<Value, String> {
    ::toml::from_str(text).map_err(|error| format!("it is no TOML: {error}"))
}

fn flatten<'a>(patch: &'a Value, path: &mut Vec<&'a str>, into: &mut Vec<(Vec<&'a str>, Value)>) {
    let Some(members) = patch.as_object() else { return into.push((path.clone(), patch.clone())) };
    for (name, value) in members {
        path.push(name);
        flatten(value, path, into);
        path.pop();
    }
}

fn remove(whole: &mut dyn TableLike, tables: &[&str], name: &str) {
    let mut table = whole;
    for part in tables {
        let Some(inner) = table.get_mut(part).and_then(Item::as_table_like_mut) else { return };
        table = inner;
    }
    table.remove(name);
}

fn set(table: &mut dyn TableLike, name: &str, wanted: &Value) -> Result<(), String> {
    let mut new = match wanted {
        Value::Number(number) => toml_edit::value(number.as_i64().unwrap_or(i64::MAX)),
        Value::Bool(boolean) => toml_edit::value(*boolean),
        Value::String(text) => toml_edit::value(text.as_str()),
        _ => return Err(format!("`{name}` is no scalar")),
    };
    if let Some(old) = table.get(name).and_then(Item::as_value) {
        // The spaces around it, and a comment after it.
        let decor = old.decor().clone();
        if let Some(new) = new.as_value_mut() {
            *new.decor_mut() = decor;
        }
    }
    match table.get_mut(name) {
        Some(item) => *item = new,
        None => _ = table.insert(name, new),
    }
    Ok(())
}
