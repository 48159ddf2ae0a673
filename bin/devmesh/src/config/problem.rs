//! What is wrong with the configuration: all of it.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// A file with its line, a variable or a flag.
    place: String,
    detail: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    pub fn add(&mut self, place: impl fmt::Display, detail: impl Into<String>) {
        self.0.push(Problem { place: place.to_string(), detail: detail.into() });
    }

    pub fn none_or<T>(self, outcome: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(outcome) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => writeln!(f, "the configuration has a mistake")?,
            count => writeln!(f, "the configuration has {count} mistakes")?,
        }
        for (index, Problem { place, detail }) in self.0.iter().enumerate() {
            let end = if index + 1 == self.0.len() { "" } else { "\n" };
            write!(f, "  {place}: {detail}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
