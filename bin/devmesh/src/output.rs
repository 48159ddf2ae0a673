//! What people and programs get to see.
//!
//! Data goes to stdout, talk to stderr. Data is a table on a terminal, tab-separated lines in a pipe, and JSON when asked
//! for. Every text that came from a model, a tool or another user passes [`plain`] before a terminal sees it.

mod amount;
mod check;
mod event;
mod exit;
mod failure;
mod patch;
mod plain;
mod progress;
mod shell;
mod table;

pub use amount::{age, bytes, duration_ms, money, tokens_text};
pub use event::{EventView, Seen};
pub use exit::Exit;
pub use failure::{Failure, Result};
pub use patch::write_patch;
pub use plain::{one_line, plain, visible};
pub use progress::{Progress, Stages};
pub use shell::shell_quoted;
pub use table::Table;

use anstyle::{AnsiColor, Style};
use domain::Timestamp;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

pub const GOOD: Style = AnsiColor::Green.on_default();
pub const BAD: Style = AnsiColor::Red.on_default();
pub const CAREFUL: Style = AnsiColor::Yellow.on_default();
pub const FAINT: Style = Style::new().dimmed();
pub const STRONG: Style = Style::new().bold();

/// `text` in `style`; the streams take the style out again where it is not wanted.
pub fn styled(style: Style, text: impl std::fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

/// Characters of a warning, which may quote what a stranger wrote.
pub const WARNING: usize = 600;

/// How this command speaks.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    pub json: bool,
    pub quiet: bool,
    pub stdout_is_terminal: bool,
    pub stderr_is_terminal: bool,
}

impl Output {
    pub fn new(json: bool, quiet: bool, color: Color) -> Self {
        match color {
            Color::Auto => {}
            Color::Always => anstream::ColorChoice::Always.write_global(),
            Color::Never => anstream::ColorChoice::Never.write_global(),
        }
        let (stdout_is_terminal, stderr_is_terminal) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        Self { json, quiet, stdout_is_terminal, stderr_is_terminal }
    }

    /// Data.
    pub fn line(&self, text: impl std::fmt::Display) -> Result<()> {
        let mut stdout = anstream::stdout().lock();
        writeln!(stdout, "{text}")?;
        Ok(stdout.flush()?)
    }

    /// Data without a line end of its own.
    pub fn text(&self, text: &str) -> Result<()> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }

    /// One JSON document on one line.
    pub fn json(&self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value).map_err(io::Error::from)?;
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        stdout.write_all(&line)?;
        Ok(stdout.flush()?)
    }

    /// Data as JSON when that was asked for, else as `human` writes it.
    pub fn show(&self, value: &impl Serialize, human: impl FnOnce() -> String) -> Result<()> {
        if self.json { self.json(value) } else { self.line(human()) }
    }

    pub fn table(&self, table: Table) -> Result<()> {
        self.text(&table.render(self.stdout_is_terminal))
    }

    /// In a row: how long ago for people, exactly for programs.
    pub fn when(&self, then: Timestamp, now: Timestamp) -> String {
        if self.stdout_is_terminal { age(then, now) } else { then.to_string() }
    }

    /// Talk. A closed stderr is nobody's loss.
    pub fn say(&self, text: impl std::fmt::Display) {
        if !self.quiet {
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// What was asked for and is not done. No talk: it is told however quiet the rest is.
    pub fn warn(&self, text: &str) {
        let _ = writeln!(anstream::stderr().lock(), "{} {}", styled(CAREFUL, "warning:"), one_line(text, WARNING));
    }

    /// What went wrong. No talk either.
    pub fn failed(&self, failure: &Failure) {
        let _ = writeln!(anstream::stderr().lock(), "{failure}");
    }

    /// Talk without a line end of its own.
    pub fn say_text(&self, text: &str) {
        if !self.quiet {
            let _ = anstream::stderr().lock().write_all(text.as_bytes());
        }
    }

    /// The next likely command, as the last word of a success.
    pub fn next(&self, command: impl std::fmt::Display) {
        if !self.json {
            self.say(format_args!("{FAINT}next: {command}{FAINT:#}"));
        }
    }

    pub fn progress(&self, what: &str, total_bytes: Option<u64>) -> Progress {
        Progress::new(what, total_bytes, self.stderr_is_terminal && !self.quiet, !self.quiet)
    }
}
