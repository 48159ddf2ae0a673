//! What the last look at a tree saw, so that the next one need not read what did not change. A file beside the agent's
//! repository; when it is lost or makes no sense, everything is read again.

use super::{
    Error,
    folder::{Kind, Look},
};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Clocks of file systems tick this often at the slowest, in nanoseconds.
const TICK: i64 = 20_000_000;

/// One file or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub mode: Mode,
    pub bytes: u64,
    pub modified: i64,
    pub changed: i64,
    pub inode: u64,
}

/// As git writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    File,
    Executable,
    Link,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Link => "120000",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::File, Self::Executable, Self::Link].into_iter().find(|mode| mode.as_str() == text)
    }
}

impl Entry {
    pub fn of(look: &Look) -> Self {
        let mode = match (look.kind, look.is_executable) {
            (Kind::Link, _) => Mode::Link,
            (_, true) => Mode::Executable,
            (_, false) => Mode::File,
        };
        Self { mode, bytes: look.bytes, modified: look.modified, changed: look.changed, inode: look.inode }
    }

    /// A file of which nothing but its name is known. No file has these times, so it is read.
    pub fn unseen(mode: Mode) -> Self {
        Self { mode, bytes: 0, modified: i64::MAX, changed: i64::MAX, inode: 0 }
    }

    pub fn is_unseen(&self) -> bool {
        self.changed == i64::MAX
    }
}

#[derive(Debug, Default)]
pub(super) struct Known {
    /// The commit that holds exactly this.
    pub commit: String,
    /// When the look began, by the file system's clock.
    pub at: i64,
    pub entries: BTreeMap<Vec<u8>, Entry>,
}

impl Known {
    fn file(git: &Path) -> PathBuf {
        git.join("seen")
    }

    /// What is known of the tree that belongs to the repository `git`; nothing when that is not about `commit`.
    pub fn load(git: &Path, commit: &str) -> Self {
        let read = fs::read(Self::file(git)).ok().and_then(|bytes| Self::parse(&bytes));
        read.filter(|known| known.commit == commit).unwrap_or_default()
    }

    pub fn save(&self, git: &Path) -> Result<(), Error> {
        let file = Self::file(git);
        let beside = file.with_extension("new");
        let saved = fs::write(&beside, self.written()).and_then(|()| fs::rename(&beside, &file));
        saved.map_err(Error::doing("remembering what the tree holds"))
    }

    /// Whether a file that still looks like this cannot have other content.
    pub fn is_settled(&self, entry: &Entry) -> bool {
        entry.changed < self.at - TICK
    }

    /// The time by the clock that stamps files in `folder`.
    pub fn now(folder: &Path) -> io::Result<i64> {
        let file = folder.join("now");
        fs::write(&file, [])?;
        let modified = fs::metadata(&file)?.modified()?;
        let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }

    fn written(&self) -> Vec<u8> {
        let mut bytes = format!("{} {}\0", self.commit, self.at).into_bytes();
        for (path, entry) in &self.entries {
            let Entry { mode, bytes: length, modified, changed, inode } = entry;
            bytes.extend_from_slice(format!("{} {length} {modified} {changed} {inode} ", mode.as_str()).as_bytes());
            bytes.extend_from_slice(path);
            bytes.push(0);
        }
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut parts = super::git::zero_separated(bytes);
        let head = std::str::from_utf8(parts.next()?).ok()?;
        let (commit, at) = head.split_once(' ')?;
        let mut known = Self { commit: commit.to_owned(), at: at.parse().ok()?, entries: BTreeMap::new() };
        for part in parts {
            let mut fields = part.splitn(6, |byte| *byte == b' ');
            let mut text = || std::str::from_utf8(fields.next()?).ok();
            let entry = Entry {
                mode: Mode::parse(text()?)?,
                bytes: text()?.parse().ok()?,
                modified: text()?.parse().ok()?,
                changed: text()?.parse().ok()?,
                inode: text()?.parse().ok()?,
            };
            known.entries.insert(fields.next()?.to_vec(), entry);
        }
        Some(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let entry =
            Entry { mode: Mode::Executable, bytes: 7, modified: -1, changed: 1_700_000_000_123_456_789, inode: 9 };
        let mut known = Known { commit: "a".repeat(40), at: 5, entries: BTreeMap::new() };
        known.entries.insert(b"with space\n\xff/x".to_vec(), entry);
        known.entries.insert(b" lead".to_vec(), Entry { mode: Mode::Link, ..entry });
        let again = Known::parse(&known.written()).unwrap();
        assert_eq!((again.commit, again.at, again.entries), (known.commit, known.at, known.entries));
        for garbage in [&b""[..], b"x", b"a 1\x00100644 1 2", b"\xff \0"] {
            assert!(Known::parse(garbage).is_none(), "{garbage:?}");
        }
    }
}
