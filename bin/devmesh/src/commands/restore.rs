//! `devmesh restore`: a data folder from a backup.

use crate::{
    context::Context,
    output::{Exit, Failure, Result},
};
use domain::{SystemClock, Timestamp};
use std::path::{Path, PathBuf};
use store::Store;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Restores into an empty data folder (choose one with --data). Cursors of the original are answered with a reset there."
)]
pub struct Arguments {
    /// File that `devmesh backup` wrote
    file: PathBuf,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let folder = context.config.settings.data.clone();
    let file = std::fs::File::open(&arguments.file)
        .map_err(|error| Failure::from(error).context(format_args!("reading {}", arguments.file.display())))?;
    let (target, epoch) = (folder.clone(), domain::Epoch(rand::random()));
    context.output.say(format_args!("restoring into {}", folder.display()));
    let restored = tokio::task::spawn_blocking(move || api::restore(file, &target, epoch))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?
        .map_err(|error| Failure::failed(error.to_string()).next("devmesh restore FILE --data EMPTY_FOLDER"))?;
    if let Err(error) = record(&folder, restored.created_at).await {
        context.output.warn(&format!("the audit trail does not tell of this: {error}"));
    }
    let document = serde_json::json!({
        "folder": folder, "created_at": restored.created_at, "version": restored.version, "artifacts": restored.artifacts,
    });
    context
        .output
        .show(&document, || format!("{}\t{}\t{} files", folder.display(), restored.created_at, restored.artifacts))?;
    // Secrets are in no backup. Whoever has one of the original's tokens can use it here.
    context.output.say(format_args!(
        "the tokens of the original work here too; put its admin-token file into {}",
        folder.display()
    ));
    context.output.next(format_args!("devmesh up --data {}", folder.display()));
    Ok(Exit::Done)
}

/// Opens the new folder once, which also brings an older backup up to this build.
async fn record(folder: &Path, backup_made_at: Timestamp) -> Result<(), store::Error> {
    let store = Store::open(store::Options::new(folder)).await?;
    let recorded = api::record_restore(&store, &SystemClock, backup_made_at).await;
    store.close().await;
    recorded
}
