//! What a name leads to: the targets of a route, one model, or the default.

use super::{NOT_OUT, Needs, Table, Work, is_kept_in};
use crate::{
    DEFAULT_ROUTE, Error, Target,
    ability::{self, Ability},
    catalogue::Freshness,
    providers::Provider,
    route::Policy,
};
use futures_util::future::join_all;
use protocol::{Candidate as Considered, Egress, Location, Model};
use std::{borrow::Cow, sync::Arc};

/// Targets of a name, before anything is filtered.
pub(super) struct Named<'a> {
    pub(super) rule: String,
    pub(super) targets: Vec<Found<'a>>,
    /// Targets that egress or the caller kept out before their provider was asked.
    pub(super) kept_in: Vec<Considered>,
    /// Models that could answer too, were the first one not there.
    pub(super) passed_over: Vec<Considered>,
    pub(super) egress: Egress,
    pub(super) policy: Policy,
}

/// A target and what is known of it.
pub(super) struct Found<'a> {
    pub(super) shelf: usize,
    pub(super) target: Cow<'a, Target>,
    pub(super) model: Arc<Model>,
    /// Why the name leads here, in words.
    pub(super) rule: Cow<'static, str>,
    pub(super) loaded: Option<bool>,
    pub(super) notice: Option<String>,
    pub(super) score: Option<f64>,
    /// What the request needs and it does not have: tool calls, schemas, images. The first weighs most.
    pub(super) lacks: [bool; 3],
}

impl Table {
    pub(super) async fn named(&self, route: &str, needs: &Needs, freshness: Freshness) -> Result<Named<'_>, Error> {
        let asked_egress = needs.placement.tightened(needs.egress);
        if let Some(config) = self.routes.iter().find(|config| config.name == route) {
            let egress = asked_egress.min(config.egress);
            let (targets, kept_in) = self.look_up(&config.targets, egress, freshness).await;
            let targets = targets.into_iter().map(|(shelf, target, model)| Found {
                rule: match config.targets.iter().position(|named| named == target) {
                    _ if config.targets.len() == 1 => format!("route `{route}` names it"),
                    Some(0) | None => format!("route `{route}` names it first"),
                    Some(at) => format!("route `{route}` names it as number {}", at + 1),
                }
                .into(),
                // Not listed, or not reachable: worth a try all the same, since somebody named it.
                model: model.ok().flatten().unwrap_or_else(|| self.unlisted(shelf, target, needs.work)),
                shelf,
                target: Cow::Borrowed(target),
                loaded: None,
                notice: None,
                score: None,
                lacks: [false; 3],
            });
            return Ok(Named {
                rule: format!("`{route}` is a configured route"),
                targets: targets.collect(),
                kept_in,
                passed_over: Vec::new(),
                egress,
                policy: config.policy.clone(),
            });
        }
        if route == DEFAULT_ROUTE {
            return Ok(self.default_route(needs.work, freshness).await);
        }
        let target = match route.parse::<Target>() {
            Ok(target) if self.shelves.iter().any(|shelf| shelf.provider.name() == target.provider) => target,
            _ => match self.by_bare_name(route, asked_egress, freshness).await {
                Some(target) => target,
                // It may have been added a moment ago, or its server started.
                None => {
                    let found = self.by_bare_name(route, asked_egress, Freshness::NOW).await;
                    found.ok_or_else(|| self.unknown(route))?
                }
            },
        };
        let shelf = self.shelf_of(&target).ok_or_else(|| self.unknown(route))?;
        if is_kept_in(&self.shelves[shelf], asked_egress) {
            return Err(Error::EgressRefused { route: route.to_owned() });
        }
        let mut model = self.shelves[shelf].model(&target.model, freshness).await;
        if matches!(model, Ok(None)) {
            // It may have been added a moment ago.
            model = self.shelves[shelf].model(&target.model, Freshness::NOW).await;
        }
        let model = match model {
            Ok(Some(model)) => model,
            Ok(None) => return Err(self.unknown(route)),
            Err(_) => self.unlisted(shelf, &target, needs.work),
        };
        let rule = Cow::Borrowed("it was asked for by name");
        let found = Found {
            shelf,
            target: Cow::Owned(target),
            model,
            rule,
            loaded: None,
            notice: None,
            score: None,
            lacks: [false; 3],
        };
        Ok(Named {
            rule: format!("`{route}` is a model, not a route"),
            targets: vec![found],
            kept_in: Vec::new(),
            passed_over: Vec::new(),
            egress: asked_egress,
            policy: Policy::default(),
        })
    }

    /// Clients of one vendor know its models by their bare names. The first provider here that lists that name has it.
    async fn by_bare_name(&self, name: &str, egress: Egress, freshness: Freshness) -> Option<Target> {
        for shelf in self.shelves_within(egress) {
            if let Ok(Some(model)) = shelf.model(name, freshness).await {
                let (provider, model) = (model.provider.clone(), model.name.clone());
                return Some(Target { provider, model, digest: None, weight: 1 });
            }
        }
        None
    }

    /// One local model: going on to another by itself could silently swap a real model for a toy.
    async fn default_route(&self, work: Work, freshness: Freshness) -> Named<'_> {
        let local = self.shelves.iter().enumerate().filter(|(_, shelf)| shelf.provider.location() == Location::Local);
        let listings = local.map(async |(at, shelf)| (at, shelf.listing(freshness).await));
        let mut usable: Vec<(usize, Arc<Model>)> = Vec::new();
        for (at, listing) in join_all(listings).await {
            // A provider that does not answer has none now.
            let models = listing.iter().flatten().filter(|model| model.available && model.location == Location::Local);
            let able = models.filter(|model| match work {
                Work::Chat => model.chats,
                Work::Embed => model.embeds,
            });
            usable.extend(able.map(|model| (at, model.clone())));
        }
        let (rule, found) = match work {
            Work::Chat => ("the ablest local model that fits into memory", self.ablest_first(usable)),
            // Vectors of two models do not compare: the choice must not change with what else is there.
            Work::Embed => ("the first local model that makes vectors", in_order(usable)),
        };
        let mut found = found.into_iter();
        let targets: Vec<Found<'_>> = found.next().into_iter().collect();
        let passed_over = found.map(|found| Considered {
            target: found.model.id.clone(),
            kept: false,
            why: found.rule.into_owned(),
            score: found.score,
        });
        Named {
            rule: format!("route `{DEFAULT_ROUTE}` is not configured: {rule}"),
            targets,
            kept_in: Vec::new(),
            passed_over: passed_over.collect(),
            egress: Egress::LocalOnly,
            policy: Policy::default(),
        }
    }

    fn ablest_first<'a>(&self, usable: Vec<(usize, Arc<Model>)>) -> Vec<Found<'a>> {
        let memory_of = |shelf: usize| self.memory_bytes.filter(|_| is_on_this_machine(&*self.shelves[shelf].provider));
        let abilities: Vec<Ability> =
            usable.iter().map(|(shelf, model)| Ability::of(model, memory_of(*shelf))).collect();
        let ordered = ability::order(&abilities).into_iter().enumerate();
        ordered
            .map(|(rank, at)| {
                let (shelf, model) = &usable[at];
                let is = match (rank, usable.len()) {
                    (_, 1) => "the one local model".to_owned(),
                    (0, count) => format!("the ablest of {count} local models"),
                    (_, count) => format!("less able than another of {count} local models"),
                };
                let rule = format!("{is}: {}", abilities[at].why());
                found(*shelf, model, rule, Some(abilities[at].score()))
            })
            .collect()
    }

    /// What is known of each target, all providers asked at once, and those that were not asked because of `egress`.
    async fn look_up<'a>(
        &self,
        targets: &'a [Target],
        egress: Egress,
        freshness: Freshness,
    ) -> (Vec<(usize, &'a Target, Result<Option<Arc<Model>>, Error>)>, Vec<Considered>) {
        let shelved = targets.iter().filter_map(|target| Some((self.shelf_of(target)?, target)));
        let (kept_in, allowed): (Vec<_>, Vec<_>) =
            shelved.partition(|&(shelf, _)| is_kept_in(&self.shelves[shelf], egress));
        let found = join_all(allowed.into_iter().map(async |(shelf, target)| {
            let model = self.shelves[shelf].model(&target.model, freshness).await;
            (shelf, target, model)
        }));
        let kept_in = kept_in.into_iter().map(|(_, target)| Considered {
            target: target.id(),
            kept: false,
            why: NOT_OUT.to_owned(),
            score: None,
        });
        (found.await, kept_in.collect())
    }

    fn shelf_of(&self, target: &Target) -> Option<usize> {
        self.shelves.iter().position(|shelf| shelf.provider.name() == target.provider)
    }

    fn unlisted(&self, shelf: usize, target: &Target, work: Work) -> Arc<Model> {
        Arc::new(Model {
            chats: work == Work::Chat,
            embeds: work == Work::Embed,
            available: false,
            notice: Some("the provider does not list it now".to_owned()),
            ..Model::new(&target.provider, &target.model, self.shelves[shelf].provider.location())
        })
    }

    fn unknown(&self, name: &str) -> Error {
        let models = self.shelves.iter().map(|shelf| format!("{}/<model>", shelf.provider.name()));
        let known: Vec<String> = self.route_names().chain(models).collect();
        Error::UnknownRoute { name: name.chars().take(128).collect(), known: known.join(", ") }
    }
}

fn in_order<'a>(usable: Vec<(usize, Arc<Model>)>) -> Vec<Found<'a>> {
    let why = |at| if at == 0 { "the first local model that makes vectors" } else { "another one comes first" };
    usable.iter().enumerate().map(|(at, (shelf, model))| found(*shelf, model, why(at).to_owned(), None)).collect()
}

fn found<'a>(shelf: usize, model: &Arc<Model>, rule: String, score: Option<f64>) -> Found<'a> {
    let (provider, name) = (model.provider.clone(), model.name.clone());
    Found {
        shelf,
        target: Cow::Owned(Target { provider, model: name, digest: None, weight: 1 }),
        model: model.clone(),
        rule: rule.into(),
        loaded: None,
        notice: None,
        score,
        lacks: [false; 3],
    }
}

/// In this process, or reached over loopback: then this machine's memory is what it has.
fn is_on_this_machine(provider: &dyn Provider) -> bool {
    provider.server().is_none_or(|(host, _)| protocol::is_loopback(host))
}
