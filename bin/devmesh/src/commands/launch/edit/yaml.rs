//! YAML.

use std::str::FromStr;
use yaml_edit::{Document, Mapping, MappingBuilder, YamlFile};

/// Each value stands at the top under its name, as the scalar that it is.
pub fn with(before: &str, wanted: &[(&str, &str)]) -> Result<String, String> {
    let Some((file, document)) = document(before)? else {
        let lines = wanted.iter().map(|(name, value)| format!("{name}: {}\n", scalar(value)));
        return Ok(ended(before) + &lines.collect::<String>());
    };
    for (name, value) in wanted {
        if text_at(&document, name).as_deref() == Some(*value) {
            continue;
        }
        match *value {
            "true" | "false" => _ = document.set(*name, *value == "true"),
            text => _ = document.set(*name, text),
        }
    }
    Ok(ended(&file.to_string()))
}

/// An entry stands in the list under `list`, in the place of the one with the same first value or at its end.
pub fn with_entry(before: &str, list: &str, entry: &[(&str, &str)]) -> Result<String, String> {
    let (key, name) = *entry.first().ok_or("the entry is empty")?;
    let Some((file, document)) = document(before)? else { return Ok(begun(before, list, entry)) };
    let Some(sequence) = document.get_sequence(list) else {
        if text_at(&document, list).is_some_and(|text| !text.is_empty() && text != "null") {
            return Err(format!("`{list}` is no list there"));
        }
        document.remove(list);
        return Ok(begun(&file.to_string(), list, entry));
    };
    if sequence.is_empty() {
        // It stands in brackets; one in lines takes its place.
        document.remove(list);
        return Ok(begun(&file.to_string(), list, entry));
    }
    let held = |at| sequence.get(at).and_then(|node| node.as_mapping().cloned());
    let is_it = |held: &Mapping| held.get(key).is_some_and(|held| unquoted(&held.to_string()) == name);
    match (0..sequence.len()).filter_map(held).find(is_it) {
        // What else the user put into it stays.
        Some(held) => {
            for (name, value) in entry {
                if held.get(*name).map(|held| unquoted(&held.to_string())).as_deref() != Some(*value) {
                    held.set(*name, *value);
                }
            }
        }
        None => sequence.push(&mapping(entry)?),
    }
    Ok(ended(&file.to_string()))
}

/// The list with its one entry, after everything else.
fn begun(before: &str, list: &str, entry: &[(&str, &str)]) -> String {
    let lines = entry.iter().map(|(name, value)| format!("    {name}: {}\n", scalar(value))).collect::<String>();
    format!("{}{list}:\n  - {}", ended(before), lines.trim_start())
}

/// `None` where there is nothing but comments.
fn document(text: &str) -> Result<Option<(YamlFile, Document)>, String> {
    let says_nothing =
        |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#') || line.trim() == "---";
    if text.lines().all(says_nothing) {
        return Ok(None);
    }
    let file = YamlFile::from_str(text).map_err(|error| format!("it is no YAML: {error}"))?;
    let mut documents = file.documents();
    let (first, second) = (documents.next(), documents.next());
    match (first, second) {
        (Some(document), None) if document.as_mapping().is_some() => Ok(Some((file, document))),
        (Some(_), None) => Err("it is YAML and no mapping".to_owned()),
        _ => Err("it holds more than one document".to_owned()),
    }
}

fn text_at(document: &Document, name: &str) -> Option<String> {
    document.get(name).map(|held| unquoted(&held.to_string()))
}

fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inner = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text).to_owned()
}

fn mapping(entry: &[(&str, &str)]) -> Result<Mapping, String> {
    let builder = entry.iter().fold(MappingBuilder::new(), |builder, (name, value)| builder.pair(*name, *value));
    builder.build_document().as_mapping().ok_or_else(|| "the entry cannot be written".to_owned())
}

/// As a plain scalar where that reads back as the same text.
fn scalar(text: &str) -> String {
    let plain = text == "true"
        || text == "false"
        || text.chars().all(|character| character.is_ascii_alphanumeric() || "/:.-_@".contains(character))
            && !text.starts_with(['-', ':', '@'])
            && !text.ends_with(':')
            && text.parse::<f64>().is_err();
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

fn ended(text: &str) -> String {
    if text.is_empty() || text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") }
}
