//! Content-addressed files: `blobs/<first two digits>/<sha256>`.
//!
//! ```text
//!   bytes arrive ──▶ blobs/.incoming-N ── digest, fsync ──▶ rename to blobs/ab/ab12… ── fsync of the folder ──▶ known
//! ```
//! A file under its digest is whole and on disk. What a crash left half-done is removed at the next start. Content that
//! lost its last artifact is removed by the writer thread, so that no new artifact can name it at the same moment.

use crate::{Error, folder::sync_folder};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use sha2::{Digest, Sha256};
use std::{
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{fs::File, io::AsyncWriteExt};

const INCOMING: &str = ".incoming-";

/// Content that is stored for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlob {
    /// 64 lower-case hex digits.
    pub sha256: String,
    pub bytes: u64,
}

/// Cheap handle.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
    next_incoming: Arc<AtomicU64>,
    /// Set while the room kept for a full disk is in use: content would take it.
    no_room: Arc<AtomicBool>,
}

impl Blobs {
    /// Removes what an earlier process left half-done.
    pub(crate) fn open(folder: PathBuf, no_room: Arc<AtomicBool>) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder).map_err(Error::file(&folder, "created"))?;
        for entry in std::fs::read_dir(&folder).map_err(Error::file(&folder, "listed"))? {
            let entry = entry.map_err(Error::file(&folder, "listed"))?;
            if entry.file_name().as_encoded_bytes().starts_with(INCOMING.as_bytes()) {
                std::fs::remove_file(entry.path()).map_err(Error::file(entry.path(), "removed"))?;
            }
        }
        Ok(Self { folder, next_incoming: Arc::default(), no_room })
    }

    /// Stores what the stream brings, at most `limit_bytes` of it. When this returns, the content is on disk; when it
    /// fails or is dropped, nothing is kept.
    pub async fn put<S>(&self, content: S, limit_bytes: u64) -> Result<StoredBlob, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        self.has_room()?;
        let mut content = pin!(content);
        let mut incoming = Incoming::create(&self.folder, self.next_incoming.fetch_add(1, Ordering::Relaxed)).await?;
        let (mut digest, mut bytes) = (Sha256::new(), 0_u64);
        while let Some(chunk) = content.next().await {
            let chunk = chunk.map_err(Error::BlobInput)?;
            bytes = bytes.saturating_add(chunk.len() as u64);
            if bytes > limit_bytes {
                return Err(Error::BlobTooLarge { limit_bytes });
            }
            self.has_room()?;
            digest.update(&chunk);
            incoming.write(&chunk).await?;
        }
        let sha256 = hex::encode(digest.finalize());
        let path = self.path(&sha256)?;
        let folder = self.folder.clone();
        let file = incoming.sync().await?;
        // From here on in one piece: a caller that goes away leaves either the whole content or none.
        let stored = StoredBlob { sha256, bytes };
        tokio::task::spawn_blocking(move || file.keep(&folder, &path).map(|()| stored))
            .await
            .map_err(|_| Error::Closed)?
    }

    fn has_room(&self) -> Result<(), Error> {
        match self.no_room.load(Ordering::Relaxed) {
            true => Err(Error::StorageFull("what is left is kept for cancelling and deleting jobs".to_owned())),
            false => Ok(()),
        }
    }

    /// [`Self::put`] for content already in memory.
    pub async fn put_bytes(&self, content: Bytes) -> Result<StoredBlob, Error> {
        let limit_bytes = content.len() as u64;
        self.put(futures_util::stream::iter([Ok(content)]), limit_bytes).await
    }

    /// Where content with this digest lies if it is stored. Anything but a digest is refused, so no name leads out of
    /// the folder.
    pub fn path(&self, sha256: &str) -> Result<PathBuf, Error> {
        let well_formed = sha256.len() == 64 && sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !well_formed {
            return Err(Error::NotADigest(sha256.chars().take(80).collect()));
        }
        Ok(self.folder.join(&sha256[..2]).join(sha256))
    }

    /// Says whether there was such content.
    pub(crate) fn remove(&self, sha256: &str) -> Result<bool, Error> {
        let path = self.path(sha256)?;
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::file(path, "removed")(error)),
        }
    }
}

/// A file that disappears unless it is kept.
struct Incoming {
    path: PathBuf,
    file: Option<File>,
}

impl Incoming {
    async fn create(folder: &Path, number: u64) -> Result<Self, Error> {
        let path = folder.join(format!("{INCOMING}{number}"));
        // Made whole where it is opened: a caller that leaves meanwhile leaves no file, because what comes of it is dropped.
        let made = tokio::task::spawn_blocking(move || {
            let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
            let file = file.map_err(Error::written(&path, "created"))?;
            Ok(Self { path, file: Some(File::from_std(file)) })
        });
        made.await.map_err(|_| Error::Closed)?
    }

    async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        match &mut self.file {
            Some(file) => file.write_all(chunk).await.map_err(Error::written(&self.path, "written")),
            None => Ok(()),
        }
    }

    async fn sync(mut self) -> Result<Self, Error> {
        if let Some(mut file) = self.file.take() {
            file.flush().await.map_err(Error::written(&self.path, "written"))?;
            file.sync_all().await.map_err(Error::written(&self.path, "synced"))?;
        }
        Ok(self)
    }

    fn keep(mut self, blobs: &Path, path: &Path) -> Result<(), Error> {
        let folder = path.parent().unwrap_or(blobs);
        let is_new = !folder.is_dir();
        std::fs::create_dir_all(folder).map_err(Error::written(folder, "created"))?;
        std::fs::rename(&self.path, path).map_err(Error::written(path, "put in place"))?;
        self.path = PathBuf::new(); // nothing left to remove
        sync_folder(folder)?;
        if is_new { sync_folder(blobs) } else { Ok(()) }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be removed now is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
