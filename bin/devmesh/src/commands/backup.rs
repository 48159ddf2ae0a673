//! `devmesh backup`: everything the backend keeps, in one file.

use crate::{
    context::Context,
    output::{Exit, Failure, Result, bytes},
    wiring::Signals,
};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The backend goes on working meanwhile. The file holds prompts, answers and hashed tokens: keep it as you keep those."
)]
pub struct Arguments {
    /// File to write; it must not exist
    file: PathBuf,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let target = &arguments.file;
    if target.exists() {
        return Err(Failure::usage(format!("{} exists already", target.display())).next("choose another name"));
    }
    let client = context.client()?;
    let mut signals = Signals::catch()?;
    let stream = client.backup().await?;
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(std::path::Path::new("."));
    // Readable by its owner alone, gone when this fails, and under its name only when it is whole.
    let writing = |error: std::io::Error| Failure::from(error).context(format_args!("writing {}", target.display()));
    let temporary = tempfile::Builder::new().prefix(".devmesh-backup-").tempfile_in(folder).map_err(writing)?;
    let mut file = tokio::fs::File::from_std(temporary.reopen().map_err(writing)?);
    let mut progress = context.output.progress("backup", stream.length());
    let written = tokio::select! {
        written = stream.copy_to(&mut file, |done| progress.set(done)) => written?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    file.sync_all().await.map_err(writing)?;
    progress.finish();
    temporary.persist_noclobber(target).map_err(|error| writing(error.error))?;
    context.output.show(&serde_json::json!({"file": target, "bytes": written}), || {
        format!("{}\t{}", target.display(), bytes(written))
    })?;
    context.output.next(format_args!("devmesh restore {} --data NEW_FOLDER", target.display()));
    Ok(Exit::Done)
}
