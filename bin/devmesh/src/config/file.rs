//! A configuration file as a flat list of keys with the lines they stand on.

use super::Problems;
use std::{
    io::{ErrorKind, Read},
    path::Path,
};
use toml::de::{DeTable, DeValue};

/// Largest configuration file, in bytes.
const LARGEST: u64 = 1024 * 1024;

pub struct Entry<'text> {
    pub name: String,
    pub line: usize,
    pub value: DeValue<'text>,
}

/// The text, or `None` when there is no such file.
pub fn read(path: &Path, problems: &mut Problems) -> Option<String> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LARGEST => {
            problems.add(path.display(), format!("is larger than {LARGEST} bytes, so it is no configuration"));
            None
        }
        Ok(_) => Some(text),
        Err(error) if error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::NotADirectory => None,
        Err(error) => {
            problems.add(path.display(), format!("cannot be read: {error}"));
            None
        }
    }
}

/// Every leaf, under its dotted name. Mistakes of the syntax are all reported; what else could be read still counts.
pub fn entries<'text>(path: &Path, text: &'text str, problems: &mut Problems) -> Vec<Entry<'text>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        problems.add(format_args!("{}:{line}", path.display()), error.message().to_owned());
    }
    let mut entries = Vec::new();
    flatten(text, "", table.into_inner(), &mut entries);
    // The parser sorts by name; people read from top to bottom.
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn flatten<'text>(text: &str, prefix: &str, table: DeTable<'text>, entries: &mut Vec<Entry<'text>>) {
    for (name, value) in table {
        let line = line_of(text, name.span().start);
        let name = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        match value.into_inner() {
            DeValue::Table(table) => flatten(text, &name, table, entries),
            value => entries.push(Entry { name, line, value }),
        }
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}
