//! Writing a backup while everything goes on.

use super::{FORMAT, MANIFEST, Manifest, blob_name};
use crate::{
    app::App,
    auth::Identity,
    problem::{Failure, Result},
};
use axum::body::Body;
use bytes::Bytes;
use domain::{ErrorCode, Timestamp};
use futures_util::{StreamExt, stream};
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    sync::Arc,
    time::Duration,
};
use store::Store;
use tokio::sync::mpsc;

/// Bytes handed over at once.
const CHUNK: usize = 64 * 1024;
/// Chunks that wait for the client, at most: with [`CHUNK`] 256 KiB.
const CHUNKS: usize = 4;
/// Digests read at a time.
const DIGESTS: usize = 1_000;
/// What a second client is told to wait.
const BUSY: Duration = Duration::from_secs(10);

type Sender = mpsc::Sender<io::Result<Bytes>>;

/// The archive as a body. The database is copied before the answer begins; the copy has no name while it is read, so
/// nothing of it stays, whatever happens.
pub async fn stream(app: &Arc<App>, asker: &Identity) -> Result<Body> {
    let permit = app.backups.clone().try_acquire_owned().map_err(|_| {
        Failure::new(ErrorCode::RateLimited, "Another backup is being read. Wait until it is done.").retry_after(BUSY)
    })?;
    let copy = app.store.folder().join(".backup.db");
    // Left behind by a process that was killed in this very moment.
    match tokio::fs::remove_file(&copy).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(Failure::internal(error)),
        _ => {}
    }
    app.store.backup(copy.clone()).await?;
    let database = File::open(&copy).map_err(Failure::internal)?;
    tokio::fs::remove_file(&copy).await.map_err(Failure::internal)?;

    let (sender, receiver) = mpsc::channel(CHUNKS);
    let (store, created_at) = (app.store.clone(), app.clock.now());
    let runtime = tokio::runtime::Handle::current();
    app.tasks.spawn_blocking(move || {
        let _permit = permit;
        let writer = BufWriter::with_capacity(CHUNK, ChannelWriter(sender.clone()));
        if let Err(error) = write(writer, database, &store, created_at, &runtime) {
            // The body ends with an error, so that the client sees a broken transfer and not a short archive.
            let _ = sender.blocking_send(Err(error));
        }
    });
    let chunks = stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    Ok(Body::from_stream(chunks.take_until(asker.token.revoked.clone().cancelled_owned())))
}

fn write(
    writer: impl Write,
    mut database: File,
    store: &Store,
    created_at: Timestamp,
    runtime: &tokio::runtime::Handle,
) -> io::Result<()> {
    let mut archive = tar::Builder::new(writer);
    let database_bytes = database.metadata()?.len();
    append(&mut archive, store::DATABASE_FILE, &mut database, created_at)?;
    let mut blobs = 0;
    let mut after = String::new();
    loop {
        let last = after.clone();
        let page: Vec<String> = runtime
            .block_on(store.read(move |reader| reader.blob_digests(&last, DIGESTS)))
            .map_err(io::Error::other)?;
        let Some(last) = page.last() else { break };
        after.clone_from(last);
        for sha256 in &page {
            let path = store.blobs().path(sha256).map_err(io::Error::other)?;
            match File::open(path) {
                Ok(mut content) => append(&mut archive, &blob_name(sha256), &mut content, created_at)?,
                // Its job was deleted since the page was read, and is meant to be gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            blobs += 1;
        }
    }
    let manifest =
        Manifest { format: FORMAT, version: env!("CARGO_PKG_VERSION").into(), created_at, database_bytes, blobs };
    let manifest = serde_json::to_vec_pretty(&manifest)?;
    archive.append_data(&mut header(manifest.len() as u64, created_at), MANIFEST, manifest.as_slice())?;
    archive.into_inner()?.flush()
}

fn append(archive: &mut tar::Builder<impl Write>, name: &str, content: &mut File, at: Timestamp) -> io::Result<()> {
    let bytes = content.metadata()?.len();
    archive.append_data(&mut header(bytes, at), name, content)
}

fn header(bytes: u64, at: Timestamp) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(at.as_millis().max(0).unsigned_abs() / 1000);
    header
}

/// Waits for the client when it is behind, and fails once it has gone.
struct ChannelWriter(Sender);

impl Write for ChannelWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = &bytes[..bytes.len().min(CHUNK)];
        self.0.blocking_send(Ok(Bytes::copy_from_slice(taken))).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
