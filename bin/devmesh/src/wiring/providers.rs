//! From settings to a router.

use super::{Catalogue, embedded::Embedded};
use crate::config::{Dialect, ProviderSettings, RouteSettings, Settings, memory_of_the_machine};
use domain::{Clock, SystemClock};
use protocol::Location;
use router::{
    Books, CONNECT_TIMEOUT, Configuration, Error, Mounted, Options, Provider, RouteConfig, Router, Secret,
    accounts::Prices,
    providers::{anthropic, ollama, openai},
    redaction::Patterns,
    telemetry::Telemetry,
};
use std::{path::Path, sync::Arc, time::Duration};

/// The embedded model answers one call at a time; who is next is decided where all queues are.
const EMBEDDED_CONCURRENCY: usize = 1;

/// Connects nowhere. The order of providers decides between equals: a running Ollama first, other services, and last what
/// runs in this process, which is there when nothing else is.
pub fn router(settings: &Settings, books: Books, telemetry: Option<Telemetry>) -> Result<Router, Error> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut providers = Vec::new();
    let all = settings;
    if let Some(settings) = &settings.ollama {
        let options = ollama::Options {
            base_url: settings.base_url.clone(),
            context: settings.context,
            location: location(settings.is_local),
            connect_timeout: connect_timeout(all, "ollama"),
            ..ollama::Options::default()
        };
        providers.push(mounted(all, Arc::new(ollama::Ollama::new(options)?), settings.concurrency));
    }
    for settings in &settings.providers {
        let connect_timeout = connect_timeout(all, &settings.name);
        providers.push(mounted(all, provider(settings, connect_timeout)?, settings.concurrency));
    }
    if settings.embedded.enabled {
        let embedded = Embedded::new(Catalogue::new(settings), &settings.embedded, clock.clone());
        providers.push(mounted(all, Arc::new(embedded), EMBEDDED_CONCURRENCY));
    }
    let Configuration { routes, prices, patterns, .. } = configuration(settings)?;
    Router::new(Options {
        routes,
        prices,
        telemetry,
        memory_bytes: memory_of_the_machine(),
        ..Options::new(providers, patterns, clock, books)
    })
}

/// What may change while the backend runs.
pub fn configuration(settings: &Settings) -> Result<Configuration, Error> {
    Ok(Configuration {
        routes: routes(&settings.routes),
        prices: prices(&settings.prices)?,
        patterns: Patterns::new(&settings.redaction.iter().cloned().collect())?,
        timeouts: settings.timeouts.iter().map(|(name, timeouts)| (name.clone(), timeouts.answer)).collect(),
    })
}

fn routes(settings: &[RouteSettings]) -> Vec<RouteConfig> {
    settings
        .iter()
        .map(|route| RouteConfig {
            name: route.name.clone(),
            targets: route.targets.clone(),
            egress: route.egress,
            policy: route.policy.clone(),
        })
        .collect()
}

/// The table of prices; empty where there is no file.
fn prices(file: &Path) -> Result<Prices, Error> {
    let wrong = |what: String| Error::Configuration(vec![format!("{}: {what}", file.display())]);
    match std::fs::read_to_string(file) {
        Ok(text) => Prices::parse(&text).map_err(|error| wrong(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Prices::default()),
        Err(error) => Err(wrong(error.to_string())),
    }
}

fn location(is_local: bool) -> Location {
    if is_local { Location::Local } else { Location::Cloud }
}

fn mounted(settings: &Settings, provider: Arc<dyn Provider>, concurrency: usize) -> Mounted {
    let timeouts = settings.timeouts.get(provider.name()).map(|timeouts| timeouts.answer).unwrap_or_default();
    Mounted { timeouts, ..Mounted::new(provider, concurrency) }
}

fn connect_timeout(settings: &Settings, provider: &str) -> Duration {
    settings.timeouts.get(provider).and_then(|timeouts| timeouts.connect).unwrap_or(CONNECT_TIMEOUT)
}

fn provider(settings: &ProviderSettings, connect_timeout: Duration) -> Result<Arc<dyn Provider>, Error> {
    let location = location(settings.is_local);
    let keys: Vec<Secret> = settings.api_keys.iter().map(Secret::new).collect();
    Ok(match settings.dialect {
        Dialect::OpenAi | Dialect::OpenAiResponses => {
            let mut options = openai::Options::new(&settings.name, &settings.base_url, location);
            options.api_keys = keys;
            options.connect_timeout = connect_timeout;
            options.efforts.clone_from(&settings.efforts);
            if settings.dialect == Dialect::OpenAiResponses {
                options.api = openai::Api::Responses;
            }
            if let Some(continues) = settings.continues_answers {
                options.prefill = if continues { openai::Prefill::LastMessage } else { openai::Prefill::None };
            }
            Arc::new(openai::OpenAi::new(options)?)
        }
        Dialect::Anthropic => {
            let mut options = anthropic::Options::new(&settings.name, keys);
            options.base_url.clone_from(&settings.base_url);
            options.location = location;
            options.connect_timeout = connect_timeout;
            options.prefill = settings.continues_answers;
            Arc::new(anthropic::Anthropic::new(options)?)
        }
        Dialect::Ollama => {
            let usual = ollama::Options::default();
            Arc::new(ollama::Ollama::new(ollama::Options {
                name: settings.name.clone(),
                base_url: settings.base_url.clone(),
                location,
                api_keys: keys,
                context: settings.context.unwrap_or(usual.context),
                prefill: settings.continues_answers,
                connect_timeout,
                ..usual
            })?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_of_going_on_with_answers_holds_in_every_dialect_that_can() {
        // Of a server whose models' names and templates say the opposite, too.
        for (dialect, model) in [
            (Dialect::OpenAi, "any"),
            (Dialect::Anthropic, "claude-3-5-sonnet-latest"),
            (Dialect::Anthropic, "any"),
            (Dialect::Ollama, "any"),
        ] {
            for continues in [true, false] {
                let settings = ProviderSettings {
                    name: "mine".to_owned(),
                    dialect,
                    base_url: "http://127.0.0.1:1".to_owned(),
                    api_keys: Vec::new(),
                    is_local: true,
                    concurrency: 1,
                    continues_answers: Some(continues),
                    efforts: openai::EffortsByModel::default(),
                    context: None,
                };
                let provider = provider(&settings, CONNECT_TIMEOUT).unwrap();
                assert_eq!(provider.continues_prefill(model), continues, "{dialect:?} {model}");
            }
        }
    }
}
