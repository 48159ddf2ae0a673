//! Content-addressed files: `blobs/<first two digits>/<sha256>`.
//!
//! ```text
//!   bytes arrive ──▶ blobs/.incoming-N ── digest, fsync ──▶ a row ──▶ rename to blobs/ab/ab12… ── fsync of the folders ──▶ known
//!                                                             │                                              │
//!                                                             └──────────────── unnamed ◀────────────────────┤
//!                                          file removed, then its row  ◀── sweep ──┘ ▲                       │ an artifact
//!                                                                                    └── the last one goes ──┴──▶ named
//! ```
//! - A file under its digest is whole and on disk when it comes. What is read is checked against the digest all the same: disks
//!   forget.
//! - The table of [`crate::Content`] knows of every file, so what nobody names is found without looking through folders. Only the
//!   writer thread removes content, so that no new artifact can name it at the same moment.
//! - Content in [`uses`] stays: somebody is about to name it, or a backup reads what there was when it began.
//! - What a crash left half-done is removed at the next start; files no row knows are taken up then, a folder at a time ([`strays`]).

mod condition;
mod incoming;
mod opening;
mod reading;
mod shards;
mod strays;
mod uses;

pub use condition::Condition;
pub(crate) use opening::open;
pub use reading::Contents;
pub(crate) use strays::take_up_strays;
pub(crate) use uses::Keeping;

use crate::{Error, folder::make_folder, operations::Answer};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use incoming::Incoming;
use sha2::{Digest, Sha256};
use shards::Shards;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use uses::{Pin, Uses};

/// Content that is stored for good. It is not removed while this or a clone of it is held, so that it can be named.
#[derive(Clone)]
pub struct StoredBlob {
    /// 64 lower-case hex digits.
    pub sha256: String,
    pub bytes: u64,
    _pin: Arc<Pin>,
}

impl fmt::Debug for StoredBlob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBlob").field("sha256", &self.sha256).field("bytes", &self.bytes).finish()
    }
}

/// The table that knows what there is.
pub(crate) trait Register: Send + Sync {
    /// Before a file comes under its digest.
    fn register(&self, sha256: String, bytes: u64) -> Answer<()>;
    /// Has what nobody names removed, soon. Does not wait.
    fn sweep(&self);
}

/// Cheap handle.
#[derive(Clone)]
pub struct Blobs {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    next_incoming: AtomicU64,
    /// Set while the room kept for a full disk is in use: content would take it.
    no_room: Arc<AtomicBool>,
    shards: Shards,
    uses: Uses,
    /// Gone with the database.
    register: OnceLock<Weak<dyn Register>>,
}

impl fmt::Debug for Blobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blobs").field("folder", &self.shared.folder).finish_non_exhaustive()
    }
}

impl Blobs {
    /// Removes what an earlier process left half-done.
    pub(crate) fn open(folder: PathBuf, no_room: Arc<AtomicBool>) -> Result<Self, Error> {
        make_folder(&folder)?;
        incoming::remove_left(&folder)?;
        let shards = Shards::open(&folder)?;
        let (next_incoming, register) = (AtomicU64::new(0), OnceLock::new());
        Ok(Self {
            shared: Arc::new(Shared { folder, next_incoming, no_room, shards, uses: Uses::default(), register }),
        })
    }

    /// Nothing is stored before this, and nothing after `register` is gone.
    pub(crate) fn register_with(&self, register: Weak<dyn Register>) {
        // Set once, where the store is opened.
        let _ = self.shared.register.set(register);
    }

    /// Stores what the stream brings, at most `limit_bytes` of it. When this returns, the content is on disk; when it
    /// fails or is dropped, nothing is kept.
    pub async fn put<S>(&self, content: S, limit_bytes: u64) -> Result<StoredBlob, Error>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        self.has_room()?;
        let mut content = pin!(content);
        let number = self.shared.next_incoming.fetch_add(1, Ordering::Relaxed);
        let mut incoming = Incoming::create(&self.shared.folder, number).await?;
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
        let file = incoming.sync().await?;
        let stored = StoredBlob { _pin: Arc::new(self.pin(&sha256)), sha256, bytes };
        let register = self.register().ok_or(Error::Closed)?;
        register.register(stored.sha256.clone(), bytes).await?;
        drop(register);
        // From here on in one piece: a caller that goes away leaves either the whole content or none.
        let shared = Arc::clone(&self.shared);
        let kept = tokio::task::spawn_blocking(move || {
            let folder = shared.shards.folder(&shared.folder, &stored.sha256)?;
            file.keep(&folder, &stored.sha256).map(|()| stored)
        });
        kept.await.map_err(|_| Error::Closed)?
    }

    fn has_room(&self) -> Result<(), Error> {
        match self.shared.no_room.load(Ordering::Relaxed) {
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
        path_in(&self.shared.folder, sha256)
    }

    /// Content to pass on. What of it does not match its digest ends the stream with an error before its last bytes, so that it
    /// is never taken for the whole; short content is checked before anything of it is given out.
    pub async fn read(&self, sha256: &str, bytes: u64) -> Result<Contents, Error> {
        Contents::open(self.path(sha256)?, sha256.to_owned(), bytes).await
    }

    /// Reads content to its end and compares it with its digest.
    pub async fn check(&self, sha256: &str, bytes: u64) -> Result<Condition, Error> {
        let (path, sha256) = (self.path(sha256)?, sha256.to_owned());
        let checked = tokio::task::spawn_blocking(move || Condition::of(&path, &sha256, bytes));
        checked.await.map_err(|_| Error::Closed)
    }

    /// Whether content is there in its full length, without reading it.
    pub async fn glance(&self, sha256: &str, bytes: u64) -> Result<Condition, Error> {
        let path = self.path(sha256)?;
        let looked = tokio::task::spawn_blocking(move || Condition::at_a_glance(&path, bytes));
        looked.await.map_err(|_| Error::Closed)
    }

    /// From now on, and until what comes back is dropped, no content is removed.
    pub(crate) fn keep_all(&self) -> Keeping {
        Keeping::new(self.clone())
    }

    /// Removes content unless it is in use. On the writer thread, after the COMMIT that left nobody naming it. Says whether it is
    /// gone.
    pub(crate) fn remove(&self, sha256: &str) -> Result<bool, Error> {
        let path = self.path(sha256)?;
        let removed = self.shared.uses.unless_used(sha256, || match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::file(&path, "removed")(error)),
            _ => Ok(true),
        });
        removed.unwrap_or(Ok(false))
    }

    /// Whether content would be removed if nobody named it.
    pub(crate) fn is_free(&self, sha256: &str) -> bool {
        self.shared.uses.unless_used(sha256, || ()).is_some()
    }

    fn pin(&self, sha256: &str) -> Pin {
        Pin::new(self.clone(), sha256.to_owned())
    }

    fn register(&self) -> Option<Arc<dyn Register>> {
        self.shared.register.get()?.upgrade()
    }

    fn sweep(&self) {
        if let Some(register) = self.register() {
            register.sweep();
        }
    }
}

/// Whether this is 64 lower-case hex digits.
pub(crate) fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

pub(crate) fn path_in(folder: &Path, sha256: &str) -> Result<PathBuf, Error> {
    match is_digest(sha256) {
        true => Ok(folder.join(&sha256[..2]).join(sha256)),
        false => Err(Error::NotADigest(sha256.chars().take(80).collect())),
    }
}
