//! `devmesh backup`: everything the backend keeps, in one file.

use crate::{
    context::Context,
    output::{Exit, Failure, Output, Result, bytes},
    wiring::Signals,
};
use std::path::{Path, PathBuf};
use store::LostArtifacts;

/// Lost artifacts that are named; of more, how many.
const NAMED: usize = 20;

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
    if target.as_os_str() == "-" {
        let what = "a backup is read again to say what is in it, which standard output is not";
        return Err(Failure::usage(what).next("devmesh backup FILE"));
    }
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
    let lost = lost_in(target).await?;
    context.output.show(&serde_json::json!({"file": target, "bytes": written, "lost": lost}), || {
        format!("{}\t{}", target.display(), bytes(written))
    })?;
    tell_lost(&context.output, &lost, "is not in the backup");
    if lost.count > 0 {
        context.output.say("everything else is in it");
        context.output.next("devmesh doctor --deep");
        return Ok(Exit::Failed);
    }
    context.output.next(format_args!("devmesh restore {} --data NEW_FOLDER", target.display()));
    Ok(Exit::Done)
}

/// What the backup says that it lacks.
async fn lost_in(backup: &Path) -> Result<LostArtifacts> {
    let path = backup.to_owned();
    let read = tokio::task::spawn_blocking(move || store::manifest_of(&mut std::fs::File::open(path)?));
    let manifest = read.await.map_err(|error| Failure::failed(error.to_string()))?;
    let reading = |error: store::RestoreError| {
        Failure::failed(error.to_string()).context(format_args!("reading {} again", backup.display()))
    };
    Ok(manifest.map_err(reading)?.lost)
}

/// Names artifacts whose content is missing or damaged.
pub(super) fn tell_lost(output: &Output, lost: &LostArtifacts, so: &str) {
    for one in lost.listed.iter().take(NAMED) {
        output.warn(&format!(
            "the content of artifact `{}` of job {} is {} and {so}",
            one.name, one.job_id, one.condition
        ));
    }
    let more = lost.count.saturating_sub(NAMED as u64);
    if more > 0 {
        output.warn(&format!("the same goes for {more} more artifacts"));
    }
}
