use crate::{
    context::Context,
    output::{Exit, Failure, Result},
    wiring::Catalogue,
};
use embedded_model::{
    bill, fetch,
    pulled::{self, Removed},
};
use std::path::Path;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Files you added yourself stay where they are; only the entry goes. What an unfinished fetch left goes too."
)]
pub struct Arguments {
    /// Name, with or without `embedded/`
    name: String,
}

pub fn run(arguments: Arguments, context: &Context) -> Result<Exit> {
    let name = arguments.name.strip_prefix("embedded/").unwrap_or(&arguments.name);
    let catalogue = Catalogue::new(&context.config.settings);
    let cache = catalogue.cache();
    let mut models = catalogue.registered()?;
    let before = models.len();
    models.retain(|known| known.name != name);
    let removed = if models.len() < before {
        catalogue.register(&models)?;
        Some("entry")
    } else if let Some(record) = pulled::find_begun(cache, name) {
        Some(match pulled::remove(cache, &record).map_err(failed)? {
            Removed::WithFile => "files",
            Removed::Shared(other) => {
                context.output.say(format_args!("its file stays: it is also embedded/{other}"));
                "name"
            }
        })
    } else {
        bill::entry(name).ok().map(|entry| remove_listed(entry, cache)).transpose()?.flatten()
    };
    let Some(what) = removed else {
        return Err(Failure::new(Exit::NotFound, format!("no added or fetched model is called `{name}`"))
            .next("devmesh models list --here"));
    };
    context.output.show(&serde_json::json!({"removed": format!("embedded/{name}"), "what": what}), || {
        format!("embedded/{name}\t{what} removed")
    })?;
    Ok(Exit::Done)
}

/// Whole files, and what a fetch that did not end left of them.
fn remove_listed(entry: &bill::Entry, cache: &Path) -> Result<Option<&'static str>> {
    let had_unfinished = fetch::discard_unfinished(entry, cache).map_err(failed)?;
    let pulled = pulled::list(cache);
    if let Some(other) = pulled.iter().find(|record| entry.files.iter().any(|file| file.sha256 == record.sha256)) {
        let what = format!("its file is also embedded/{}", other.name);
        return Err(Failure::failed(what).next(format!("devmesh models remove {}", other.name)));
    }
    let mut removed = had_unfinished.then_some("unfinished files");
    for path in entry.files.iter().map(|file| file.path(cache)).filter(|path| path.exists()) {
        std::fs::remove_file(&path).map_err(|error| Failure::from(error).context(path.display()))?;
        removed = Some("files");
    }
    Ok(removed)
}

fn failed(error: embedded_model::Error) -> Failure {
    Failure::failed(error.to_string())
}
