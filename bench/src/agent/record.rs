//! What became of one run, a line of JSON each.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

/// What makes a run the same one as another, so that it is not run again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    pub model: String,
    pub wall_seconds: u64,
    pub tool: String,
    pub exercise: String,
    /// From 1.
    pub run: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    #[serde(flatten)]
    pub key: Key,
    pub tool_version: String,
    /// Both tests pass.
    pub solved: bool,
    pub visible_test: bool,
    pub hidden_test: bool,
    /// It said that it was done, or gave up, before its time was over.
    pub ended_by_itself: bool,
    pub exit_code: Option<i32>,
    pub seconds: f64,
    /// As the gateway counted them, with those of answers that were cut short where it knows them.
    #[serde(flatten)]
    pub tokens: Tokens,
    /// Of devmesh: how its job ended, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    pub model_calls: u64,
    pub tokens_in: u64,
    pub tokens_out: u64,
}

impl Record {
    /// What is said of it when it is over.
    pub fn line(&self) -> String {
        let verdict = match (self.solved, self.visible_test) {
            (true, _) => "solved",
            (false, true) => "overfitted",
            (false, false) => "not solved",
        };
        let end = if self.ended_by_itself { "ended" } else { "stopped" };
        let Tokens { model_calls, tokens_in, tokens_out } = self.tokens;
        let reason = self.reason.as_ref().or(self.state.as_ref()).map(|reason| format!("  {reason}"));
        format!(
            "{verdict:<10} {end:<8} {:>5.0} s  {model_calls:>3} calls  {tokens_in:>7} in  {tokens_out:>6} out{}",
            self.seconds,
            reason.unwrap_or_default()
        )
    }
}

/// All runs of a folder, written down one by one.
pub struct Results {
    path: PathBuf,
    records: Vec<Record>,
    known: HashSet<Key>,
}

impl Results {
    pub fn open(path: &Path) -> Result<Self> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let mut records: Vec<Record> = Vec::new();
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let record = serde_json::from_str(line);
            records.push(record.with_context(|| {
                format!("{}:{}: not a run's record; delete the line to run it again", path.display(), number + 1)
            })?);
        }
        let known = records.iter().map(|record| record.key.clone()).collect();
        Ok(Self { path: path.into(), records, known })
    }

    pub fn has(&self, key: &Key) -> bool {
        self.known.contains(key)
    }

    pub fn add(&mut self, record: Record) -> Result<()> {
        let mut file = File::options().append(true).create(true).open(&self.path)?;
        let written = file.write_all(format!("{}\n", serde_json::to_string(&record)?).as_bytes());
        written.with_context(|| format!("cannot write {}", self.path.display()))?;
        self.known.insert(record.key.clone());
        self.records.push(record);
        Ok(())
    }

    /// Those with this model and this wall time: others do not compare.
    pub fn of(&self, model: &str, wall_seconds: u64) -> Vec<Record> {
        let compares = |record: &&Record| record.key.model == model && record.key.wall_seconds == wall_seconds;
        self.records.iter().filter(compares).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_down_is_known_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let key = Key {
            model: "embedded/m".into(),
            wall_seconds: 300,
            tool: "pi".into(),
            exercise: "go-visits".into(),
            run: 2,
        };
        let record = Record {
            key: key.clone(),
            tool_version: "1".into(),
            solved: false,
            visible_test: true,
            hidden_test: false,
            ended_by_itself: true,
            exit_code: Some(0),
            seconds: 12.5,
            tokens: Tokens { model_calls: 3, tokens_in: 1_000, tokens_out: 20 },
            state: None,
            reason: None,
            message: None,
        };
        let mut results = Results::open(&path).unwrap();
        assert!(!results.has(&key));
        results.add(record.clone()).unwrap();
        let again = Results::open(&path).unwrap();
        assert!(again.has(&key) && !again.has(&Key { run: 3, ..key }));
        assert_eq!(again.of("embedded/m", 300), [record]);
        assert_eq!(again.of("embedded/m", 60), []);

        fs::write(&path, "{\"cut\":\n").unwrap();
        let error = Results::open(&path).err().unwrap();
        assert!(error.to_string().contains("results.jsonl:1: not a run's record"), "{error}");
    }
}
