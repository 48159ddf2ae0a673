//! Which models a call may go to, best first, and why in plain words.
//!
//! ```text
//!   name ──▶ targets ──▶ those the caller may use ──▶ without the cloud, or without the machine, as egress and caller say
//!        ──▶ pinned content ──▶ what the request needs, if any has it ──▶ order: as named, or loaded and least busy first
//! ```
//! Providers in the cloud are left out before anything is asked of them: for a request that must stay here not even a
//! listing is fetched.

mod names;

use crate::{
    Call, DEFAULT_ROUTE, Error, RouteConfig,
    accounts::Price,
    balance::{Share, Turns},
    catalogue::{Freshness, Shelf, same_model},
    providers::Provider,
    redaction::Patterns,
    route::{Balance, Drift, Policy, Target},
    router::Timeouts,
};
use names::Found;
use protocol::{Candidate as Considered, Egress, Location, Model};
use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// What decides between targets.
#[derive(Clone, Debug)]
pub(crate) struct Needs {
    pub(crate) egress: Egress,
    pub(crate) placement: Placement,
    pub(crate) work: Work,
    pub(crate) tools: bool,
    pub(crate) schema: bool,
    pub(crate) images: bool,
}

impl Needs {
    /// Of something that asks for nothing else.
    pub(crate) fn new(egress: Egress, placement: Placement, work: Work) -> Self {
        Self { egress, placement, work, tools: false, schema: false, images: false }
    }

    pub(crate) fn of(call: &Call, work: Work) -> Self {
        let peek = &call.asked.peek;
        let (tools, schema, images) = (peek.has_tools, peek.has_schema, peek.has_images);
        Self { tools, schema, images, ..Self::new(call.egress, call.placement, work) }
    }
}

/// Where the caller wants it done; may only tighten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Placement {
    #[default]
    Auto,
    LocalOnly,
    CloudOnly,
}

impl Placement {
    pub(crate) fn tightened(self, egress: Egress) -> Egress {
        if self == Self::LocalOnly { Egress::LocalOnly } else { egress }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Chat,
    Embed,
}

/// A model that may be asked.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) provider: Arc<dyn Provider>,
    /// Of the provider in the table.
    pub(crate) shelf: usize,
    pub(crate) model: Arc<Model>,
    /// The tighter of what the caller and the route allow.
    pub(crate) egress: Egress,
    pub(crate) why: Cow<'static, str>,
    /// In memory now. `None`: its provider does not know such a thing.
    pub(crate) loaded: Option<bool>,
    /// It lacks what the request needs, and is asked after those that have it.
    pub(crate) is_stopgap: bool,
    /// What to tell whoever reads the answer.
    pub(crate) notice: Option<String>,
    /// `None`: not known.
    pub(crate) price: Option<Price>,
}

impl Candidate {
    pub(crate) fn id(&self) -> &str {
        &self.model.id
    }
}

/// Everything that was decided about a name.
pub(crate) struct Plan {
    /// How the name was understood.
    pub(crate) rule: String,
    pub(crate) policy: Policy,
    pub(crate) egress: Egress,
    pub(crate) candidates: Vec<Candidate>,
    /// Also those that were left out.
    pub(crate) considered: Vec<Considered>,
}

pub(crate) struct Table {
    pub(crate) shelves: Arc<Vec<Arc<Shelf>>>,
    pub(crate) routes: Vec<RouteConfig>,
    /// Of each provider.
    pub(crate) timeouts: Vec<Timeouts>,
    /// What is kept from the cloud where egress is `redacted`.
    pub(crate) patterns: Arc<Patterns>,
    /// Of routes that spread their calls.
    turns: HashMap<String, Turns>,
    /// What this machine has; `None`: not known.
    memory_bytes: Option<u64>,
}

/// How busy a target is; lower is better.
pub(crate) trait Load: Send + Sync {
    fn in_flight(&self, target: &str) -> usize;
}

impl Table {
    pub(crate) fn new(
        shelves: Arc<Vec<Arc<Shelf>>>,
        routes: Vec<RouteConfig>,
        timeouts: Vec<Timeouts>,
        patterns: Patterns,
        memory_bytes: Option<u64>,
    ) -> Self {
        let spread = routes.iter().filter(|route| route.policy.balance == Balance::Spread);
        let turns = spread.map(|route| (route.name.clone(), Turns::default())).collect();
        Self { shelves, routes, timeouts, patterns: Arc::new(patterns), turns, memory_bytes }
    }

    /// The providers that a request with this egress may ask anything.
    pub(crate) fn shelves_within(&self, egress: Egress) -> impl Iterator<Item = &Arc<Shelf>> {
        self.shelves.iter().filter(move |shelf| !is_kept_in(shelf, egress))
    }

    /// Providers that it may not.
    pub(crate) fn names_beyond(&self, egress: Egress) -> impl Iterator<Item = &str> {
        let beyond = self.shelves.iter().filter(move |shelf| is_kept_in(shelf, egress));
        beyond.map(|shelf| shelf.provider.name())
    }

    /// What a route names that a request with this egress may not use: known by name alone, because nobody was asked.
    pub(crate) fn targets_beyond(&self, route: &str, egress: Egress) -> impl Iterator<Item = Model> {
        let targets = self.routes.iter().filter(move |config| config.name == route).flat_map(|config| &config.targets);
        let beyond = targets.filter(move |target| self.names_beyond(egress).any(|name| name == target.provider));
        beyond.map(|target| Model {
            available: false,
            notice: Some("in the cloud: configured, not asked".to_owned()),
            ..Model::new(&target.provider, &target.model, Location::Cloud)
        })
    }

    /// Where a route names a model; those that it does not name come last.
    pub(crate) fn place(&self, route: &str, model: &Model) -> usize {
        let config = self.routes.iter().find(|config| config.name == route);
        let is_it = |target: &Target| target.provider == model.provider && same_model(&target.model, &model.name);
        config.and_then(|config| config.targets.iter().position(is_it)).unwrap_or(usize::MAX)
    }

    /// Whether it is the name of a route, and not of a model.
    pub(crate) fn is_route(&self, name: &str) -> bool {
        name == DEFAULT_ROUTE || self.routes.iter().any(|route| route.name == name)
    }

    /// Configured ones, and `default`, which there always is.
    pub(crate) fn route_names(&self) -> impl Iterator<Item = String> {
        let own = self.routes.iter().all(|route| route.name != DEFAULT_ROUTE).then(|| DEFAULT_ROUTE.to_owned());
        own.into_iter().chain(self.routes.iter().map(|route| route.name.clone()))
    }

    /// # Errors
    /// [`Error::UnknownRoute`], [`Error::EgressRefused`] when only cloud targets are left, [`Error::NoModel`] when the route
    /// leads nowhere.
    pub(crate) async fn plan(
        &self,
        route: &str,
        needs: &Needs,
        freshness: Freshness,
        load: &dyn Load,
    ) -> Result<Plan, Error> {
        let mut named = self.named(route, needs, freshness).await?;
        let mut considered = std::mem::take(&mut named.kept_in);
        let kept_in = !considered.is_empty();
        let egress = named.egress;
        let mut targets = named.targets;
        drop_if(&mut targets, &mut considered, |found| {
            placed_wrongly(found.model.location, egress, needs.placement).map(str::to_owned)
        });
        if targets.is_empty() {
            return Err(nothing_left(route, kept_in || !considered.is_empty(), needs.placement));
        }
        match needs.work {
            Work::Chat => drop_if(&mut targets, &mut considered, |found| {
                (!found.model.chats).then(|| "it does not chat".to_owned())
            }),
            // Some servers make vectors of any model and say nothing of it.
            Work::Embed if targets.iter().any(|found| found.model.embeds) => {
                drop_if(&mut targets, &mut considered, |found| {
                    (!found.model.embeds).then(|| "it makes no embeddings".to_owned())
                });
            }
            Work::Embed => {}
        }
        drop_if(&mut targets, &mut considered, |found| match (drift(found), named.policy.drift) {
            (Some(drift), Drift::Refuse) => Some(drift),
            _ => None,
        });
        if targets.is_empty() {
            let reasons: Vec<_> = considered.iter().map(|left| format!("{}: {}", left.target, left.why)).collect();
            return Err(Error::NoModel(format!(
                "route `{route}` has no target that can do this: {}",
                reasons.join("; ")
            )));
        }
        for found in &mut targets {
            found.notice = drift(found);
        }
        let mut whys = Vec::new();
        if !considered.is_empty()
            && targets.iter().all(|found| found.model.location == Location::Local)
            && egress == Egress::LocalOnly
        {
            whys.push("targets in the cloud are left out because this request may not leave the machine");
        }
        put_last(&mut targets, needs);
        self.look_at_what_is_loaded(&mut targets).await;
        if named.policy.balance == Balance::Spread {
            targets = self.spread(route, targets, load);
        }
        considered.extend(targets.iter().map(|found| Considered {
            target: found.model.id.clone(),
            kept: true,
            why: found.rule.clone().into_owned(),
            score: found.score,
        }));
        considered.append(&mut named.passed_over);
        let candidates = targets
            .into_iter()
            .map(|Found { shelf, model, rule, loaded, notice, lacks, .. }| Candidate {
                provider: self.shelves[shelf].provider.clone(),
                shelf,
                notice: notice
                    .or_else(|| self.shelves[shelf].provider.notice(&model.name))
                    .or_else(|| model.notice.clone()),
                model,
                egress,
                why: if whys.is_empty() { rule } else { format!("{rule}; {}", whys.join("; ")).into() },
                loaded,
                is_stopgap: lacks.contains(&true),
                price: None,
            })
            .collect();
        Ok(Plan { rule: named.rule, policy: named.policy, egress, candidates, considered })
    }

    /// Those that have what is needed first, of these the loaded ones, then the least busy by weight; equals take turns.
    fn spread<'a>(&self, route: &str, targets: Vec<Found<'a>>, load: &dyn Load) -> Vec<Found<'a>> {
        let shares: Vec<Share<'_>> = targets
            .iter()
            .map(|found| Share {
                target: &found.model.id,
                weight: found.target.weight,
                in_flight: u32::try_from(load.in_flight(&found.model.id)).unwrap_or(u32::MAX),
            })
            .collect();
        let order = self.turns.get(route).map_or_else(|| (0..shares.len()).collect(), |turns| turns.order(&shares));
        let mut targets: Vec<Option<Found<'_>>> = targets.into_iter().map(Some).collect();
        let mut ordered: Vec<Found<'_>> = order.into_iter().filter_map(|at| targets[at].take()).collect();
        ordered.sort_by_key(|found| (found.lacks, found.loaded == Some(false)));
        let count = ordered.len();
        for (at, found) in ordered.iter_mut().enumerate() {
            found.score = Some((count - at) as f64);
        }
        ordered
    }

    /// Only where it matters: a provider that is asked answers from this machine.
    async fn look_at_what_is_loaded(&self, targets: &mut [Found<'_>]) {
        for found in targets {
            if found.model.location == Location::Cloud {
                continue;
            }
            if let Some(loaded) = self.shelves[found.shelf].loaded().await {
                found.loaded = Some(loaded.iter().any(|loaded| same_model(&loaded.model, &found.model.name)));
            }
        }
    }
}

const NOT_OUT: &str = "it is in the cloud and this request may not leave the machine";

/// Whether nothing of a request with this egress may go there.
fn is_kept_in(shelf: &Shelf, egress: Egress) -> bool {
    placed_wrongly(shelf.provider.location(), egress, Placement::Auto).is_some()
}

pub(crate) fn placed_wrongly(location: Location, egress: Egress, placement: Placement) -> Option<&'static str> {
    match location {
        Location::Cloud if egress == Egress::LocalOnly => Some(NOT_OUT),
        Location::Local if placement == Placement::CloudOnly => Some("the caller asked for the cloud only"),
        _ => None,
    }
}

pub(crate) fn nothing_left(route: &str, left_out: bool, placement: Placement) -> Error {
    match (left_out, placement) {
        (true, Placement::CloudOnly) => Error::NoModel(format!(
            "route `{route}` has no target in the cloud that this request may use, and the caller asked for the cloud only. Drop `x-devmesh-route: cloud-only`, or allow egress for the route."
        )),
        (true, _) => Error::EgressRefused { route: route.to_owned() },
        (false, _) => Error::NoModel(format!(
            "route `{route}` leads to no model now: no provider on this machine has one. Start Ollama, fetch the embedded model with `devmesh models pull`, or configure the route."
        )),
    }
}

/// What a pinned target has become.
fn drift(found: &Found<'_>) -> Option<String> {
    let wanted = found.target.digest.as_deref()?;
    let short = |digest: &str| digest.chars().take(12).collect::<String>();
    match found.model.digest.as_deref().map(|digest| digest.trim_start_matches("sha256:")) {
        Some(digest) if digest.eq_ignore_ascii_case(wanted) => None,
        Some(digest) => Some(format!("its content is {}, and the route pins {}", short(digest), short(wanted))),
        None => Some(format!("its provider does not tell its content, and the route pins {}", short(wanted))),
    }
}

fn drop_if(targets: &mut Vec<Found<'_>>, considered: &mut Vec<Considered>, why: impl Fn(&Found<'_>) -> Option<String>) {
    targets.retain(|found| match why(found) {
        Some(why) => {
            considered.push(Considered { target: found.model.id.clone(), kept: false, why, score: None });
            false
        }
        None => true,
    });
}

/// Puts what does not fit behind what does: it may do all the same, and is better than nobody.
fn put_last(targets: &mut [Found<'_>], needs: &Needs) {
    for found in targets.iter_mut() {
        let lacks = [
            (needs.tools && !found.model.native_tools, "has no tool calls of its own"),
            (needs.schema && !found.model.structured_output, "cannot be held to a JSON schema"),
            (needs.images && !found.model.vision, "does not look at images"),
        ];
        found.lacks = lacks.map(|(lacks, _)| lacks);
        let lacks: Vec<_> = lacks.iter().filter(|(lacks, _)| *lacks).map(|(_, what)| *what).collect();
        if !lacks.is_empty() {
            found.rule = format!("{}; it {}, and this request needs that", found.rule, lacks.join(" and ")).into();
        }
    }
    targets.sort_by_key(|found| found.lacks);
}
