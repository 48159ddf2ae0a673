//! Routes, prices, patterns and timeouts follow their files while the backend runs.

use super::{private, providers};
use crate::{
    config::{Config, Environment, Settings, read_regular_file},
    output::{WARNING, one_line},
};
use domain::{Clock, PrincipalId, SystemClock};
use protocol::Egress;
use router::{Caller, Router};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;

/// Looking at a few files' times costs microseconds; a person who saved one does not wait longer than this.
const LOOK: Duration = Duration::from_secs(1);

/// What tells that a file changed.
type Seen = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// In the data folder while the files say something that does not hold yet: why. `doctor` tells it.
const NOT_TAKEN: &str = "configuration-not-taken";
/// Longest of them, in bytes.
const NOTE_BYTES: u64 = 64 << 10;
const NOTE_CHARACTERS: usize = 8 << 10;

/// Takes over what their files say when they change, but for providers and how long a connection to one may take, which are
/// settled when a provider is set up. A mistake leaves everything as it was, and says so in the log. What the environment or a
/// flag said at the start still wins.
pub async fn follow(settings: Settings, router: Arc<Router>, stop: CancellationToken) {
    note(&settings.data, None);
    let mut files = watched(&settings);
    let mut seen = look(&files);
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let now = look(&files);
        if now == seen {
            continue;
        }
        seen = now;
        match reload(&settings, &router) {
            Ok((read, waiting)) => {
                tracing::info!("the configuration of models was read again");
                if let Some(waiting) = &waiting {
                    tracing::warn!("{waiting}");
                }
                note(&settings.data, waiting.as_deref());
                // The prices may stand in another file now, which was read a moment ago.
                files = watched(&read);
                seen = look(&files);
            }
            Err(error) => {
                tracing::error!(error, "the configuration of models stays as it was");
                note(&settings.data, Some(&format!("the configuration of models stays as it was: {error}")));
            }
        }
    }
}

/// What the files of a running mesh say and it does not do; `None`: it does all of it.
pub fn not_taken(data: &Path) -> Option<String> {
    let (text, _) = read_regular_file(&data.join(NOT_TAKEN), NOTE_BYTES).ok()?;
    Some(text.trim().to_owned())
}

/// Nothing but what `doctor` tells is lost where it cannot be written.
fn note(data: &Path, text: Option<&str>) {
    let file = data.join(NOT_TAKEN);
    let done = match text {
        Some(text) => private::write_file(&file, &text.chars().take(NOTE_CHARACTERS).collect::<String>()),
        None => std::fs::remove_file(&file),
    };
    match done {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, file = %file.display(), "what the configuration says in vain is not noted");
        }
        _ => {}
    }
}

/// The providers that run otherwise than they are configured now.
fn waiting(started: &Settings, now: &Settings) -> Option<String> {
    let changed = now.providers.iter().filter(|provider| !started.providers.contains(provider));
    let is_gone = |name: &str| now.providers.iter().all(|provider| provider.name != name);
    let gone = started.providers.iter().filter(|provider| is_gone(&provider.name));
    let names: Vec<_> = changed.chain(gone).map(|provider| format!("providers.{}", provider.name)).collect();
    (!names.is_empty())
        .then(|| format!("{} changed, and providers are set up when devmesh starts: restart it", names.join(", ")))
}

fn watched(settings: &Settings) -> Vec<PathBuf> {
    settings.config_files.iter().cloned().chain([settings.prices.clone()]).collect()
}

fn look(files: &[PathBuf]) -> Seen {
    let of = |file: &PathBuf| file.metadata().ok().and_then(|found| Some((found.modified().ok()?, found.len())));
    files.iter().map(|file| (file.clone(), of(file))).collect()
}

/// What was read, and what of it waits for a restart.
fn reload(settings: &Settings, router: &Router) -> Result<(Settings, Option<String>), String> {
    let config =
        Config::load(Environment::of_the_process(), settings.flags.clone()).map_err(|problems| problems.to_string())?;
    for warning in &config.warnings {
        tracing::warn!("{}", one_line(warning, WARNING));
    }
    let configuration = providers::configuration(&config.settings).map_err(|error| error.to_string())?;
    let waiting = waiting(settings, &config.settings);
    router.reload(configuration).map_err(|error| match &waiting {
        Some(waiting) => format!("{error}. {waiting}"),
        None => error.to_string(),
    })?;
    Ok((config.settings, waiting))
}

/// Has the first targets of the routes that ask for it in memory before somebody waits for them.
pub async fn warm(settings: Settings, router: Arc<Router>, stop: CancellationToken) {
    let nobody = Caller::new(PrincipalId::new(SystemClock.now()));
    for route in settings.routes.iter().filter(|route| route.warm) {
        let warming = router.warm(&route.name, Egress::LocalOnly, nobody.clone());
        match stop.run_until_cancelled(warming).await {
            Some(Ok(())) => tracing::info!(route = route.name, "its first target is loaded"),
            Some(Err(error)) => tracing::warn!(route = route.name, %error, "it could not be warmed up"),
            None => return,
        }
    }
}
