//! YAML.

use std::str::FromStr;
use yaml_edit::{Document, Mapping, MappingBuilder, Sequence, YamlFile};

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

/// An entry is the first in the list under `list`; of one with the same first value what else it holds stays.
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
    let at = (0..sequence.len()).find(|&at| held(at).is_some_and(|held| is_it(&held)));
    if let Some(held) = at.and_then(held) {
        for (name, value) in entry {
            if held.get(*name).map(|held| unquoted(&held.to_string())).as_deref() != Some(*value) {
                held.set(*name, *value);
            }
        }
    }
    match at {
        Some(0) => {}
        Some(at) => {
            if let Some(held) = sequence.remove(at) {
                sequence.insert(0, &dedented(&held.to_string())?);
            }
        }
        None => sequence.insert(0, &mapping(entry)?),
    }
    Ok(ended(&file.to_string()))
}

/// The last of three texts, the original, the written and the one of now: without what came with the second and still stands
/// there. Values are at the top, and entries of lists are known by their names. `None`: nothing is left but the `frame`.
pub fn taken_back(texts: [&str; 3], frame: &[&str]) -> Result<Option<String>, String> {
    let [original, written, now] = texts;
    let (original, written) = (document(original)?, document(written)?);
    let (Some((_, written)), Some((file, now))) = (written, document(now)?) else { return Ok(Some(now.to_owned())) };
    let original = original.map(|(_, original)| original);
    for name in written.keys().filter_map(|name| Some(name.as_scalar()?.as_string())) {
        let before = original.as_ref().and_then(|original| original.get(name.as_str()));
        if let (Some(ours), Some(held)) = (written.get_sequence(name.as_str()), now.get_sequence(name.as_str())) {
            let known = original.as_ref().and_then(|original| original.get_sequence(name.as_str()));
            let known = known.map(|known| names(&known)).unwrap_or_default();
            let added: Vec<_> = names(&ours).into_iter().filter(|name| !known.contains(name)).collect();
            for at in (0..held.len()).rev().filter(|&at| name_at(&held, at).is_some_and(|name| added.contains(&name))) {
                held.remove(at);
            }
            if held.is_empty() && before.is_none() {
                now.remove(name.as_str());
            }
            continue;
        }
        let ours = text_at(&written, &name);
        let before = before.map(|before| unquoted(&before.to_string()));
        if before == ours || ours != text_at(&now, &name) || frame.contains(&name.as_str()) {
            continue;
        }
        match before.as_deref() {
            None => _ = now.remove(name.as_str()),
            Some(flag @ ("true" | "false")) => _ = now.set(name.as_str(), flag == "true"),
            Some(text) => _ = now.set(name.as_str(), text),
        }
    }
    let is_frame = |name: &str| frame.contains(&name);
    let is_nothing = now.keys().filter_map(|name| Some(name.as_scalar()?.as_string())).all(|name| is_frame(&name));
    Ok((!is_nothing).then(|| ended(&file.to_string())))
}

fn names(list: &Sequence) -> Vec<String> {
    (0..list.len()).filter_map(|at| name_at(list, at)).collect()
}

fn name_at(list: &Sequence, at: usize) -> Option<String> {
    Some(unquoted(&list.get(at)?.as_mapping()?.get("name")?.to_string()))
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

/// A mapping out of a list, whose lines but the first are as deep as they were there.
fn dedented(text: &str) -> Result<Mapping, String> {
    let inner = || text.lines().skip(1);
    let depths = inner().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let depth = depths.min().unwrap_or_default();
    let lines = text.lines().take(1).chain(inner().map(|line| line.get(depth..).unwrap_or(line.trim_start())));
    let text = lines.map(|line| format!("{line}\n")).collect::<String>();
    let moved = document(&text)?.and_then(|(_, document)| document.as_mapping());
    moved.ok_or_else(|| "an entry cannot be moved".to_owned())
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
