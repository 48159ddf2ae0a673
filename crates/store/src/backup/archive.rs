//! Writing a backup while everything goes on.

use super::{FORMAT, LostArtifacts, MANIFEST, Manifest, Turns, blob_name, turns::Progress};
use crate::{
    ArtifactRow, Blobs, Condition, DATABASE_FILE, Error,
    blobs::{self, Keeping},
    limits,
    sqlite::Copy,
};
use bytes::Bytes;
use domain::Timestamp;
use futures_util::Stream;
use sha2::{Digest, Sha256};
use std::{
    io::{self, BufWriter, Read, Write},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};

/// Bytes handed over at once.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait for the reader, at most: with [`CHUNK`] 256 KiB.
const CHUNKS: usize = 4;

/// A backup as it is read. An `Err` is the last item: what came before is not the whole. Dropped, it ends at once and leaves
/// nothing.
pub struct Archive {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    progress: Arc<Progress>,
    is_over: bool,
}

impl Stream for Archive {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.chunks.poll_recv(context));
        let was_over = std::mem::replace(&mut self.is_over, !matches!(next, Some(Ok(_))));
        // Cut, and there was no room to say so: that must not look like the end.
        if next.is_none() && !was_over && !self.progress.is_complete() {
            return Poll::Ready(Some(Err(io::Error::new(
                io::ErrorKind::BrokenPipe,
                "the backup was given up half-way",
            ))));
        }
        Poll::Ready(next)
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        self.progress.abandon();
    }
}

/// What a backup is made of.
pub(crate) struct Copying {
    pub(crate) database: PathBuf,
    pub(crate) blobs: Blobs,
    pub(crate) created_at: Timestamp,
    /// The build that writes it.
    pub(crate) version: String,
}

/// Copies the database before it returns; everything else happens while the archive is read.
pub(crate) async fn begin(turns: &Turns, copying: Copying) -> Result<Archive, Error> {
    let (turn, progress) = turns.take().await?;
    let (sender, chunks) = mpsc::channel(CHUNKS);
    let (ready, is_ready) = oneshot::channel();
    // From here on, whoever leaves ends it.
    let archive = Archive { chunks, progress: Arc::clone(&progress), is_over: false };
    // Before the copy is made, so that all it names stays.
    let keeping = copying.blobs.keep_all();
    let writing = Writing { copying, progress, sender, runtime: Handle::current(), _keeping: keeping };
    tokio::task::spawn_blocking(move || {
        writing.run(ready);
        drop(turn);
    });
    is_ready.await.map_err(|_| Error::Closed)??;
    Ok(archive)
}

struct Writing {
    copying: Copying,
    progress: Arc<Progress>,
    sender: mpsc::Sender<io::Result<Bytes>>,
    runtime: Handle,
    _keeping: Keeping,
}

impl Writing {
    fn run(self, ready: oneshot::Sender<Result<(), Error>>) {
        let watched = Arc::clone(&self.progress);
        let copy = match Copy::make(&self.copying.database, move || watched.is_abandoned()) {
            Ok(copy) => copy,
            Err(error) => {
                let _ = ready.send(Err(error)); // to nobody, if it was abandoned
                return;
            }
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        let channel = Channel { sender: &self.sender, progress: &self.progress, runtime: &self.runtime };
        match write(BufWriter::with_capacity(CHUNK, channel), copy, &self.copying) {
            Ok(()) => self.progress.complete(),
            Err(error) => {
                // For whoever still reads. Where it does not fit in, nobody does.
                let _ = self.sender.try_send(Err(error));
            }
        }
    }
}

fn write(writer: impl Write, mut copy: Copy, copying: &Copying) -> io::Result<()> {
    let at = copying.created_at;
    let mut archive = tar::Builder::new(writer);
    let database_bytes = copy.file().metadata()?.len();
    let mut database = Hashed::new(copy.file(), database_bytes);
    archive.append_data(&mut header(database_bytes, at), DATABASE_FILE, &mut database)?;
    if let Some(error) = database.failure {
        return Err(error);
    }
    let database_sha256 = Some(hex::encode(database.digest.finalize()));
    let (mut blobs, mut lost) = (0, LostArtifacts::default());
    let mut last: Option<(ArtifactRow, Condition)> = None;
    loop {
        let after = last.as_ref().map(|(row, _)| row.place());
        let page = copy.named_content(after.as_ref(), limits::ROWS_PER_PAGE).map_err(super::as_io)?;
        if page.is_empty() {
            break;
        }
        for row in page {
            let condition = match last {
                // Content several artifacts name is there once.
                Some((before, condition)) if before.sha256 == row.sha256 => condition,
                _ => {
                    let condition = append_blob(&mut archive, &copying.blobs, &row, at)?;
                    blobs += u64::from(condition.is_whole());
                    condition
                }
            };
            if !condition.is_whole() {
                lost.add(&row, &condition);
            }
            last = Some((row, condition));
        }
    }
    if lost.count > 0 {
        tracing::error!(artifacts = lost.count, "content is missing or damaged, and so it is in the backup");
    }
    let version = copying.version.clone();
    let manifest = Manifest { format: FORMAT, version, created_at: at, database_bytes, database_sha256, blobs, lost };
    let manifest = serde_json::to_vec_pretty(&manifest)?;
    archive.append_data(&mut header(manifest.len() as u64, at), MANIFEST, manifest.as_slice())?;
    archive.into_inner()?.flush()
}

/// What is damaged goes in all the same where its length is right: it is read only once.
fn append_blob(
    archive: &mut tar::Builder<impl Write>,
    content: &Blobs,
    row: &ArtifactRow,
    at: Timestamp,
) -> io::Result<Condition> {
    let path = content.path(&row.sha256).map_err(super::as_io)?;
    let file = match blobs::open(&path, row.bytes) {
        Ok(file) => file,
        Err(condition) => return Ok(condition),
    };
    let mut content = Hashed::new(file, row.bytes);
    archive.append_data(&mut header(row.bytes, at), blob_name(&row.sha256), &mut content)?;
    let found = hex::encode(content.digest.finalize());
    Ok(match content.failure {
        Some(error) => Condition::unread(&error),
        None if found == row.sha256 => Condition::Whole,
        None => Condition::changed(&found),
    })
}

fn header(bytes: u64, at: Timestamp) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(at.as_millis().max(0).unsigned_abs() / 1000);
    header
}

/// Exactly as many bytes as the archive was promised: zeros for what cannot be read.
struct Hashed<R> {
    source: R,
    left: u64,
    digest: Sha256,
    failure: Option<io::Error>,
}

impl<R: Read> Hashed<R> {
    fn new(source: R, bytes: u64) -> Self {
        Self { source, left: bytes, digest: Sha256::new(), failure: None }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = &mut buffer[..wanted];
        let read = match self.failure {
            None => self.source.read(buffer),
            Some(_) => Ok(0),
        };
        let read = match read {
            Ok(0) | Err(_) if wanted > 0 => {
                let error = read.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                self.failure.get_or_insert(error);
                buffer.fill(0);
                wanted
            }
            read => read?,
        };
        self.digest.update(&buffer[..read]);
        self.left -= read as u64;
        Ok(read)
    }
}

/// Waits for whoever reads, but not for ever.
struct Channel<'a> {
    sender: &'a mpsc::Sender<io::Result<Bytes>>,
    progress: &'a Progress,
    runtime: &'a Handle,
}

impl Write for Channel<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = &bytes[..bytes.len().min(CHUNK)];
        let sent = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.progress.abandoned() => Err(io::ErrorKind::BrokenPipe.into()),
                sent = tokio::time::timeout(self.progress.pause(), self.sender.send(Ok(Bytes::copy_from_slice(taken)))) => match sent {
                    Ok(sent) => sent.map_err(|_| io::ErrorKind::BrokenPipe.into()),
                    Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing of the backup was taken for too long")),
                },
            }
        });
        sent.map(|()| {
            self.progress.moved();
            taken.len()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
