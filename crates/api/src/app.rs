//! What every handler works with.

use crate::{
    auth::{Secret, Tickets, Tokens},
    guard::Allowed,
    profiles::Profiles,
    rate::{FailedAuthentications, Rate},
};
use domain::Clock;
use router::Router;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use store::Store;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How the edge behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub allowed: Allowed,
    pub limits: Limits,
    pub rates: Rates,
}

/// Where requests, connections and streams stop.
#[derive(Clone, Debug)]
pub struct Limits {
    /// JSON body of a request, in bytes. Default 4 MiB: a task of 2 MiB with its escapes.
    pub json_bytes: usize,
    /// JSON body of a model call, in bytes. Default 32 MiB: what vendors take, images included.
    pub model_call_bytes: usize,
    /// One artifact, in bytes. Default 64 MiB: large patches and whole command outputs; it is streamed, never held.
    pub artifact_bytes: u64,
    /// How long a JSON body may take to arrive. Default 30 s: 4 MiB on a slow line.
    pub body_timeout: Duration,
    /// How long an upload may pause. Default 30 s.
    pub upload_pause: Duration,
    /// How long the head of a request may take, and an idle connection stays open. Default 10 s.
    pub header_timeout: Duration,
    /// How long a client may leave its socket full before the connection is closed. Default 30 s.
    pub write_stall: Duration,
    /// Connections at once. Default 1,024: under the usual limit of open files with room for the database. A quarter of them
    /// stays free for those that have shown no token yet; of the others a sixteenth is kept for agents and a thirty-second part for
    /// admins, and one token has half of all at most.
    pub connections: usize,
    /// How long answers in flight may take after shutdown began. Default 10 s: what container runtimes wait for.
    pub drain: Duration,
    /// A stream with nothing to say says so this often. Default 15 s: under the idle limits of common proxies.
    pub heartbeat: Duration,
    /// A WebSocket is pinged this often, and closed when nothing came for two of them and a bit. Default 20 s.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_bytes: 4 * 1024 * 1024,
            model_call_bytes: 32 * 1024 * 1024,
            artifact_bytes: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(30),
            upload_pause: Duration::from_secs(30),
            header_timeout: Duration::from_secs(10),
            write_stall: Duration::from_secs(30),
            connections: 1024,
            drain: Duration::from_secs(10),
            heartbeat: Duration::from_secs(15),
            ping: Duration::from_secs(20),
        }
    }
}

/// How often may be asked.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Per token of a person or their program. Default 500/s, 1,000 at once: no program of good will comes near.
    pub token: Rate,
    /// Per agent token. Default 20,000/s, 40,000 at once: an agent appends an event per step and chunk of output, for
    /// many jobs under one token, and the store is what sets its pace.
    pub agent: Rate,
    /// Requests without a valid token, per address and minute. Default 20: a person fumbling with a header.
    pub failed_authentications_per_minute: u32,
}

impl Default for Rates {
    fn default() -> Self {
        Self { token: Rate::new(500, 1_000), agent: Rate::new(20_000, 40_000), failed_authentications_per_minute: 20 }
    }
}

/// What the program hands in.
pub struct Parts {
    pub store: Store,
    pub jobs: jobs::Handle,
    pub router: Arc<Router>,
    pub clock: Arc<dyn Clock>,
    pub options: Options,
}

pub struct App {
    pub(crate) store: Store,
    pub(crate) jobs: jobs::Handle,
    pub(crate) router: Arc<Router>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) tokens: Tokens,
    pub(crate) profiles: Profiles,
    pub(crate) tickets: Tickets,
    pub(crate) failed_authentications: FailedAuthentications,
    /// Work that outlives the request that began it, such as recording a model call.
    pub(crate) tasks: TaskTracker,
    /// Requests being answered; a stream counts until it begins.
    pub(crate) in_flight: AtomicUsize,
    /// Fires when shutdown begins: streams and long-polls end.
    pub(crate) stopping: CancellationToken,
    /// Fires when the time to drain is over: connections are cut.
    pub(crate) aborted: CancellationToken,
}

impl App {
    /// Loads the tokens and what is known of models. Make the first one before, with [`crate::ensure_admin_token`].
    pub async fn start(parts: Parts) -> Result<Arc<Self>, store::Error> {
        let Parts { store, jobs, router, clock, options } = parts;
        let tokens = Tokens::load(store.clone(), clock.clone(), options.rates, router.books().accounts()).await?;
        let profiles = Profiles::load(store.clone()).await?;
        Ok(Arc::new(Self {
            failed_authentications: FailedAuthentications::new(options.rates.failed_authentications_per_minute),
            tickets: Tickets::default(),
            tasks: TaskTracker::new(),
            in_flight: AtomicUsize::new(0),
            stopping: CancellationToken::new(),
            aborted: CancellationToken::new(),
            store,
            jobs,
            router,
            clock,
            options,
            tokens,
            profiles,
        }))
    }

    /// Why it cannot do all of its work now; empty when it can.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if let store::Health::NotWritable { reason } = self.store.health() {
            problems.push(format!("nothing can be stored: {reason}"));
        }
        if self.stopping.is_cancelled() {
            problems.push("the server stops".into());
        }
        problems
    }

    /// Requests being answered now, long-polls included. A stream counts until it begins.
    pub fn requests_in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A token for an agent process that the program starts itself; the one made before under this name ends.
    pub async fn mint_agent_token(&self, name: &str) -> Result<Secret, store::Error> {
        self.tokens.mint_agent(name).await
    }
}
