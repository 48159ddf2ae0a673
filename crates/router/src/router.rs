//! The routes and providers of one program, and everything that calls share.

use crate::{
    Awaited, Call, Error, RouteConfig, Said,
    accounts::{Price, Prices},
    admission::{Admission, QueueFull, Slot, Standing},
    books::Books,
    catalogue::{Freshness, Shelf},
    departure::Departures,
    error,
    kept::Kept,
    metrics::Metrics,
    plan::{Candidate, Needs, Placement, Table, Work},
    providers::Provider,
    redaction::Patterns,
    route::{self, Policy},
    run::{self, Ended, Run, Trace},
    seals::Seals,
    targets::{Permit, Targets},
    telemetry::{CallSpan, Operation, Telemetry},
};
use domain::Clock;
use futures_util::{Stream, future::join_all};
use protocol::{Egress, Location, Model, ModelCallState, ModelStreamItem, Models, Route, UnavailableProvider};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::time::{Instant, timeout_at};

pub struct Options {
    /// In the order in which `default` looks for a model.
    pub providers: Vec<Mounted>,
    pub routes: Vec<RouteConfig>,
    pub prices: Prices,
    /// What is kept from the cloud where egress is `redacted`.
    pub patterns: Patterns,
    pub limits: Limits,
    pub clock: Arc<dyn Clock>,
    pub books: Books,
    /// Who is told of calls. `None`: nobody.
    pub telemetry: Option<Telemetry>,
    /// What this machine has of memory, for `default` to know which local models fit; `None`: not known, all do.
    pub memory_bytes: Option<u64>,
}

/// What may change while calls are made.
pub struct Configuration {
    pub routes: Vec<RouteConfig>,
    pub prices: Prices,
    /// What is kept from the cloud where egress is `redacted`.
    pub patterns: Patterns,
    /// By the provider's name; of one that is not in it, the router's own limits.
    pub timeouts: BTreeMap<String, Timeouts>,
}

/// A provider, how many calls it is given at once, and how long it may take.
#[derive(Clone)]
pub struct Mounted {
    pub provider: Arc<dyn Provider>,
    pub concurrency: usize,
    pub timeouts: Timeouts,
}

impl Mounted {
    /// With the router's own limits.
    pub fn new(provider: Arc<dyn Provider>, concurrency: usize) -> Self {
        Self { provider, concurrency, timeouts: Timeouts::default() }
    }
}

/// What differs for one provider from [`Limits`]. (Connecting is timed by the provider itself.)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// From the request to the answer's status line.
    pub headers: Option<Duration>,
    /// Until the first token of a short prompt.
    pub first_token: Option<Duration>,
    /// Between two signs of life.
    pub inter_token: Option<Duration>,
    /// For one whole answer.
    pub total: Option<Duration>,
}

/// How long is waited for what. Routes may say otherwise for the first token, callers for everything.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the first token of a model that is in memory. Default 30 s.
    pub first_token_loaded: Duration,
    /// Until that of a model in the cloud, where a reasoning model is honestly silent for a while. Default 60 s.
    pub first_token_cloud: Duration,
    /// Until that of a local model of which nobody knows whether it is loaded, or which is not: reading some GiB from disk
    /// takes its time. Default 120 s; three times what it took before when that is more.
    pub first_token_cold: Duration,
    /// More of it for each KiB of prompt (some 256 tokens), for models on this machine. Default 4 s: what a small model needs
    /// on a slow CPU.
    pub first_token_per_kib_local: Duration,
    /// The same for models in the cloud. Default 100 ms.
    pub first_token_per_kib_cloud: Duration,
    /// Between two signs of life. Default 60 s: a working model gives several a second.
    pub inter_token: Duration,
    /// From the request to the status line of a provider in the cloud. Default 30 s: it comes before any thinking. A local
    /// server may keep it back until the first token, so there it is that limit.
    pub headers_cloud: Duration,
    /// Until an answer that comes as one body, where nothing can be heard before all of it is there. Default 600 s: as long
    /// as the vendors' own clients wait for one.
    pub one_body: Duration,
    /// For one whole answer of one target. Default 1 h: the longest that a slow local model works on one honestly.
    pub total: Duration,
    /// For a place among a provider's calls. Default 120 s.
    pub queue: Duration,
    /// Of text in one answer. Default 16 MiB: far more than any model's context holds.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            first_token_loaded: Duration::from_secs(30),
            first_token_cloud: Duration::from_secs(60),
            first_token_cold: Duration::from_secs(120),
            first_token_per_kib_local: Duration::from_secs(4),
            first_token_per_kib_cloud: Duration::from_millis(100),
            inter_token: Duration::from_secs(60),
            headers_cloud: Duration::from_secs(30),
            one_body: Duration::from_secs(600),
            total: Duration::from_secs(3600),
            queue: Duration::from_secs(120),
            answer_bytes: crate::http::frame::ANSWER_BYTES,
        }
    }
}

impl Options {
    /// Without configured routes, and with the default limits.
    pub fn new(providers: Vec<Mounted>, patterns: Patterns, clock: Arc<dyn Clock>, books: Books) -> Self {
        Self {
            providers,
            routes: Vec::new(),
            prices: Prices::default(),
            patterns,
            limits: Limits::default(),
            clock,
            books,
            telemetry: None,
            memory_bytes: None,
        }
    }
}

/// Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Router {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    table: RwLock<Arc<Table>>,
    memory_bytes: Option<u64>,
    pub(crate) shelves: Arc<Vec<Arc<Shelf>>>,
    admissions: Vec<Admission>,
    pub(crate) targets: Targets,
    pub(crate) limits: Limits,
    pub(crate) kept: Kept,
    pub(crate) seals: Arc<Seals>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) books: Books,
    pub(crate) metrics: Metrics,
    pub(crate) telemetry: Option<Telemetry>,
}

impl Router {
    /// Does not connect anywhere.
    ///
    /// # Errors
    /// [`Error::Configuration`] with every mistake in routes and names.
    pub fn new(options: Options) -> Result<Self, Error> {
        check(&options.routes, &options.providers.iter().map(|mounted| mounted.provider.name()).collect::<Vec<_>>())?;
        let admissions = options.providers.iter().map(|mounted| Admission::new(mounted.concurrency)).collect();
        let timeouts = options.providers.iter().map(|mounted| mounted.timeouts).collect();
        let shelves: Arc<Vec<Arc<Shelf>>> =
            Arc::new(options.providers.into_iter().map(|mounted| Arc::new(Shelf::new(mounted.provider))).collect());
        options.books.set_prices(options.prices);
        let table =
            Arc::new(Table::new(shelves.clone(), options.routes, timeouts, options.patterns, options.memory_bytes));
        Ok(Self {
            inner: Arc::new(Inner {
                table: RwLock::new(table),
                memory_bytes: options.memory_bytes,
                shelves,
                admissions,
                targets: Targets::default(),
                limits: options.limits,
                kept: Kept::default(),
                seals: Arc::default(),
                clock: options.clock,
                books: options.books,
                metrics: Metrics::with(options.telemetry.as_ref()),
                telemetry: options.telemetry,
            }),
        })
    }

    /// Takes another configuration from the next target on that is asked.
    ///
    /// # Errors
    /// [`Error::Configuration`] with every mistake; then everything stays as it was.
    pub fn reload(&self, configuration: Configuration) -> Result<(), Error> {
        let Configuration { routes, prices, patterns, timeouts } = configuration;
        let names: Vec<&str> = self.inner.shelves.iter().map(|shelf| shelf.provider.name()).collect();
        check(&routes, &names)?;
        self.inner.books.set_prices(prices);
        let timeouts = names.iter().map(|name| timeouts.get(*name).copied().unwrap_or_default()).collect();
        let table =
            Arc::new(Table::new(self.inner.shelves.clone(), routes, timeouts, patterns, self.inner.memory_bytes));
        *self.inner.table.write().unwrap_or_else(PoisonError::into_inner) = table;
        self.inner.kept.clear();
        Ok(())
    }

    /// Everything a request with this egress may use, within two seconds. Providers that do not answer are named with the
    /// reason; of `local_only`, no provider in the cloud is asked anything, and those there are are named. Targets stand in the
    /// order of their route.
    pub async fn models(&self, egress: Egress) -> Models {
        let table = self.inner.table();
        let shelves: Vec<&Arc<Shelf>> = table.shelves_within(egress).collect();
        let listings = join_all(shelves.iter().map(|shelf| shelf.listing(Freshness::SHOWN))).await;
        let not_asked = table.names_beyond(egress).map(str::to_owned).collect();
        let mut all = Models { models: Vec::new(), routes: Vec::new(), unavailable: Vec::new(), not_asked };
        for (shelf, listing) in shelves.iter().zip(listings) {
            match &*listing {
                Ok(models) => all.models.extend(models.iter().map(|model| {
                    let notice = model.notice.clone().or_else(|| shelf.provider.notice(&model.name));
                    Model { notice, ..Model::clone(model) }
                })),
                Err(error) => all
                    .unavailable
                    .push(UnavailableProvider { provider: shelf.provider.name().to_owned(), error: error.to_string() }),
            }
        }
        for name in table.route_names() {
            // From the listings fetched above. A route that leads nowhere now is still a route.
            let mut route = self.route(&name, egress).await.unwrap_or_else(|_| Route {
                name: name.clone(),
                targets: Vec::new(),
                why: None,
            });
            route.targets.extend(table.targets_beyond(&name, egress));
            route.targets.sort_by_key(|model| table.place(&name, model));
            all.routes.push(route);
        }
        all
    }

    /// Where a name leads for a request with this egress: a configured route, `default`, or `provider/model`. Of `local_only`,
    /// no provider in the cloud is asked anything.
    ///
    /// # Errors
    /// [`Error::UnknownRoute`], [`Error::NoModel`] when it leads nowhere now, or [`Error::EgressRefused`] when only cloud
    /// targets are left.
    pub async fn route(&self, name: &str, egress: Egress) -> Result<Route, Error> {
        let needs = Needs::new(egress, Placement::Auto, Work::Chat);
        let table = self.inner.table();
        let plan = match table.plan(name, &needs, Freshness::SHOWN, &self.inner.targets).await {
            // A route to embedding models is one too.
            Err(Error::NoModel(_)) => {
                let needs = Needs { work: Work::Embed, ..needs };
                table.plan(name, &needs, Freshness::SHOWN, &self.inner.targets).await
            }
            plan => plan,
        };
        let candidates = plan?.candidates;
        let why = candidates.first().map(|first| first.why.to_string());
        let targets = candidates.into_iter().map(|candidate| Arc::unwrap_or_clone(candidate.model)).collect();
        Ok(Route { name: name.to_owned(), targets, why })
    }

    /// Answers a call of one of devmesh's own agents. The last item is `finished` or `failed`, always exactly one of them.
    /// Nothing happens unless the stream is polled; dropping it ends the upstream request at once.
    pub fn call(&self, call: Call) -> impl Stream<Item = ModelStreamItem> + Send + Unpin + 'static {
        run::items(Run::new(self.inner.clone(), call).steps())
    }

    pub fn books(&self) -> &Books {
        &self.inner.books
    }
}

fn check(routes: &[RouteConfig], providers: &[&str]) -> Result<(), Error> {
    let mistakes = route::mistakes(routes, providers);
    if mistakes.is_empty() { Ok(()) } else { Err(Error::Configuration(mistakes)) }
}

impl Inner {
    pub(crate) fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn admission(&self, shelf: usize) -> &Admission {
        &self.admissions[shelf]
    }

    pub(crate) fn admissions(&self) -> impl Iterator<Item = (&str, &Admission)> {
        self.shelves.iter().map(|shelf| shelf.provider.name()).zip(&self.admissions)
    }

    /// A place among the calls of this target's provider, and the breaker's leave to ask it. The leave is taken last: a probe
    /// that waits in a queue would keep everybody else out.
    pub(crate) async fn enter(
        &self,
        call: &Call,
        candidate: &Candidate,
        deadline: Option<Instant>,
        standing: &Standing,
    ) -> Result<(Slot, Permit), Error> {
        self.targets.check(candidate, &call.caller)?;
        let slot = self.slot(candidate, deadline, standing).await?;
        let permit = self.targets.permit(candidate, &call.caller, &self.shelves[candidate.shelf])?;
        Ok((slot, permit))
    }

    /// A place among the calls of this target's provider, once there is one. `standing` tells of the wait for it.
    pub(crate) async fn slot(
        &self,
        candidate: &Candidate,
        deadline: Option<Instant>,
        standing: &Standing,
    ) -> Result<Slot, Error> {
        let admission = self.admission(candidate.shelf);
        let provider = || candidate.model.provider.clone();
        let full = |QueueFull| Error::RateLimited {
            provider: provider(),
            message: Said::ours(error::QUEUE_FULL),
            retry_after: Some(admission.outlook().eta),
        };
        let after = self.limits.queue;
        let due = Instant::now() + after;
        let due = deadline.map_or(due, |deadline| deadline.min(due));
        let turn = admission.enter(&candidate.model.name).map_err(full)?;
        standing.at(turn.place());
        match timeout_at(due, turn.slot()).await {
            Ok(slot) => slot.map_err(full),
            Err(_) => Err(Error::TimedOut { provider: provider(), awaited: Awaited::Queue, after }),
        }
    }

    pub(crate) fn timeouts(&self, candidate: &Candidate) -> Timeouts {
        self.table().timeouts[candidate.shelf]
    }

    /// How long a target may be silent, for what is known of its state.
    pub(crate) fn first_token_timeout(&self, call: &Call, candidate: &Candidate, policy: Option<&Policy>) -> Duration {
        let limits = &self.limits;
        let local = candidate.model.location == Location::Local;
        let of_the_route = policy.and_then(|policy| policy.first_token_timeout);
        let configured = of_the_route.or(self.timeouts(candidate).first_token);
        let base = configured.unwrap_or_else(|| match (local, candidate.loaded) {
            (false, _) => limits.first_token_cloud,
            (true, Some(true)) => limits.first_token_loaded,
            (true, _) => {
                let before = self.targets.load_time(candidate.id()).unwrap_or_default();
                limits.first_token_cold.max(before.saturating_mul(3))
            }
        });
        let slope = if local { limits.first_token_per_kib_local } else { limits.first_token_per_kib_cloud };
        base.saturating_add(slope.mul_f64(call.asked.peek.prompt_bytes as f64 / 1024.0))
    }

    pub(crate) fn price(&self, model: &Model) -> Option<Price> {
        self.books.price(model.location, &model.provider, &model.name)
    }

    /// What a body for this target passes on its way out: secrets stay here, and what goes is on record. `None` where
    /// nothing leaves or nothing may.
    pub(crate) fn departures(&self, call: &Call, candidate: &Candidate) -> Option<Arc<Departures>> {
        match (candidate.model.location, candidate.egress) {
            (Location::Local, _) | (_, Egress::LocalOnly) => None,
            (_, Egress::Redacted) => Some(Departures::new(self, call, candidate, Some(self.table().patterns.clone()))),
            (_, Egress::Allowed) => Some(Departures::new(self, call, candidate, None)),
        }
    }

    /// The span of a call that begins now, where anybody is told of it.
    pub(crate) fn span(&self, call: &Call, operation: Operation) -> Option<Box<CallSpan>> {
        let telemetry = self.telemetry.as_ref()?;
        Some(telemetry.begin(call, operation, self.clock.now(), &self.table().patterns))
    }

    /// Books a call that is over, once.
    pub(crate) fn ended(&self, trace: &mut Trace, ended: &Ended) {
        let (usage, first_token, elapsed, queued) =
            (trace.usage(), trace.first_token(), trace.elapsed(), trace.queued());
        let Some(record) = trace.end(ended) else { return };
        let span = trace.take_span();
        let trace_id = span.as_ref().map(|span| tracing::field::display(span.trace_id()));
        let is_route = self.table().is_route(&record.route);
        self.metrics.ended(&record, is_route, usage, first_token, elapsed, queued);
        // Calls that went as planned are not worth a line each; `router=debug` has them.
        macro_rules! say {
            ($level:ident) => {
                tracing::$level!(
                    call_id = %record.id,
                    trace_id,
                    route = record.route,
                    provider = record.provider.as_deref(),
                    model = record.model.as_deref(),
                    state = record.state.as_str(),
                    input_tokens = record.tokens.map(|tokens| tokens.input),
                    output_tokens = record.tokens.map(|tokens| tokens.output),
                    cost_microusd = record.cost_microusd,
                    first_token_ms = record.first_token_ms,
                    total_ms = record.total_ms,
                    fallbacks = record.fallbacks,
                    "a model call ended"
                )
            };
        }
        if record.state == ModelCallState::Succeeded && record.fallbacks == 0 {
            say!(debug);
        } else {
            say!(info);
        }
        if let Some(span) = span {
            let failure = if let Ended::Failed(error) = ended { Some(error.code()) } else { None };
            span.end(&record, usage, first_token, failure);
        }
        self.books.record(record);
    }
}
