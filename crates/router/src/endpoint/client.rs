//! What carries a request to a server and its answer back.
//!
//! Models on this machine or in this network are spoken to in plain HTTP by the client that `reqwest` itself is built on,
//! without the layers around it: redirects, proxies and encodings have no place there, and a call is short enough to feel
//! them. Everything else has TLS, and perhaps a proxy on its way.

use super::chain;
use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::Full;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use protocol::Location;
use reqwest::{Body, Url, redirect};
use std::{
    collections::HashMap,
    error::Error,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Servers close idle connections after a minute or more; not using one that long avoids meeting a closed one.
const IDLE: Duration = Duration::from_secs(30);
/// A silent peer is asked this often whether it is still there.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Threads that have connections of their own; further ones share.
const THREADS: usize = 8;
/// Addresses that are remembered. There are about ten; those that callers choose come and go.
const ADDRESSES: usize = 32;

pub(super) struct Client {
    base: String,
    kind: Kind,
    /// Parsed before: parsing one takes longer than asking for it.
    addresses: RwLock<HashMap<String, Address>>,
}

enum Kind {
    /// One per thread that calls: a connection is driven by the thread that opened it, so one that is used again by
    /// another costs a wake-up each way.
    Plain(Vec<legacy::Client<HttpConnector, Full<Bytes>>>),
    /// Over TLS a round trip hides every wake-up, and each client would hold all certificates anew.
    Full(reqwest::Client),
}

#[derive(Clone)]
pub(super) struct Address {
    url: Url,
    uri: http::Uri,
}

/// An answer, its body unread.
pub(super) type Response = http::Response<Body>;

/// No answer came.
pub(super) struct Failure {
    /// Nothing was sent.
    pub(super) is_connect: bool,
    pub(super) is_timeout: bool,
    /// With all causes, and without the URL.
    pub(super) message: String,
}

impl Client {
    /// # Errors
    /// When there is no certificate to trust anybody with.
    pub(super) fn new(base: &Url, location: Location, connect_timeout: Duration) -> Result<Self, reqwest::Error> {
        let kind = if base.scheme() == "http" && location == Location::Local {
            Kind::Plain((0..THREADS).map(|_| plain(connect_timeout)).collect())
        } else {
            Kind::Full(full(base, location, connect_timeout)?)
        };
        let base = base.as_str().trim_end_matches('/').to_owned();
        Ok(Self { base, kind, addresses: RwLock::default() })
    }

    /// The URL that all paths lie below, without a slash at its end.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    pub(super) async fn send(
        &self,
        method: Method,
        address: Address,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Failure> {
        match &self.kind {
            Kind::Plain(clients) => {
                let mut request = http::Request::new(Full::new(body));
                *request.method_mut() = method;
                *request.uri_mut() = address.uri;
                *request.headers_mut() = headers;
                let response = clients[slot()].request(request).await?;
                Ok(response.map(Body::wrap))
            }
            Kind::Full(client) => {
                let response = client.request(method, address.url).headers(headers).body(body).send().await?;
                Ok(response.into())
            }
        }
    }

    /// Of a path below the base URL, or why it has none.
    pub(super) fn address(&self, path: &str) -> Result<Address, String> {
        if let Some(address) = self.addresses.read().unwrap_or_else(PoisonError::into_inner).get(path) {
            return Ok(address.clone());
        }
        let wrong = |error: &dyn Error| format!("`{path}` is no path below {}: {error}", self.base);
        let url = Url::parse(&format!("{}{path}", self.base)).map_err(|error| wrong(&error))?;
        let uri = url.as_str().parse().map_err(|error: http::uri::InvalidUri| wrong(&error))?;
        let address = Address { url, uri };
        let mut addresses = self.addresses.write().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() < ADDRESSES {
            addresses.insert(path.to_owned(), address.clone());
        }
        Ok(address)
    }
}

/// Of this thread.
fn slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SLOT: usize = NEXT.fetch_add(1, Ordering::Relaxed) % THREADS;
    }
    SLOT.with(|slot| *slot)
}

fn plain(connect_timeout: Duration) -> legacy::Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(connect_timeout));
    connector.set_nodelay(true);
    connector.set_keepalive(Some(KEEPALIVE));
    legacy::Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector)
}

/// With TLS, and with the proxies of the environment for what is not here.
pub(crate) fn full(
    base: &Url,
    location: Location,
    connect_timeout: Duration,
) -> Result<reqwest::Client, reqwest::Error> {
    // Fails when the program has chosen a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE)
        .tcp_keepalive(KEEPALIVE)
        .tcp_nodelay(true)
        // A redirect could lead a prompt out of the machine.
        .redirect(redirect::Policy::none());
    if location == Location::Local {
        // So could a proxy named in the environment.
        builder = builder.no_proxy();
    }
    if base.scheme() == "http" {
        // No certificate is ever looked at, and an empty image has none to load.
        builder = builder.tls_certs_only([]);
    }
    builder.build()
}

impl From<legacy::Error> for Failure {
    fn from(error: legacy::Error) -> Self {
        let mut cause: Option<&dyn Error> = Some(&error);
        let mut is_timeout = false;
        while let Some(error) = cause {
            let timed_out = |error: &std::io::Error| error.kind() == std::io::ErrorKind::TimedOut;
            is_timeout |= error.downcast_ref().is_some_and(timed_out);
            cause = error.source();
        }
        // The outermost only says that a request failed.
        let message = error.source().map_or_else(|| error.to_string(), chain);
        Self { is_connect: error.is_connect(), is_timeout, message }
    }
}

impl From<reqwest::Error> for Failure {
    fn from(error: reqwest::Error) -> Self {
        Self { is_connect: error.is_connect(), is_timeout: error.is_timeout(), message: chain(&error.without_url()) }
    }
}
