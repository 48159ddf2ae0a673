//! Making a data folder out of a backup.

use super::{FORMAT, MANIFEST, Manifest, blob_name};
use domain::{Epoch, Timestamp};
use sha2::{Digest, Sha256};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// Bytes of a manifest; it has about 150.
const MANIFEST_BYTES: u64 = 64 * 1024;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub created_at: Timestamp,
    /// The build that wrote the backup.
    pub version: String,
    pub artifacts: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// Not a backup, or one somebody tampered with.
    #[error("the archive holds `{0}`, which no backup of devmesh does; nothing was restored")]
    UnknownEntry(String),
    #[error("`{0}` in the archive is not what was backed up; nothing was restored. Use another copy of the backup")]
    Damaged(String),
    #[error("the archive ends before its manifest: it was cut while it was made or copied; nothing was restored")]
    Incomplete,
    #[error(
        "the archive has format {found} and this build reads format {known}; use the build that wrote it, or a newer one"
    )]
    Newer { found: u32, known: u32 },
    #[error("the archive could not be read or unpacked: {0}")]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Unpacks an archive into `folder`, which must be empty or absent, under a new epoch: cursors from before are answered
/// with a reset. All of the archive is read and checked before any of it counts.
pub fn restore(archive: impl Read, folder: &Path, epoch: Epoch) -> Result<Restored, RestoreError> {
    let staging = Staging::begin(folder)?;
    let manifest = unpack(archive, &staging.0)?;
    // Refuses a folder that holds anything else.
    store::restore(&staging.0.join(store::DATABASE_FILE), folder, epoch)?;
    let (blobs, place) = (staging.0.join(store::BLOB_FOLDER), folder.join(store::BLOB_FOLDER));
    std::fs::rename(blobs, place)?;
    File::open(folder)?.sync_all()?;
    Ok(Restored { created_at: manifest.created_at, version: manifest.version, artifacts: manifest.blobs })
}

/// Lies inside the folder, so that it is on the same file system and also works where only that one is writable.
struct Staging(PathBuf);

impl Staging {
    fn begin(folder: &Path) -> io::Result<Self> {
        let path = folder.join(store::RESTORING_FOLDER);
        if path.exists() {
            std::fs::remove_dir_all(&path)?;
        }
        DirBuilder::new().recursive(true).mode(0o700).create(path.join(store::BLOB_FOLDER))?;
        Ok(Self(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next try.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unpack(archive: impl Read, staging: &Path) -> Result<Manifest, RestoreError> {
    let mut archive = tar::Archive::new(archive);
    let (mut database_bytes, mut blobs) = (None, 0);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let unknown = || RestoreError::UnknownEntry(name.chars().take(128).collect());
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(unknown());
        }
        // Names are compared with the ones we write and never joined to a path as they come.
        if name == store::DATABASE_FILE && database_bytes.is_none() {
            database_bytes = Some(write(&mut entry, &staging.join(store::DATABASE_FILE))?.1);
        } else if let Some(sha256) = digest_of(&name) {
            let file = staging.join(blob_name(sha256));
            if let Some(folder) = file.parent() {
                DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            }
            if write(&mut entry, &file)?.0 != sha256 {
                return Err(RestoreError::Damaged(name));
            }
            blobs += 1;
        } else if name == MANIFEST {
            let mut text = String::new();
            entry.take(MANIFEST_BYTES).read_to_string(&mut text)?;
            let manifest: Manifest = serde_json::from_str(&text).map_err(|_| RestoreError::Damaged(name))?;
            return check(manifest, database_bytes, blobs);
        } else {
            return Err(unknown());
        }
    }
    Err(RestoreError::Incomplete)
}

fn check(manifest: Manifest, database_bytes: Option<u64>, blobs: u64) -> Result<Manifest, RestoreError> {
    if manifest.format > FORMAT {
        return Err(RestoreError::Newer { found: manifest.format, known: FORMAT });
    }
    if Some(manifest.database_bytes) != database_bytes || manifest.blobs != blobs {
        return Err(RestoreError::Incomplete);
    }
    Ok(manifest)
}

/// The digest of a name that is exactly `blobs/ab/ab12…`.
fn digest_of(name: &str) -> Option<&str> {
    let sha256 = name.rsplit('/').next()?;
    let is_digest = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (is_digest && name == blob_name(sha256)).then_some(sha256)
}

/// Writes a new private file, durably; its digest and length.
fn write(content: &mut impl Read, path: &Path) -> Result<(String, u64), RestoreError> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    let (mut digest, mut bytes) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = content.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        file.write_all(&buffer[..read])?;
        bytes += read as u64;
    }
    file.sync_all()?;
    Ok((hex::encode(digest.finalize()), bytes))
}
