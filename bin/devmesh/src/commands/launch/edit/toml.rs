//! TOML.

use serde_json::Value;
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

/// Each value stands at its path, whose tables are made where they are missing.
pub fn with(before: &str, wanted: &[(Vec<&str>, Value)]) -> Result<String, String> {
    let mut document: DocumentMut = before.parse().map_err(|error| format!("it is no TOML: {error}"))?;
    for (path, value) in wanted {
        let (name, tables) = path.split_last().ok_or("no place is named")?;
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
        set(table, name, value);
    }
    Ok(document.to_string())
}

fn set(table: &mut dyn TableLike, name: &str, wanted: &Value) {
    let mut new = match wanted {
        Value::Number(number) => value(number.as_i64().unwrap_or(i64::MAX)),
        Value::Bool(boolean) => value(*boolean),
        Value::String(text) => value(text.as_str()),
        other => value(other.to_string()),
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
}
