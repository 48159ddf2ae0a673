//! The folders content lies in, by the first two digits of its digest, and which of them a power cut leaves there.

use crate::{Error, folder::sync_folder};
use std::{
    fs::DirBuilder,
    io::ErrorKind,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// How many there are at most.
const SHARDS: usize = 256;

/// Which of the folders are known to be on disk.
pub(super) struct Shards(Mutex<[bool; SHARDS]>);

impl Shards {
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        // A process that died may have made some of them and not come to this.
        sync_folder(folder)?;
        let mut durable = [false; SHARDS];
        for (number, durable) in durable.iter_mut().enumerate() {
            *durable = folder.join(name(number)).is_dir();
        }
        Ok(Self(Mutex::new(durable)))
    }

    /// Where content with this digest goes. Made, and on disk, when this returns: also for those who did not make it.
    pub(super) fn folder(&self, folder: &Path, sha256: &str) -> Result<PathBuf, Error> {
        let number = usize::from_str_radix(&sha256[..2], 16).map_err(|_| Error::NotADigest(sha256.to_owned()))?;
        let shard = folder.join(name(number));
        let mut durable = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may have removed it since.
        if !durable[number] || !shard.is_dir() {
            match DirBuilder::new().mode(0o700).create(&shard) {
                // By somebody who failed to bring it to disk.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.map_err(Error::written(&shard, "created"))?,
            }
            sync_folder(folder)?;
            durable[number] = true;
        }
        Ok(shard)
    }
}

pub(super) fn name(number: usize) -> String {
    format!("{number:02x}")
}

/// Of every folder there may be.
pub(super) fn names() -> impl Iterator<Item = String> {
    (0..SHARDS).map(name)
}
