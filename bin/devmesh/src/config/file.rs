//! A configuration file as a flat list of keys with the lines they stand on.

use super::{
    Problems,
    regular_file::{self, Identity},
};
use std::{io::ErrorKind, path::Path};
use toml::de::{DeTable, DeValue};

/// Largest configuration file, in bytes.
pub const LARGEST: u64 = 1024 * 1024;
/// Largest one in a working folder, in bytes: there is little to say in it, and anybody can have written it.
pub const LARGEST_IN_WORKING_FOLDER: u64 = 64 * 1024;

pub struct Entry<'text> {
    pub name: String,
    pub line: usize,
    pub value: DeValue<'text>,
}

/// The text and which file it is, or `None` when there is no such file.
pub fn read(path: &Path, largest: u64, problems: &mut Problems) -> Option<(String, Identity)> {
    match regular_file::read(path, largest) {
        Ok(read) => Some(read),
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
    let lines = Lines::of(text);
    for error in errors {
        let line = error.span().map_or(1, |span| lines.line(span.start));
        problems.add(format_args!("{}:{line}", path.display()), error.message().to_owned());
    }
    let mut entries = Vec::new();
    flatten(&lines, "", table.into_inner(), &mut entries);
    // The parser sorts by name; people read from top to bottom.
    entries.sort_by_key(|entry| entry.line);
    entries
}

fn flatten<'text>(lines: &Lines, prefix: &str, table: DeTable<'text>, entries: &mut Vec<Entry<'text>>) {
    for (name, value) in table {
        let line = lines.line(name.span().start);
        let name = if prefix.is_empty() { name.get_ref().to_string() } else { format!("{prefix}.{}", name.get_ref()) };
        match value.into_inner() {
            DeValue::Table(table) => flatten(lines, &name, table, entries),
            value => entries.push(Entry { name, line, value }),
        }
    }
}

/// Where lines end. Looked up, not counted anew for each entry: a stranger's file may have very many.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect())
    }

    fn line(&self, offset: usize) -> usize {
        self.0.partition_point(|end| *end < offset) + 1
    }
}
