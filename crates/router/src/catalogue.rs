//! What each provider offers and has loaded, asked for at most every few seconds and never waited for longer than two.
//!
//! A listing that is known is used while a newer one is fetched, so no call waits for a provider that only became slow.

use crate::{
    Awaited, Error,
    providers::{Loaded, Provider},
};
use protocol::Model;
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// A provider that has not listed its models by then counts as unavailable: a page that shows models must not hang on one
/// dead host.
pub(crate) const LISTING_TIMEOUT: Duration = Duration::from_secs(2);
/// What is loaded changes with every call to another model; asking is cheap for a local server.
const LOADED_FRESH: Duration = Duration::from_secs(1);
/// A provider that knows nothing of loading is not asked again for a while.
const LOADED_UNKNOWN: Duration = Duration::from_secs(30);
const LOADED_TIMEOUT: Duration = Duration::from_millis(500);

/// How old a listing may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    pub(crate) listed: Duration,
    pub(crate) failed: Duration,
    /// An older one than `listed` still serves while somebody else asks.
    pub(crate) stale: Duration,
}

impl Freshness {
    /// For people who look at the list.
    pub(crate) const SHOWN: Self =
        Self { listed: Duration::from_secs(5), failed: Duration::from_secs(5), stale: Duration::from_secs(5) };
    /// For calls: what a model can do changes rarely, and asking stands between the user and the first token.
    pub(crate) const CALL: Self =
        Self { listed: Duration::from_secs(30), failed: Duration::from_secs(5), stale: Duration::from_secs(600) };
    /// Ask now, unless somebody else just did.
    pub(crate) const NOW: Self = Self {
        listed: Duration::from_millis(500),
        failed: Duration::from_millis(500),
        stale: Duration::from_millis(500),
    };
}

pub(crate) type Listing = Result<Vec<Arc<Model>>, Error>;
/// `None`: the provider does not know such a thing.
type InMemory = Option<Arc<Vec<Loaded>>>;

/// The last answers of one provider.
pub(crate) struct Shelf {
    pub(crate) provider: Arc<dyn Provider>,
    listing: RwLock<Option<(Instant, Arc<Listing>)>>,
    /// Held while asking, so that many callers ask once; those who wait for it wait no longer than the one who asks.
    asking: Mutex<()>,
    loaded: Mutex<Option<(Instant, InMemory)>>,
}

impl Shelf {
    pub(crate) fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, listing: RwLock::new(None), asking: Mutex::const_new(()), loaded: Mutex::const_new(None) }
    }

    fn known(&self, listed: Duration, failed: Duration) -> Option<Arc<Listing>> {
        let known = self.listing.read().unwrap_or_else(PoisonError::into_inner);
        let (at, listing) = known.as_ref()?;
        let age = if listing.is_ok() { listed } else { failed };
        (at.elapsed() < age).then(|| listing.clone())
    }

    pub(crate) async fn listing(self: &Arc<Self>, freshness: Freshness) -> Arc<Listing> {
        if let Some(known) = self.known(freshness.listed, freshness.failed) {
            return known;
        }
        if let Some(stale) = self.known(freshness.stale, freshness.stale) {
            // What a model can do changes rarely; nobody waits for a server that has become slow to hear it again.
            if self.asking.try_lock().is_ok() {
                let shelf = Arc::clone(self);
                tokio::spawn(async move { shelf.ask(freshness).await });
            }
            return stale;
        }
        self.ask(freshness).await
    }

    async fn ask(&self, freshness: Freshness) -> Arc<Listing> {
        let _asking = self.asking.lock().await;
        if let Some(known) = self.known(freshness.listed, freshness.failed) {
            return known;
        }
        let listing = timeout(LISTING_TIMEOUT, self.provider.models()).await.unwrap_or_else(|_| {
            let provider = self.provider.name().to_owned();
            Err(Error::TimedOut { provider, awaited: Awaited::Listing, after: LISTING_TIMEOUT })
        });
        let listing: Arc<Listing> = Arc::new(listing.map(|models| models.into_iter().map(Arc::new).collect()));
        *self.listing.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), listing.clone()));
        listing
    }

    /// The model of that name. A name without a tag means the tag `latest`, as Ollama has it.
    pub(crate) async fn model(self: &Arc<Self>, name: &str, freshness: Freshness) -> Result<Option<Arc<Model>>, Error> {
        let listing = self.listing(freshness).await;
        match &*listing {
            Ok(models) => {
                let exact = models.iter().find(|model| model.name == name);
                let latest = || models.iter().find(|model| model.name.strip_suffix(":latest") == Some(name));
                Ok(exact.or_else(latest).cloned())
            }
            Err(error) => Err(error.clone()),
        }
    }

    /// What is loaded; `None` where the provider does not know or does not say.
    pub(crate) async fn loaded(&self) -> InMemory {
        let mut last = self.loaded.lock().await;
        if let Some((at, loaded)) = &*last
            && at.elapsed() < if loaded.is_some() { LOADED_FRESH } else { LOADED_UNKNOWN }
        {
            return loaded.clone();
        }
        let loaded = timeout(LOADED_TIMEOUT, self.provider.loaded()).await.ok().flatten().map(Arc::new);
        *last = Some((Instant::now(), loaded.clone()));
        loaded
    }
}

/// Whether two names of models mean the same one.
pub(crate) fn same_model(one: &str, other: &str) -> bool {
    one == other || one.strip_suffix(":latest") == Some(other) || other.strip_suffix(":latest") == Some(one)
}
