//! Content on its way out, compared with its digest as it passes.

use super::{Condition, opening::open};
use crate::Error;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream, stream::BoxStream};
use sha2::{Digest, Sha256};
use std::{
    io,
    path::PathBuf,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{fs::File, io::AsyncReadExt};

/// Bytes read at once. Content up to this length is checked before any of it is given out.
const CHUNK: usize = 256 * 1024;

/// The bytes of stored content. An `Err` is the last item: then what came before is not the whole.
pub struct Contents(BoxStream<'static, io::Result<Bytes>>);

impl Stream for Contents {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(context)
    }
}

impl Contents {
    pub(super) async fn open(path: PathBuf, sha256: String, bytes: u64) -> Result<Self, Error> {
        let lost = |condition| Error::BlobLost { sha256: sha256.clone(), condition };
        let opened = tokio::task::spawn_blocking(move || open(&path, bytes));
        let file = opened.await.map_err(|_| Error::Closed)?.map_err(lost)?;
        let mut reading =
            Reading { file: File::from_std(file), digest: Sha256::new(), left: bytes, sha256: sha256.clone() };
        let first = reading.chunk().await.map_err(lost)?;
        Ok(Self(stream::unfold((Some(reading), Some(first)), Reading::step).boxed()))
    }
}

struct Reading {
    file: File,
    digest: Sha256,
    left: u64,
    sha256: String,
}

impl Reading {
    /// The next bytes. With the last of them the digest is right.
    async fn chunk(&mut self) -> Result<Bytes, Condition> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(CHUNK);
        let mut chunk = BytesMut::zeroed(wanted);
        self.file.read_exact(&mut chunk).await.map_err(|error| Condition::unread(&error))?;
        self.digest.update(&chunk);
        self.left -= wanted as u64;
        if self.left == 0 {
            let found = hex::encode(self.digest.finalize_reset());
            if found != self.sha256 {
                return Err(Condition::changed(&found));
            }
        }
        Ok(chunk.freeze())
    }

    /// Gives out what was read before.
    async fn step(
        (reading, ready): (Option<Self>, Option<Bytes>),
    ) -> Option<(io::Result<Bytes>, (Option<Self>, Option<Bytes>))> {
        if let Some(ready) = ready {
            return Some((Ok(ready), (reading, None)));
        }
        let mut reading = reading.filter(|reading| reading.left > 0)?;
        match reading.chunk().await {
            Ok(chunk) => Some((Ok(chunk), (Some(reading), None))),
            Err(condition) => {
                let lost = Error::BlobLost { sha256: reading.sha256, condition };
                tracing::error!(error = %lost, "stored content is damaged; what was sent of it was cut off");
                Some((Err(io::Error::new(io::ErrorKind::InvalidData, lost)), (None, None)))
            }
        }
    }
}
