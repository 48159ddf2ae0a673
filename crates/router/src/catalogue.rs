//! What each provider offers, asked for at most every few seconds and never waited for longer than two.

use crate::{Awaited, Error, Provider};
use protocol::Model;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// A provider that has not listed its models by then counts as unavailable: a page that shows models must not hang on one
/// dead host.
pub(crate) const LISTING_TIMEOUT: Duration = Duration::from_secs(2);

/// How old a listing may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Freshness {
    pub(crate) listed: Duration,
    pub(crate) failed: Duration,
}

impl Freshness {
    /// For people who look at the list.
    pub(crate) const SHOWN: Self = Self { listed: Duration::from_secs(5), failed: Duration::from_secs(5) };
    /// For calls: what a model can do changes rarely, and asking stands between the user and the first token.
    pub(crate) const CALL: Self = Self { listed: Duration::from_secs(30), failed: Duration::from_secs(5) };
    /// Ask now, unless somebody else just did.
    pub(crate) const NOW: Self = Self { listed: Duration::from_millis(500), failed: Duration::from_millis(500) };
}

pub(crate) type Listing = Result<Vec<Model>, Error>;

/// The last listing of one provider. The lock is held while asking, so that many callers ask once; those who wait for it
/// wait no longer than the one who asks.
pub(crate) struct Shelf {
    pub(crate) provider: Arc<dyn Provider>,
    last: Mutex<Option<(Instant, Arc<Listing>)>>,
}

impl Shelf {
    pub(crate) fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, last: Mutex::const_new(None) }
    }

    pub(crate) async fn listing(&self, freshness: Freshness) -> Arc<Listing> {
        let mut last = self.last.lock().await;
        if let Some((at, listing)) = &*last {
            let age = if listing.is_ok() { freshness.listed } else { freshness.failed };
            if at.elapsed() < age {
                return listing.clone();
            }
        }
        let listing = timeout(LISTING_TIMEOUT, self.provider.models()).await.unwrap_or_else(|_| {
            let provider = self.provider.name().to_owned();
            Err(Error::TimedOut { provider, awaited: Awaited::Listing, after: LISTING_TIMEOUT })
        });
        let listing = Arc::new(listing);
        *last = Some((Instant::now(), listing.clone()));
        listing
    }

    /// The model of that name. A name without a tag means the tag `latest`, as Ollama has it.
    pub(crate) async fn model(&self, name: &str, freshness: Freshness) -> Result<Option<Model>, Error> {
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
}
