//! One exercise: a small repository, a task in a person's words, and the tests that tell whether it is done.
//!
//! ```text
//! bench/exercises/<name>/task.md          what the tools are told
//!                       /exercise.toml    the rest, see `Description`
//!                       /repository/      what the tools get
//!                       /hidden/          more tests, laid over it for the verdict
//!                       /solution/        files of one way to do it, for the proof that it can be done
//! ```

#[cfg(test)]
mod tests;

use super::files;
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/exercises");

pub struct Exercise {
    pub name: String,
    pub task: String,
    pub about: Description,
    folder: PathBuf,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    pub language: Language,
    pub kind: Kind,
    /// From 1, one line of one file, to 3, what wants reading several files.
    pub level: u8,
    /// The command that fails before the work and passes after it, for `sh -c` in the repository.
    pub test: String,
    /// The same of the hidden tests, once they lie over the repository.
    pub hidden_test: String,
    /// Files of the repository that the work is about. All others are put back before the verdict.
    pub editable: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    C,
    Go,
    Javascript,
    Python,
    Rust,
    Shell,
}

impl Language {
    /// What its tests run with.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Self::C => &["cc", "make"],
            Self::Go => &["go"],
            Self::Javascript => &["node"],
            Self::Python => &["python3"],
            Self::Rust => &["cargo"],
            Self::Shell => &["sh"],
        }
    }
}

/// What makes it hard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    OneFile,
    TwoFiles,
    /// The mistake is some calls away from what fails.
    Deep,
    Feature,
    Refactor,
    /// The failing test is named after something that is right.
    MisleadingTestName,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneFile => "one file",
            Self::TwoFiles => "two files",
            Self::Deep => "deep",
            Self::Feature => "feature",
            Self::Refactor => "refactor",
            Self::MisleadingTestName => "misleading name",
        })
    }
}

impl Exercise {
    /// Those whose names begin with one of these, by their names; with none of these all of them.
    pub fn named(beginnings: &[String]) -> Result<Vec<Self>> {
        let mut folders: Vec<PathBuf> = fs::read_dir(FOLDER)
            .with_context(|| format!("cannot read {FOLDER}"))?
            .filter_map(|entry| Some(entry.ok()?.path()).filter(|path| path.is_dir()))
            .collect();
        folders.sort();
        let all = folders.iter().map(|folder| Self::read(folder)).collect::<Result<Vec<_>>>()?;
        if let Some(unknown) = beginnings.iter().find(|begin| !all.iter().any(|one| one.name.starts_with(*begin))) {
            let known: Vec<_> = all.iter().map(|exercise| exercise.name.as_str()).collect();
            bail!("there is no exercise `{unknown}`; there are {}", known.join(", "));
        }
        let is_wanted =
            |one: &Self| beginnings.is_empty() || beginnings.iter().any(|begin| one.name.starts_with(begin));
        Ok(all.into_iter().filter(is_wanted).collect())
    }

    fn read(folder: &Path) -> Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = |file: &str| {
            fs::read_to_string(folder.join(file)).with_context(|| format!("exercise {name}: cannot read {file}"))
        };
        let about = toml::from_str(&text("exercise.toml")?).with_context(|| format!("exercise {name}"))?;
        let task = text("task.md")?.trim().to_owned();
        ensure!(!task.is_empty(), "exercise {name}: task.md is empty");
        Ok(Self { task, about, folder: folder.into(), name })
    }

    /// The repository as the tools get it.
    pub fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    pub fn hidden(&self) -> PathBuf {
        self.folder.join("hidden")
    }

    /// A program that its tests need and that is not there.
    pub fn missing_program(&self) -> Option<&'static str> {
        self.about.language.programs().iter().copied().find(|program| files::in_path(program).is_none())
    }
}
