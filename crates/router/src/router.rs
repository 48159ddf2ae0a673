//! The routes and providers of one program.

use crate::{
    Call, DEFAULT_ROUTE, Error, Provider, RouteConfig,
    call::Answer,
    catalogue::{Freshness, Shelf},
    plan::{Needs, Table},
    route,
};
use futures_util::{Stream, future::join_all};
use protocol::{Egress, Location, Model, ModelStreamItem, Models, Route, UnavailableProvider};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub struct Options {
    /// In the order in which `default` looks for a model.
    pub providers: Vec<Arc<dyn Provider>>,
    pub routes: Vec<RouteConfig>,
    /// For a short prompt. Loading a model from disk and a reasoning model's silence both take a minute honestly.
    /// Default 120 s.
    pub first_token_timeout: Duration,
    /// More of it for each KiB of prompt (some 256 tokens). Default 4 s: what a small model needs on a slow CPU.
    pub first_token_timeout_per_kib: Duration,
    /// Between two signs of life. Default 60 s: a working model gives several a second.
    pub inter_token_timeout: Duration,
    /// Of text in one answer. Default 16 MiB: far more than any model's context holds.
    pub answer_bytes: usize,
}

impl Options {
    /// Without configured routes, and with the default limits.
    pub fn new(providers: Vec<Arc<dyn Provider>>) -> Self {
        Self {
            providers,
            routes: Vec::new(),
            first_token_timeout: Duration::from_secs(120),
            first_token_timeout_per_kib: Duration::from_secs(4),
            inter_token_timeout: Duration::from_secs(60),
            answer_bytes: crate::http::frame::ANSWER_BYTES,
        }
    }
}

/// Cheap to clone; clones share the listings.
#[derive(Clone)]
pub struct Router {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) table: Table,
    pub(crate) limits: Limits,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    first_token: Duration,
    first_token_per_kib: Duration,
    pub(crate) inter_token: Duration,
    pub(crate) answer_bytes: usize,
}

impl Limits {
    pub(crate) fn first_token(&self, prompt_bytes: usize) -> Duration {
        self.first_token.saturating_add(self.first_token_per_kib.mul_f64(prompt_bytes as f64 / 1024.0))
    }
}

impl Router {
    /// Does not connect anywhere.
    ///
    /// # Errors
    /// [`Error::Configuration`] with every mistake in routes and names.
    pub fn new(options: Options) -> Result<Self, Error> {
        let names: Vec<&str> = options.providers.iter().map(|provider| provider.name()).collect();
        let mistakes = route::mistakes(&options.routes, &names);
        if !mistakes.is_empty() {
            return Err(Error::Configuration(mistakes));
        }
        let table = Table { shelves: options.providers.into_iter().map(Shelf::new).collect(), routes: options.routes };
        let limits = Limits {
            first_token: options.first_token_timeout,
            first_token_per_kib: options.first_token_timeout_per_kib,
            inter_token: options.inter_token_timeout,
            answer_bytes: options.answer_bytes,
        };
        Ok(Self { inner: Arc::new(Inner { table, limits }) })
    }

    /// Everything there is, within two seconds. Providers that do not answer are named with the reason.
    pub async fn models(&self) -> Models {
        let table = &self.inner.table;
        let listings = join_all(table.shelves.iter().map(|shelf| shelf.listing(Freshness::SHOWN))).await;
        let mut all = Models { models: Vec::new(), routes: Vec::new(), unavailable: Vec::new() };
        for (shelf, listing) in table.shelves.iter().zip(listings) {
            match &*listing {
                Ok(models) => all.models.extend(models.iter().cloned()),
                Err(error) => all
                    .unavailable
                    .push(UnavailableProvider { provider: shelf.provider.name().to_owned(), error: error.to_string() }),
            }
        }
        let configured = table.routes.iter().map(|route| route.name.as_str());
        let own = Some(DEFAULT_ROUTE).filter(|name| table.routes.iter().all(|route| route.name != *name));
        for name in own.into_iter().chain(configured) {
            // From the listings fetched above. A route that leads nowhere now is still a route.
            let targets = self.targets(name, Egress::Allowed).await.unwrap_or_default();
            all.routes.push(Route { name: name.to_owned(), targets });
        }
        all
    }

    /// Where a name leads: a configured route, `default`, or `provider/model`.
    ///
    /// # Errors
    /// [`Error::UnknownRoute`], or [`Error::NoModel`] when it leads nowhere now.
    pub async fn route(&self, name: &str) -> Result<Route, Error> {
        self.route_within(name, Egress::Allowed).await
    }

    /// Like [`Router::route`], for a caller with this egress: of `local_only`, no cloud provider is asked anything.
    ///
    /// # Errors
    /// Also [`Error::EgressRefused`] when only cloud targets are left.
    pub async fn route_within(&self, name: &str, egress: Egress) -> Result<Route, Error> {
        Ok(Route { name: name.to_owned(), targets: self.targets(name, egress).await? })
    }

    async fn targets(&self, name: &str, egress: Egress) -> Result<Vec<Model>, Error> {
        let needs = Needs { egress, tools: false, schema: false };
        let candidates = self.inner.table.plan(name, needs, Freshness::SHOWN).await?;
        Ok(candidates.into_iter().map(|candidate| candidate.model).collect())
    }

    /// Answers a call. The last item is `finished` or `failed`, always exactly one of them. Nothing happens unless the
    /// stream is polled; dropping it, or `cancel`, ends the upstream request at once.
    pub fn call(
        &self,
        call: Call,
        cancel: CancellationToken,
    ) -> impl Stream<Item = ModelStreamItem> + Send + Unpin + 'static {
        Answer::stream(self.inner.clone(), call, cancel)
    }

    /// Whether any provider is in the cloud, for those who explain what may leave the machine.
    pub fn reaches_the_cloud(&self) -> bool {
        self.inner.table.shelves.iter().any(|shelf| shelf.provider.location() == Location::Cloud)
    }
}
