//! Rows: drawn for people, tab-separated for programs.

use super::one_line;
use comfy_table::{ColumnConstraint, ContentArrangement, presets};

/// Columns a terminal has at least, in characters.
const NARROWEST: u16 = 40;
const USUAL_WIDTH: u16 = 100;

#[derive(Debug)]
pub struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: impl Into<Vec<&'static str>>) -> Self {
        Self { header: header.into(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// In a pipe there is no header and no cell is shortened.
    pub fn render(&self, for_terminal: bool) -> String {
        if !for_terminal {
            let lines = self
                .rows
                .iter()
                .map(|row| row.iter().map(|cell| one_line(cell, usize::MAX)).collect::<Vec<_>>().join("\t"));
            return lines.map(|line| line + "\n").collect();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(&self.header);
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| one_line(cell, 200)));
        }
        // A terminal that tells no sensible width would get a letter per line.
        if table.width().is_none_or(|width| width < NARROWEST) {
            table.set_width(USUAL_WIDTH);
        }
        // Ids and words of one column stay whole; the last column is the one with sentences.
        let last = table.column_count().saturating_sub(1);
        for column in table.column_iter_mut().take(last) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        let lines = table.to_string();
        // Of the space around cells none is left at either edge, and what wraps stays under its column.
        lines.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(line).trim_end())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(["ID", "TASK"]);
        table.row(["019a2b3c-0000".into(), "word ".repeat(40)]);
        table.row(["019a2b3c-0001".into(), "a\tb\nc\u{1b}[2J".into()]);
        table
    }

    #[test]
    fn people_get_columns_that_keep_ids_whole() {
        let text = table().render(true);
        assert!(text.starts_with("ID             TASK\n"), "{text}");
        assert!(text.lines().count() > 3, "long sentences wrap: {text}");
        assert!(text.lines().nth(2).unwrap().starts_with("               word"), "under their column: {text}");
        assert_eq!(text.matches("019a2b3c-000").count(), 2, "{text}");
    }

    #[test]
    fn programs_get_one_line_per_row_and_one_tab_per_column() {
        let text = table().render(false);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], "019a2b3c-0001\ta b c");
        assert_eq!(lines[0].matches('\t').count(), 1);
    }
}
