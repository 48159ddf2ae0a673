//! A TCP proxy that misbehaves on demand.
//!
//! ```text
//!   set(fault) ──▶ watch ──┬──▶ gatekeeper: holds the listening socket, or closes it while `Refuse` stands
//!                          └──▶ one pump per connection and direction: forwards under the fault of the moment
//! ```
//! A fault acts on connections that are open already as well as on new ones.

mod pump;

use pump::Counters;
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep},
};

/// What goes wrong between client and server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    Pass,
    /// Every piece of data waits this long, in both directions.
    Delay(Duration),
    /// Connections are accepted and stay open, and nothing comes through until the fault changes.
    Stall,
    /// After this many bytes towards the client (from now, or from the start of a later connection) the stream ends as if
    /// the server had closed it.
    CutAfter(u64),
    /// Like [`Fault::CutAfter`], with a connection reset.
    ResetAfter(u64),
    /// Open connections are reset and nothing listens: connecting fails with "connection refused".
    Refuse,
    /// At most this many bytes per second towards the client.
    Throttle { bytes_per_second: u64 },
}

/// Listens on a port of its own in front of a server. Gone when dropped, with every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    /// What the gatekeeper acts on by now, so [`FaultProxy::set`] can wait for it.
    in_force: watch::Receiver<Fault>,
    counters: Arc<Counters>,
    gatekeeper: AbortHandle,
}

impl FaultProxy {
    /// Forwards to `upstream`, at first without any fault.
    ///
    /// # Panics
    /// When no port on 127.0.0.1 can be had.
    pub async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on 127.0.0.1");
        let address = listener.local_addr().expect("the address of a listening socket");
        let (fault, watched) = watch::channel(Fault::Pass);
        let (applied, in_force) = watch::channel(Fault::Pass);
        let counters = Arc::new(Counters::default());
        let gatekeeper = Gatekeeper { address, upstream, watched, applied, counters: counters.clone() };
        let gatekeeper = tokio::spawn(gatekeeper.run(listener)).abort_handle();
        Self { address, fault, in_force, counters, gatekeeper }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From when this returns, `fault` is in force.
    pub async fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
        let mut in_force = self.in_force.clone();
        in_force.wait_for(|applied| *applied == fault).await.expect("the proxy lives as long as this handle");
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.counters.accepted.load(Ordering::SeqCst)
    }

    /// Connections open now.
    pub fn open(&self) -> u64 {
        self.counters.open.load(Ordering::SeqCst)
    }

    /// Bytes passed on towards clients so far.
    pub fn bytes_to_clients(&self) -> u64 {
        self.counters.bytes_to_clients.load(Ordering::SeqCst)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        // The pumps live in the gatekeeper's set and end with it.
        self.gatekeeper.abort();
    }
}

/// Owns the listening socket and every connection.
struct Gatekeeper {
    address: SocketAddr,
    upstream: SocketAddr,
    watched: watch::Receiver<Fault>,
    applied: watch::Sender<Fault>,
    counters: Arc<Counters>,
}

impl Gatekeeper {
    async fn run(mut self, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut connections = JoinSet::new();
        loop {
            let fault = *self.watched.borrow_and_update();
            if fault == Fault::Refuse {
                listener = None;
                connections.shutdown().await;
            } else if listener.is_none() {
                listener = Some(bind_again(self.address).await);
            }
            self.applied.send_replace(fault);
            tokio::select! {
                changed = self.watched.changed() => if changed.is_err() { return },
                client = accept(listener.as_ref()) => if let Ok(client) = client {
                    self.counters.accepted.fetch_add(1, Ordering::SeqCst);
                    connections.spawn(pump::connection(client, self.upstream, self.watched.clone(), self.counters.clone()));
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> io::Result<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.map(|(stream, _)| stream),
        None => std::future::pending().await,
    }
}

/// The same port again. Another process may hold it for a moment as an outgoing port of its own.
async fn bind_again(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpListener::bind(address).await {
            Ok(listener) => return listener,
            Err(error) if Instant::now() >= deadline => panic!("cannot listen on {address} again: {error}"),
            Err(_) => sleep(Duration::from_millis(10)).await,
        }
    }
}
