//! Rows: drawn for people, tab-separated for programs.

use super::one_line;
use comfy_table::{ContentArrangement, presets};

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
        let lines = table.to_string();
        lines.lines().map(|line| format!("{}\n", line.trim())).collect()
    }
}
