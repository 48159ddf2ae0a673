//! A file on its way: what has come so far, whoever brought it.
//!
//! ```text
//! <cache>/staging/<sha256>.partial     grows at its end; a vendor's server and packages append to the same one
//! <cache>/staging/<sha256>.lock        held while one process works on it; others wait
//! <cache>/models/<sha256>.<extension>  the same file, once all of it is there and its digest is right
//! ```
//! Its length is all that is remembered between two tries: it is written front to back, so what is there is the beginning
//! of the file. A kill leaves it as it is; what a power cut may have left out is found by the digest.

use super::{Progress, Stage, Step, digest_with};
use crate::Error;
use std::fs::{self, File, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What a file must be in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) sha256: String,
    pub(crate) size_bytes: u64,
    pub(crate) extension: String,
}

impl Wanted {
    /// Where it stands when it is whole.
    pub(crate) fn path(&self, cache: &Path) -> PathBuf {
        cache.join("models").join(format!("{}.{}", self.sha256, self.extension))
    }

    pub(crate) fn is_cached(&self, cache: &Path) -> bool {
        self.path(cache).metadata().is_ok_and(|found| found.is_file() && found.len() == self.size_bytes)
    }
}

#[derive(Debug)]
pub(crate) struct Partial {
    wanted: Wanted,
    path: PathBuf,
    file: File,
    length: u64,
    _lock: File,
}

impl Partial {
    /// Goes on with what an earlier try left, once nobody else works on it. `None`: somebody else finished it meanwhile.
    pub(crate) fn open(wanted: &Wanted, cache: &Path, tell: &mut dyn FnMut(Step)) -> Result<Option<Partial>, Error> {
        let staging = staging(cache);
        fs::create_dir_all(&staging).map_err(Error::io(&staging))?;
        let lock = lock(&staging.join(format!("{}.lock", wanted.sha256)), wanted, tell)?;
        if wanted.is_cached(cache) {
            return Ok(None);
        }
        let path = path(wanted, cache);
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let file = opened.map_err(Error::io(&path))?;
        let length = file.metadata().map_err(Error::io(&path))?.len();
        let mut partial = Partial { wanted: wanted.clone(), path, file, length, _lock: lock };
        // Longer than the file can be: not the beginning of it.
        partial.cut(if length > wanted.size_bytes { 0 } else { length })?;
        Ok(Some(partial))
    }

    /// What is there already, of a file nobody may be working on.
    pub(crate) fn length_of(wanted: &Wanted, cache: &Path) -> u64 {
        path(wanted, cache).metadata().map_or(0, |found| found.len().min(wanted.size_bytes))
    }

    pub(crate) fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn is_whole(&self) -> bool {
        self.length == self.wanted.size_bytes
    }

    /// Keeps the first `length` bytes.
    pub(crate) fn cut(&mut self, length: u64) -> Result<(), Error> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
        self.length = cut.map_err(Error::io(&self.path))?;
        Ok(())
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let length = self.length + bytes.len() as u64;
        if length > self.wanted.size_bytes {
            let reason = format!("more came than its {} bytes", self.wanted.size_bytes);
            self.cut(0)?;
            return Err(Error::Corrupt { path: self.path.clone(), reason });
        }
        if let Err(error) = self.file.write_all(bytes) {
            // What of it was written is unknown.
            let _best_effort = self.cut(self.length);
            return Err(Error::io(&self.path)(error));
        }
        self.length = length;
        Ok(())
    }

    /// What has come so far survives a power cut.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }

    /// Reads all of it, compares the digest and gives it its final name. A wrong one is removed.
    pub(crate) fn finish(self, cache: &Path, tell: &mut dyn FnMut(Step)) -> Result<PathBuf, Error> {
        let Partial { wanted, path, file, length, _lock } = self;
        file.sync_all().map_err(Error::io(&path))?;
        let found = digest_with(&path, &mut |done_bytes| {
            tell(Step::At(Progress { stage: Stage::Checking, done_bytes, total_bytes: length }));
        })?;
        if found != wanted.sha256 {
            fs::remove_file(&path).map_err(Error::io(&path))?;
            let action = "it was removed; if fetching again brings the same, its source was changed: do not use it";
            return Err(Error::WrongDigest { path, expected: wanted.sha256, found, action });
        }
        let models = cache.join("models");
        let target = wanted.path(cache);
        fs::create_dir_all(&models).map_err(Error::io(&models))?;
        fs::rename(&path, &target).map_err(Error::io(&target))?;
        // The rename itself reaches the disk.
        File::open(&models).and_then(|folder| folder.sync_all()).map_err(Error::io(&models))?;
        Ok(target)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Discarded {
    Nothing,
    Something,
    /// Nothing either: somebody works on it.
    Busy,
}

/// Removes what an unfinished fetch left.
pub(crate) fn discard(wanted: &Wanted, cache: &Path) -> Result<Discarded, Error> {
    let lock = staging(cache).join(format!("{}.lock", wanted.sha256));
    let held = match File::options().write(true).open(&lock) {
        Ok(file) => file,
        // Nobody ever worked on it.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Discarded::Nothing),
        Err(error) => return Err(Error::io(&lock)(error)),
    };
    match held.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Discarded::Busy),
        Err(TryLockError::Error(error)) => return Err(Error::io(&lock)(error)),
    }
    let path = path(wanted, cache);
    match fs::remove_file(&path) {
        Ok(()) => Ok(Discarded::Something),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Discarded::Nothing),
        Err(error) => Err(Error::io(&path)(error)),
    }
}

pub(crate) fn staging(cache: &Path) -> PathBuf {
    cache.join("staging")
}

fn path(wanted: &Wanted, cache: &Path) -> PathBuf {
    staging(cache).join(format!("{}.partial", wanted.sha256))
}

/// The file of a lock stays for ever: whoever waits for it must not find another one in its place.
fn lock(path: &Path, wanted: &Wanted, tell: &mut dyn FnMut(Step)) -> Result<File, Error> {
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(Error::io(path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            tell(Step::At(Progress { stage: Stage::Waiting, done_bytes: 0, total_bytes: wanted.size_bytes }));
            // The kernel lets go of the lock when its holder ends, however it ends.
            file.lock().map_err(Error::io(path))?;
        }
        Err(TryLockError::Error(error)) => return Err(Error::io(path)(error)),
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};
    use tempfile::TempDir;

    const TEXT: &[u8] = b"a model, or what is taken for one";

    fn wanted() -> Wanted {
        let sha256 = hex::encode(Sha256::digest(TEXT));
        Wanted { sha256, size_bytes: TEXT.len() as u64, extension: "gguf".into() }
    }

    fn open(cache: &Path) -> Partial {
        Partial::open(&wanted(), cache, &mut |_| {}).unwrap().unwrap()
    }

    #[test]
    fn what_came_is_gone_on_with_and_only_a_whole_file_gets_the_final_name() {
        let cache = TempDir::new().unwrap();
        for (at, pieces) in TEXT.chunks(10).enumerate() {
            let mut partial = open(cache.path());
            assert_eq!(partial.length(), at as u64 * 10);
            assert!(!wanted().path(cache.path()).exists());
            partial.append(pieces).unwrap();
        }
        let path = open(cache.path()).finish(cache.path(), &mut |_| {}).unwrap();
        assert_eq!(fs::read(&path).unwrap(), TEXT);
        assert!(Partial::open(&wanted(), cache.path(), &mut |_| {}).unwrap().is_none(), "it is there");
    }

    #[test]
    fn what_is_too_long_or_wrong_is_thrown_away() {
        let cache = TempDir::new().unwrap();
        let mut partial = open(cache.path());
        partial.append(TEXT).unwrap();
        assert!(partial.append(b"!").unwrap_err().to_string().contains("more came"));
        assert_eq!(partial.length(), 0);
        partial.append(&TEXT.to_ascii_uppercase()).unwrap();
        let error = partial.finish(cache.path(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
        assert_eq!(open(cache.path()).length(), 0, "the next try begins anew");
    }

    #[test]
    fn what_somebody_works_on_is_not_discarded() {
        let cache = TempDir::new().unwrap();
        assert_eq!(discard(&wanted(), cache.path()).unwrap(), Discarded::Nothing);
        let mut partial = open(cache.path());
        partial.append(TEXT).unwrap();
        assert_eq!(discard(&wanted(), cache.path()).unwrap(), Discarded::Busy);
        assert_eq!(Partial::length_of(&wanted(), cache.path()), TEXT.len() as u64);
        drop(partial);
        assert_eq!(discard(&wanted(), cache.path()).unwrap(), Discarded::Something);
        assert_eq!(Partial::length_of(&wanted(), cache.path()), 0);
    }
}
