//! `devmesh restore`: a data folder from a backup.

use super::backup::tell_lost;
use crate::{
    context::Context,
    output::{Exit, Failure, Result},
};
use api::{EarlierTokens, RestoreError, Restored};
use domain::SystemClock;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Restores into an empty data folder (choose one with --data), as far as the backup is whole, and says what is not. \
A new admin token lies there; the original's tokens do not work, because some may have been revoked since. Cursors of the original are \
answered with a reset."
)]
pub struct Arguments {
    /// File that `devmesh backup` wrote
    file: PathBuf,
    /// Let the tokens of the original work here too
    #[arg(long)]
    keep_tokens: bool,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let folder = &context.config.settings.data;
    let file = std::fs::File::open(&arguments.file)
        .map_err(|error| Failure::from(error).context(format_args!("reading {}", arguments.file.display())))?;
    let epoch = domain::Epoch(rand::random());
    let tokens = if arguments.keep_tokens { EarlierTokens::Kept } else { EarlierTokens::Dropped };
    context.output.say(format_args!("restoring into {}", folder.display()));
    let restored =
        api::restore(std::io::BufReader::new(file), folder, epoch, &SystemClock, tokens).await.map_err(failed)?;
    tell(context, &restored)?;
    let up = format!("devmesh up --data {}", folder.display());
    match restored.queued {
        0 => context.output.next(up),
        queued => {
            context.output.say(format_args!(
                "queued    {queued} jobs, which run as soon as an agent is there; with --agents 0 you can look at them first"
            ));
            context.output.next(format_args!("{up} --agents 0"));
        }
    }
    let is_whole = restored.lost.count == 0 && restored.made.is_some() && restored.is_database_changed != Some(true);
    Ok(if is_whole { Exit::Done } else { Exit::Failed })
}

fn failed(error: RestoreError) -> Failure {
    let failure = Failure::failed(error.to_string());
    match error {
        RestoreError::Archive(store::RestoreError::Store(
            store::Error::FolderNotEmpty { .. } | store::Error::FolderInUse { .. },
        )) => failure.next("devmesh restore FILE --data EMPTY_FOLDER"),
        _ => failure,
    }
}

fn tell(context: &Context, restored: &Restored) -> Result<()> {
    let (output, folder) = (&context.output, &context.config.settings.data);
    let made = restored.made.as_ref();
    let document = serde_json::json!({
        "folder": folder, "created_at": made.map(|made| made.0), "version": made.map(|made| &made.1),
        "artifacts": restored.artifacts, "queued": restored.queued, "lost": restored.lost, "database_changed": restored.is_database_changed,
        "token_file": restored.token_file, "tokens_dropped": restored.tokens_dropped, "tokens_kept": restored.tokens_kept,
    });
    output.show(&document, || {
        let at = made.map_or_else(|| "unknown".to_owned(), |made| made.0.to_string());
        format!("{}\t{at}\t{} artifacts", folder.display(), restored.artifacts)
    })?;
    tell_lost(output, &restored.lost, "was not restored");
    if made.is_none() {
        output.warn(
            "the backup's own list was damaged: when it was made is unknown, and nothing says whether the database is bit for bit what was backed up; devmesh verify ID finds what of a job's log was changed",
        );
    }
    if restored.is_database_changed == Some(true) {
        output.warn(
            "the database is not bit for bit what was backed up, although it is sound as a database; devmesh verify ID finds what of a job's log was changed",
        );
    }
    let earlier = match (restored.tokens_kept, restored.tokens_dropped) {
        (0, 0) => String::new(),
        (0, dropped) => {
            format!("\n          the {dropped} of the original do not work here; devmesh token create makes others")
        }
        (kept, _) => {
            format!("\n          the {kept} of the original work here too, also those revoked since the backup")
        }
    };
    output.say(format_args!("token     a new one is in {}{earlier}", restored.token_file.display()));
    Ok(())
}
