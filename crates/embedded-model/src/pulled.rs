//! Models that were fetched by a reference and are in no bill of materials: what is remembered of each.
//!
//! ```text
//! <cache>/pulled/<name>.json     one file a model, so that two fetches never write the same
//! <cache>/models/<sha256>.gguf   what it is about; several names may share one
//! ```

use crate::Error;
use crate::fetch::{self, Wanted};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pulled {
    pub name: String,
    /// `ollama:NAME:TAG` or `hf:OWNER/REPOSITORY/FILE.gguf`.
    pub source: String,
    pub sha256: String,
    pub size_bytes: u64,
    /// As its source states it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// Ollama's own prompt template, in Go's syntax. The engine uses the one in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<serde_json::Value>,
    /// What belongs to the model and the engine does not apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored_layers: Vec<String>,
}

impl Pulled {
    pub(crate) fn wanted(&self) -> Wanted {
        Wanted { sha256: self.sha256.clone(), size_bytes: self.size_bytes, extension: "gguf".into() }
    }

    /// Where the weights stand.
    pub fn path(&self, cache: &Path) -> PathBuf {
        self.wanted().path(cache)
    }
}

/// Records are a few kilobytes, a template at most.
const MAX_RECORD_BYTES: u64 = 4 * 1024 * 1024;
/// Of a name, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Every record whose weights are there, by name.
pub fn list(cache: &Path) -> Vec<Pulled> {
    let entries = fs::read_dir(folder(cache)).into_iter().flatten().filter_map(Result::ok);
    let records = entries.filter_map(|entry| read(&entry.path()));
    let mut records: Vec<Pulled> = records.filter(|record| record.wanted().is_cached(cache)).collect();
    records.sort_by(|one, other| one.name.cmp(&other.name));
    records
}

pub fn find(cache: &Path, name: &str) -> Option<Pulled> {
    find_begun(cache, name).filter(|record| record.wanted().is_cached(cache))
}

/// Also one whose weights did not come, or not in full.
pub fn find_begun(cache: &Path, name: &str) -> Option<Pulled> {
    read(&record_path(cache, name)).filter(|record| record.name == name)
}

/// What became of the weights when a name was removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    WithFile,
    /// The file is also this model's.
    Shared(String),
}

/// Forgets a name, and removes its weights, whole or not, unless another one leads to them.
pub fn remove(cache: &Path, record: &Pulled) -> Result<Removed, Error> {
    fetch::discard_unfinished_pull(record, cache)?;
    let others = list(cache).into_iter().filter(|other| other.name != record.name);
    let pulled = others.filter(|other| other.sha256 == record.sha256).map(|other| other.name).next();
    let listed =
        crate::bill::entries().iter().find(|entry| entry.files.iter().any(|file| file.sha256 == record.sha256));
    let shared = pulled.or_else(|| listed.map(|entry| entry.name.clone()));
    let path = record_path(cache, &record.name);
    fs::remove_file(&path).or_else(fetch::ignore_missing).map_err(Error::io(&path))?;
    if let Some(other) = shared {
        return Ok(Removed::Shared(other));
    }
    let weights = record.path(cache);
    fs::remove_file(&weights).or_else(fetch::ignore_missing).map_err(Error::io(&weights))?;
    Ok(Removed::WithFile)
}

/// Whether the name can be given to what comes from `source`.
pub(crate) fn check_name(cache: &Path, name: &str, source: &str) -> Result<(), Error> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "._-:/".contains(character);
    let is_good = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.chars().all(fits);
    if !is_good {
        return Err(Error::Name { name: name.to_owned() });
    }
    let there = find(cache, name).map(|record| record.source).filter(|there| there != source);
    let listed = || crate::bill::entry(name).ok().map(|_| "the bill of materials".to_owned());
    match there.or_else(listed) {
        Some(source_there) => Err(Error::NameTaken { name: name.to_owned(), source_there }),
        None => Ok(()),
    }
}

pub(crate) fn write(cache: &Path, record: &Pulled) -> Result<(), Error> {
    let folder = folder(cache);
    fs::create_dir_all(&folder).map_err(Error::io(&folder))?;
    let path = record_path(cache, &record.name);
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let text = serde_json::to_vec_pretty(record).map_err(|error| Error::Inference(error.to_string()))?;
    let written = fs::File::create(&aside).and_then(|mut file| {
        file.write_all(&text)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&aside, &path)).map_err(Error::io(&path))
}

fn read(path: &Path) -> Option<Pulled> {
    let is_record = path.extension().is_some_and(|extension| extension == "json");
    if !is_record || fs::metadata(path).ok()?.len() > MAX_RECORD_BYTES {
        return None;
    }
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn folder(cache: &Path) -> PathBuf {
    cache.join("pulled")
}

/// No name has a `+`, so no two names share a file.
fn record_path(cache: &Path, name: &str) -> PathBuf {
    folder(cache).join(format!("{}.json", name.replace('/', "+")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    fn record(name: &str, sha256: &str) -> Pulled {
        Pulled {
            name: name.into(),
            source: format!("ollama:{name}"),
            sha256: sha256.into(),
            size_bytes: 5,
            licence: Some("MIT".into()),
            template: None,
            parameters: None,
            ignored_layers: Vec::new(),
        }
    }

    fn put(cache: &Path, record: &Pulled) {
        fs::create_dir_all(cache.join("models")).unwrap();
        fs::write(record.path(cache), b"bytes").unwrap();
        write(cache, record).unwrap();
    }

    #[test]
    fn records_are_found_by_name_and_a_shared_file_stays() {
        let cache = TempDir::new().unwrap();
        let cache = cache.path();
        let (one, two) = (record("someone/m:1b", &"1".repeat(64)), record("m.2", &"1".repeat(64)));
        put(cache, &one);
        put(cache, &two);
        let begun = record("begun", &"2".repeat(64));
        write(cache, &begun).unwrap();
        assert_eq!(list(cache), [two.clone(), one.clone()]);
        assert_eq!(find(cache, "someone/m:1b"), Some(one.clone()));

        assert_eq!(remove(cache, &one).unwrap(), Removed::Shared("m.2".into()));
        assert!(two.path(cache).exists() && find(cache, "someone/m:1b").is_none());
        assert_eq!(remove(cache, &two).unwrap(), Removed::WithFile);
        assert!(!two.path(cache).exists() && list(cache).is_empty());

        assert_eq!((find(cache, "begun"), find_begun(cache, "begun")), (None, Some(begun.clone())));
        remove(cache, &begun).unwrap();
        assert_eq!(find_begun(cache, "begun"), None);
    }

    #[test]
    fn a_name_means_one_source() {
        let cache = TempDir::new().unwrap();
        let cache = cache.path();
        put(cache, &record("m", &"1".repeat(64)));
        check_name(cache, "m", "ollama:m").unwrap();
        check_name(cache, "other", "hf:a/b/other.gguf").unwrap();
        let taken = check_name(cache, "m", "hf:a/b/m.gguf").unwrap_err().to_string();
        assert!(taken.contains("ollama:m") && taken.contains("--name"), "{taken}");
        assert!(check_name(cache, "gemma3-270m", "hf:a/b/gemma3-270m.gguf").is_err(), "the bill's names are taken");
        for name in ["", "a b", "a+b", "ü"] {
            assert!(matches!(check_name(cache, name, "x"), Err(Error::Name { .. })), "{name}");
        }
    }
}
