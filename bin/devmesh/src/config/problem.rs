//! What is wrong with the configuration: all of it.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// A file with its line, a variable or a flag.
    place: String,
    detail: String,
}

/// Mistakes stop the program before anything is opened. Warnings are of what it does not listen to and starts without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    mistakes: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// Warnings shown at once. A file that somebody else wrote may hold a hundred thousand.
const SHOWN: usize = 20;

impl Problems {
    pub fn add(&mut self, place: impl fmt::Display, detail: impl Into<String>) {
        self.mistakes.push(Problem { place: place.to_string(), detail: detail.into() });
    }

    pub fn warn(&mut self, place: impl fmt::Display, detail: impl Into<String>) {
        self.warnings.push(Problem { place: place.to_string(), detail: detail.into() });
    }

    /// Takes over what was found elsewhere, as something that stops nothing.
    pub fn warn_of(&mut self, other: Self) {
        self.warnings.extend(other.mistakes);
        self.warnings.extend(other.warnings);
    }

    /// One line each, the first [`SHOWN`] of them.
    pub fn warnings(&self) -> Vec<String> {
        let mut shown: Vec<String> =
            self.warnings.iter().take(SHOWN).map(|Problem { place, detail }| format!("{place}: {detail}")).collect();
        if let Some(more) = self.warnings.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            shown.push(format!("{more} more like these"));
        }
        shown
    }

    /// The outcome, unless there is a mistake.
    pub fn none_or<T>(self, outcome: T) -> Result<T, Self> {
        if self.mistakes.is_empty() { Ok(outcome) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => writeln!(f, "the configuration has a mistake")?,
            count => writeln!(f, "the configuration has {count} mistakes")?,
        }
        for (index, Problem { place, detail }) in self.mistakes.iter().enumerate() {
            let end = if index + 1 == self.mistakes.len() { "" } else { "\n" };
            write!(f, "  {place}: {detail}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
