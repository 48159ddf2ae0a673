//! Routes, prices, patterns and timeouts follow their files while the backend runs.

use super::providers;
use crate::{
    config::{Config, Environment, Settings},
    output::{WARNING, one_line},
};
use domain::{Clock, PrincipalId, SystemClock};
use protocol::Egress;
use router::{Caller, Router};
use std::{path::PathBuf, sync::Arc, time::Duration, time::SystemTime};
use tokio_util::sync::CancellationToken;

/// Looking at a few files' times costs microseconds; a person who saved one does not wait longer than this.
const LOOK: Duration = Duration::from_secs(1);

/// What tells that a file changed.
type Seen = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

/// Takes over what their files say when they change, but for how long a connection may take, which is settled when a
/// provider is set up. A mistake leaves everything as it was, and says so in the log. What the environment or a flag said at
/// the start still wins.
pub async fn follow(settings: Settings, router: Arc<Router>, stop: CancellationToken) {
    let mut files = watched(&settings);
    let mut seen = look(&files);
    while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
        let now = look(&files);
        if now == seen {
            continue;
        }
        seen = now;
        match reload(&settings, &router) {
            Ok(settings) => {
                tracing::info!("the configuration of models was read again");
                // The prices may stand in another file now, which was read a moment ago.
                files = watched(&settings);
                seen = look(&files);
            }
            Err(error) => tracing::error!(error, "the configuration of models stays as it was"),
        }
    }
}

fn watched(settings: &Settings) -> Vec<PathBuf> {
    settings.config_files.iter().cloned().chain([settings.prices.clone()]).collect()
}

fn look(files: &[PathBuf]) -> Seen {
    let of = |file: &PathBuf| file.metadata().ok().and_then(|found| Some((found.modified().ok()?, found.len())));
    files.iter().map(|file| (file.clone(), of(file))).collect()
}

fn reload(settings: &Settings, router: &Router) -> Result<Settings, String> {
    let config =
        Config::load(Environment::of_the_process(), settings.flags.clone()).map_err(|problems| problems.to_string())?;
    for warning in &config.warnings {
        tracing::warn!("{}", one_line(warning, WARNING));
    }
    let configuration = providers::configuration(&config.settings).map_err(|error| error.to_string())?;
    router.reload(configuration).map_err(|error| error.to_string())?;
    Ok(config.settings)
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
