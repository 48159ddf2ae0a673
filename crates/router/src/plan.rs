//! Which models a call may go to, best first, and why in plain words.
//!
//! ```text
//!   name ──▶ targets ──▶ without the cloud, unless allowed ──▶ with what the request needs, if any has it ──▶ candidates
//! ```
//! Providers in the cloud are left out before anything is asked of them: for a request that must stay here not even a
//! listing is fetched.

use crate::{
    DEFAULT_ROUTE, Error, Provider, RouteConfig, Target,
    catalogue::{Freshness, Shelf},
};
use futures_util::future::join_all;
use protocol::{Egress, Location, Model};
use std::sync::Arc;

/// What decides between targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needs {
    pub(crate) egress: Egress,
    pub(crate) tools: bool,
    pub(crate) schema: bool,
}

/// A model that may be asked.
pub(crate) struct Candidate {
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) model: Model,
    /// The tighter of what the caller and the route allow.
    pub(crate) egress: Egress,
    pub(crate) why: String,
}

pub(crate) struct Table {
    pub(crate) shelves: Vec<Shelf>,
    pub(crate) routes: Vec<RouteConfig>,
}

/// Targets of a name, before anything is filtered.
struct Named {
    targets: Vec<Found>,
    /// Targets that egress kept out before their provider was asked.
    kept_in: usize,
    egress: Egress,
}

/// A target and what is known of it.
struct Found {
    shelf: usize,
    model: Model,
    /// Why the name leads here, in words.
    rule: String,
}

impl Table {
    /// # Errors
    /// [`Error::UnknownRoute`], [`Error::EgressRefused`] when only cloud targets are left, [`Error::NoModel`] when the route
    /// leads nowhere.
    pub(crate) async fn plan(&self, route: &str, needs: Needs, freshness: Freshness) -> Result<Vec<Candidate>, Error> {
        let mut named = self.named(route, needs.egress, freshness).await?;
        let mut whys = Vec::new();
        let before = named.targets.len();
        if named.egress == Egress::LocalOnly {
            named.targets.retain(|found| found.model.location == Location::Local);
        }
        let kept_in = named.kept_in + before - named.targets.len();
        if named.targets.is_empty() {
            return Err(if kept_in > 0 {
                Error::EgressRefused { route: route.to_owned() }
            } else {
                Error::NoModel(format!(
                    "route `{route}` leads to no model now: no provider on this machine has one. Start Ollama, fetch the embedded model with `devmesh models pull`, or configure the route."
                ))
            });
        }
        if kept_in > 0 {
            whys.push("targets in the cloud are left out because this request may not leave the machine");
        }
        if needs.tools && keep_if_any(&mut named.targets, |model| model.native_tools) {
            whys.push("targets without tool calls of their own are left out because this request has tools");
        }
        if needs.schema && keep_if_any(&mut named.targets, |model| model.structured_output) {
            whys.push("targets that cannot be held to a JSON schema are left out because this request has one");
        }
        Ok(named
            .targets
            .into_iter()
            .map(|Found { shelf, model, rule }| Candidate {
                provider: self.shelves[shelf].provider.clone(),
                model,
                egress: named.egress,
                why: std::iter::once(rule.as_str()).chain(whys.iter().copied()).collect::<Vec<_>>().join("; "),
            })
            .collect())
    }

    async fn named(&self, route: &str, egress: Egress, freshness: Freshness) -> Result<Named, Error> {
        if let Some(config) = self.routes.iter().find(|config| config.name == route) {
            let egress = tighter(egress, config.egress);
            let (targets, kept_in) = self.look_up(&config.targets, egress, freshness).await;
            let targets = targets.into_iter().map(|(shelf, target, model)| Found {
                shelf,
                // Not listed, or not reachable: worth a try all the same, since somebody named it.
                model: model.ok().flatten().unwrap_or_else(|| self.unlisted(shelf, &target)),
                rule: match config.targets.iter().position(|named| *named == target) {
                    _ if config.targets.len() == 1 => format!("route `{route}` names it"),
                    Some(0) | None => format!("route `{route}` names it first"),
                    Some(at) => format!("route `{route}` names it as number {}", at + 1),
                },
            });
            return Ok(Named { targets: targets.collect(), kept_in, egress });
        }
        if route == DEFAULT_ROUTE {
            return Ok(self.default_route(freshness).await);
        }
        let target: Target = route.parse().map_err(|_| self.unknown(route))?;
        let (mut found, kept_in) = self.look_up(std::slice::from_ref(&target), egress, freshness).await;
        if kept_in > 0 {
            return Err(Error::EgressRefused { route: route.to_owned() });
        }
        let (shelf, _, mut model) = found.pop().ok_or_else(|| self.unknown(route))?;
        if matches!(model, Ok(None)) {
            // It may have been added a moment ago.
            model = self.shelves[shelf].model(&target.model, Freshness::NOW).await;
        }
        let model = match model {
            Ok(Some(model)) => model,
            Ok(None) => return Err(self.unknown(route)),
            Err(_) => self.unlisted(shelf, &target),
        };
        let found = Found { shelf, model, rule: "it was asked for by name".to_owned() };
        Ok(Named { targets: vec![found], kept_in: 0, egress })
    }

    /// One local model: going on to the next provider by itself could silently swap a real model for a toy.
    async fn default_route(&self, freshness: Freshness) -> Named {
        let egress = Egress::LocalOnly;
        for (at, shelf) in self.shelves.iter().enumerate() {
            if shelf.provider.location() == Location::Cloud {
                continue;
            }
            let listing = shelf.listing(freshness).await;
            let Ok(models) = &*listing else { continue };
            let usable = || models.iter().filter(|model| model.available && model.location == Location::Local);
            if let Some(model) = usable().find(|model| model.native_tools).or_else(|| usable().next()) {
                let first = if model.native_tools { "its first model with tool calls" } else { "its first model" };
                let provider = shelf.provider.name();
                let rule = format!(
                    "route `{DEFAULT_ROUTE}` is not configured, `{provider}` is the first provider here that has a model, and this is {first}"
                );
                return Named { targets: vec![Found { shelf: at, model: model.clone(), rule }], kept_in: 0, egress };
            }
        }
        Named { targets: Vec::new(), kept_in: 0, egress }
    }

    /// What is known of each target, all providers asked at once, and how many were not asked because of `egress`.
    async fn look_up(
        &self,
        targets: &[Target],
        egress: Egress,
        freshness: Freshness,
    ) -> (Vec<(usize, Target, Result<Option<Model>, Error>)>, usize) {
        let shelved = targets.iter().filter_map(|target| {
            let shelf = self.shelves.iter().position(|shelf| shelf.provider.name() == target.provider)?;
            Some((shelf, target.clone()))
        });
        let (allowed, kept_in): (Vec<_>, Vec<_>) = shelved.partition(|&(shelf, _)| {
            egress == Egress::Allowed || self.shelves[shelf].provider.location() == Location::Local
        });
        let found = join_all(allowed.into_iter().map(async |(shelf, target)| {
            let model = self.shelves[shelf].model(&target.model, freshness).await;
            (shelf, target, model)
        }));
        (found.await, kept_in.len())
    }

    fn unlisted(&self, shelf: usize, target: &Target) -> Model {
        Model {
            id: target.to_string(),
            provider: target.provider.clone(),
            name: target.model.clone(),
            location: self.shelves[shelf].provider.location(),
            context_tokens: None,
            native_tools: false,
            structured_output: false,
            available: false,
            digest: None,
            size_bytes: None,
            notice: Some("the provider does not list it now".to_owned()),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let routes = self.routes.iter().map(|route| route.name.clone());
        let own = (!self.routes.iter().any(|route| route.name == DEFAULT_ROUTE)).then(|| DEFAULT_ROUTE.to_owned());
        let models = self.shelves.iter().map(|shelf| format!("{}/<model>", shelf.provider.name()));
        let known: Vec<String> = own.into_iter().chain(routes).chain(models).collect();
        Error::UnknownRoute { name: name.chars().take(128).collect(), known: known.join(", ") }
    }
}

fn tighter(one: Egress, other: Egress) -> Egress {
    if one == Egress::Allowed && other == Egress::Allowed { Egress::Allowed } else { Egress::LocalOnly }
}

/// Drops what does not fit, if anything does; tells whether something was dropped.
fn keep_if_any(targets: &mut Vec<Found>, fits: impl Fn(&Model) -> bool) -> bool {
    let before = targets.len();
    if targets.iter().any(|found| fits(&found.model)) {
        targets.retain(|found| fits(&found.model));
    }
    targets.len() < before
}
