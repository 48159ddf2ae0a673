//! What became of stored content.

use super::opening::open;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    fs::{File, Metadata},
    io::{self, Read},
    path::Path,
};

/// Bytes read at once.
const CHUNK: usize = 128 * 1024;

/// How stored content is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    Whole,
    Missing,
    /// It is not what was stored, or cannot be read. How that shows.
    Damaged(String),
}

impl Condition {
    pub fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// Whether it is there in its full length.
    pub(crate) fn at_a_glance(path: &Path, bytes: u64) -> Self {
        match std::fs::symlink_metadata(path) {
            Ok(metadata) => Self::of_metadata(&metadata, bytes),
            Err(error) => Self::unread(&error),
        }
    }

    /// Reads all of it.
    pub(crate) fn of(path: &Path, sha256: &str, bytes: u64) -> Self {
        let file = match open(path, bytes) {
            Ok(file) => file,
            Err(condition) => return condition,
        };
        match digest_of(file) {
            Ok(found) if found == sha256 => Self::Whole,
            Ok(found) => Self::changed(&found),
            Err(error) => Self::unread(&error),
        }
    }

    pub(crate) fn changed(found: &str) -> Self {
        Self::Damaged(format!("its SHA-256 is {found} now"))
    }

    pub(crate) fn unread(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            _ => Self::Damaged(format!("it cannot be read: {error}")),
        }
    }

    pub(super) fn of_metadata(metadata: &Metadata, bytes: u64) -> Self {
        match metadata.is_file() {
            true => Self::of_length(metadata.len(), bytes),
            false => Self::Damaged("it is no file".to_owned()),
        }
    }

    fn of_length(found: u64, bytes: u64) -> Self {
        match found == bytes {
            true => Self::Whole,
            false => Self::Damaged(format!("it has {found} bytes instead of {bytes}")),
        }
    }
}

fn digest_of(mut file: File) -> io::Result<String> {
    let (mut digest, mut buffer) = (Sha256::new(), vec![0; CHUNK]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&buffer[..read]),
        }
    }
}

/// After "the content" or "it".
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Missing => f.write_str("missing"),
            Self::Damaged(how) => write!(f, "damaged ({how})"),
        }
    }
}
