//! Backups over the wire, and a data folder of one that its owner can get into. What an archive is, the store says.

use crate::{
    app::App,
    audit::record_restore,
    auth::{ADMIN_TOKEN_FILE, AdminTokenError, EarlierTokens, Identity, reset_admin_token},
    problem::{Failure, Result},
};
use axum::body::Body;
use domain::{Clock, Epoch, ErrorCode, JobState, Timestamp};
use futures_util::{StreamExt, stream};
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use store::{LostArtifacts, Store};

/// What a second client is told to wait.
const BUSY: Duration = Duration::from_secs(10);

/// The archive as a body. Whoever leaves ends it, and so does the end of the asker's token: as a broken transfer, never as a short
/// archive.
pub async fn stream(app: &Arc<App>, asker: &Identity) -> Result<Body> {
    let archive = match app.store.backup(app.clock.now(), env!("CARGO_PKG_VERSION")).await {
        Err(store::Error::BackupRunning) => {
            let detail = "Another backup is being read. Wait until it is done.";
            return Err(Failure::new(ErrorCode::RateLimited, detail).retry_after(BUSY));
        }
        archive => archive?,
    };
    let revoked = asker.token.revoked.clone();
    let chunks = stream::unfold(Some(archive), move |archive| {
        let revoked = revoked.clone();
        async move {
            let mut archive = archive?;
            tokio::select! {
                biased;
                () = revoked.cancelled() => {
                    Some((Err(io::Error::new(io::ErrorKind::PermissionDenied, "the token was revoked or expired")), None))
                }
                chunk = archive.next() => Some((chunk?, Some(archive))),
            }
        }
    });
    Ok(Body::from_stream(chunks))
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made and the build that wrote it. `None` where its own list was damaged.
    pub made: Option<(Timestamp, String)>,
    /// With their content.
    pub artifacts: u64,
    /// What the database names and the archive did not bring.
    pub lost: LostArtifacts,
    /// Whether the database is not bit for bit what was backed up, although nothing is wrong with it as a database. `None` where
    /// nothing says what was backed up.
    pub is_database_changed: Option<bool>,
    /// Jobs that run as soon as an agent asks for one.
    pub queued: u64,
    pub token_file: PathBuf,
    /// How many of the original's tokens do not work here, and how many do.
    pub tokens_dropped: usize,
    pub tokens_kept: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Archive(#[from] store::RestoreError),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Token(#[from] AdminTokenError),
    #[error("unpacking broke down: {0}")]
    Broken(String),
}

/// Unpacks an archive into `folder`, which must be empty or absent, under a new epoch: cursors from before are answered with a
/// reset. Its owner gets a new admin token, in a file there. All of the archive is read and checked before any of it counts.
pub async fn restore(
    archive: impl Read + Send + 'static,
    folder: &Path,
    epoch: Epoch,
    clock: &dyn Clock,
    earlier: EarlierTokens,
) -> Result<Restored, RestoreError> {
    let target = folder.to_owned();
    let unpacked = blocking(move || store::unpack(archive, &target, epoch)).await??;
    // Put in order where it counts for nothing yet: a folder that starts is one its owner can get into.
    let staged = Store::open(store::Options::new(unpacked.staging())).await?;
    let ordered = async {
        let lost = unpacked.lost(&staged).await?;
        let artifacts = count_artifacts(&staged).await? - lost.count;
        let made_at = unpacked.manifest.as_ref().map(|manifest| manifest.created_at);
        // Before the owner's token goes with the others.
        record_restore(&staged, clock, made_at).await?;
        let tokens = reset_admin_token(&staged, clock, &unpacked.staging().join(ADMIN_TOKEN_FILE), earlier).await?;
        Ok::<_, RestoreError>((lost, artifacts, count_queued(&staged).await?, tokens))
    };
    let ordered = ordered.await;
    staged.close().await;
    let (lost, artifacts, queued, tokens) = ordered?;
    let made = unpacked.manifest.as_ref().map(|manifest| (manifest.created_at, manifest.version.clone()));
    let is_database_changed = unpacked.is_database_changed;
    blocking(move || unpacked.finish()).await??;
    Ok(Restored {
        made,
        artifacts,
        lost,
        is_database_changed,
        queued,
        token_file: folder.join(ADMIN_TOKEN_FILE),
        tokens_dropped: tokens.dropped,
        tokens_kept: tokens.kept,
    })
}

async fn count_artifacts(store: &Store) -> Result<u64, store::Error> {
    let (mut count, mut after) = (0, None);
    loop {
        let page = store.named_content(after, store::limits::ROWS_PER_PAGE).await?;
        count += page.len() as u64;
        after = page.last().map(store::ArtifactRow::place);
        if after.is_none() {
            return Ok(count);
        }
    }
}

async fn count_queued(store: &Store) -> Result<u64, store::Error> {
    let mut filter = store::JobFilter { state: Some(JobState::Queued), ..store::JobFilter::default() };
    let mut count = 0;
    loop {
        let page = store.page_of_jobs(filter.clone()).await?;
        count += page.rows.len() as u64;
        filter.before = page.last_if_more().map(|last| last.id);
        if filter.before.is_none() {
            return Ok(count);
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, RestoreError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| RestoreError::Broken(error.to_string()))
}
