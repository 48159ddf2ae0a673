//! From settings to a router.

use super::{Catalogue, embedded::Embedded};
use crate::config::Settings;
use domain::SystemClock;
use protocol::{Egress, Location};
use router::{Error, Options, Provider, RouteConfig, Router, Secret, ollama, openai};
use std::sync::Arc;

/// Connects nowhere. The order of providers is the order in which `default` looks for a model: a running Ollama first,
/// other services, and last what runs in this process, which is there when nothing else is.
pub fn router(settings: &Settings) -> Result<Router, Error> {
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    if let Some(settings) = &settings.ollama {
        let options = ollama::Options {
            base_url: settings.base_url.clone(),
            context_tokens: settings.context_tokens,
            location: if settings.is_local { Location::Local } else { Location::Cloud },
            ..ollama::Options::default()
        };
        providers.push(Arc::new(ollama::Ollama::new(options)?));
    }
    for settings in &settings.providers {
        let location = if settings.is_local { Location::Local } else { Location::Cloud };
        let mut options = openai::Options::new(&settings.name, &settings.base_url, location);
        options.api_key = settings.api_key.as_ref().map(Secret::new);
        providers.push(Arc::new(openai::OpenAi::new(options)?));
    }
    if settings.embedded.enabled {
        providers.push(Arc::new(Embedded::new(Catalogue::new(settings), &settings.embedded, Arc::new(SystemClock))));
    }
    let mut mistakes = Vec::new();
    let mut routes = Vec::new();
    for route in &settings.routes {
        let targets: Result<Vec<_>, String> = route.targets.iter().map(|target| target.parse()).collect();
        match targets {
            Ok(targets) => routes.push(RouteConfig {
                name: route.name.clone(),
                targets,
                egress: if route.allow_cloud { Egress::Allowed } else { Egress::LocalOnly },
            }),
            Err(mistake) => mistakes.push(format!("routes.{}.targets: {mistake}", route.name)),
        }
    }
    if !mistakes.is_empty() {
        return Err(Error::Configuration(mistakes));
    }
    Router::new(Options { routes, ..Options::new(providers) })
}
