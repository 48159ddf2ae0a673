//! Getting over HTTP: ranges, redirects, and who gets to see a token.
//!
//! A token goes to the server it is for. Model hubs redirect to other hosts' storage with an address that is a permission by
//! itself; the token does not go along. Every host is told before it is asked for the first time.

use super::{Partial, Progress, Stage, Step};
use crate::Error;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Response, StatusCode, Url, redirect};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// A server that is there answers a connection within a second or two, also across the world.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer. Storage that wakes up slowly has been seen to take half of it.
const SILENCE: Duration = Duration::from_secs(60);
/// Hubs take two: to the name a repository has today, and to where the file is.
const MOST_REDIRECTS: usize = 5;
/// Tries in a row that brought nothing new.
const FRUITLESS_TRIES: u32 = 4;
/// Before the second try; twice as long before each further one.
const PAUSE: Duration = Duration::from_millis(500);
/// What a server says of an error, in characters.
const SAID: usize = 300;

/// A server, and what it is shown.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) base: Url,
    pub(crate) token: Option<String>,
}

impl Server {
    /// `setting` is the name under which the address is configured.
    pub(crate) fn new(base: &str, token: Option<&str>, setting: &str) -> Result<Server, Error> {
        let wrong = |reason: String| Error::Reference { reference: base.to_owned(), reason };
        let url = Url::parse(base).map_err(|error| wrong(format!("it is no address ({error}); see {setting}")))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong(format!("it is no http or https address; see {setting}")));
        }
        Ok(Server { base: url, token: token.map(str::to_owned) })
    }

    /// Below the base; segments are escaped.
    pub(crate) fn url<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        // Of http and https, which is all there is here.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub(crate) fn host(&self) -> String {
        host(&self.base)
    }
}

/// One client and its connections. Everything blocks: this runs on a thread that can be spared.
pub(crate) struct Http {
    runtime: tokio::runtime::Runtime,
    client: Client,
    asked: BTreeSet<String>,
}

impl Http {
    pub(crate) fn new(base: &Url) -> Result<Http, Error> {
        // Fails when the program has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("devmesh/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .redirect(redirect::Policy::none());
        if is_loopback(base) {
            builder = builder.no_proxy();
            if base.scheme() == "http" {
                // No certificate is looked at, and an empty image has none to load.
                builder = builder.tls_certs_only([]);
            }
        }
        let setup = |reason: String| Error::Unreachable { host: host(base), reason };
        let client = builder.build().map_err(|error| setup(chain(&error)))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Http { runtime: runtime.map_err(|error| setup(error.to_string()))?, client, asked: BTreeSet::new() })
    }

    /// An answer that is not an error, after all redirects.
    pub(crate) fn get(
        &mut self,
        server: &Server,
        url: &Url,
        headers: &HeaderMap,
        tell: &mut dyn FnMut(Step),
    ) -> Result<Response, Error> {
        let last = |_: &Response| false;
        let response = self.follow(server, Method::GET, url, headers, &last, tell)?;
        self.accepted(response)
    }

    /// The first answer on the way that has `header`, be it a redirect, or the last one.
    pub(crate) fn head_until(
        &mut self,
        server: &Server,
        url: &Url,
        header: &HeaderName,
        tell: &mut dyn FnMut(Step),
    ) -> Result<Response, Error> {
        let found = |response: &Response| response.headers().contains_key(header);
        self.follow(server, Method::HEAD, url, &HeaderMap::new(), &found, tell)
    }

    /// A small body. What is larger than `most_bytes` is an error.
    pub(crate) fn body(&self, mut response: Response, most_bytes: usize) -> Result<Vec<u8>, Error> {
        let host = host(response.url());
        let mut body = Vec::new();
        while let Some(chunk) = self.runtime.block_on(response.chunk()).map_err(|error| unreachable(&host, error))? {
            if body.len() + chunk.len() > most_bytes {
                let message = format!("its answer is longer than {most_bytes} bytes");
                return Err(Error::Server { host, status: response.status().as_u16(), message });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Appends what is missing of a file, from where it ends, however often the connection breaks.
    pub(crate) fn append(
        &mut self,
        server: &Server,
        url: &Url,
        partial: &mut Partial,
        tell: &mut dyn FnMut(Step),
    ) -> Result<(), Error> {
        let begun = partial.length();
        let mut fruitless = 0;
        while !partial.is_whole() {
            let before = partial.length();
            let Err(error) = self.append_once(server, url, partial, tell) else { continue };
            if partial.length() > before && matches!(error, Error::Unreachable { .. }) {
                fruitless = 0;
                continue;
            }
            fruitless += 1;
            // Without anything so far, a host that cannot be reached is more likely not to be there at all.
            let is_worth_it = match &error {
                Error::Unreachable { .. } => partial.length() > begun,
                Error::Server { status, .. } => matches!(status, 408 | 429 | 500..=599),
                _ => false,
            };
            if !is_worth_it || fruitless >= FRUITLESS_TRIES {
                return Err(error);
            }
            std::thread::sleep(PAUSE * 2_u32.pow(fruitless - 1));
        }
        Ok(())
    }

    fn append_once(
        &mut self,
        server: &Server,
        url: &Url,
        partial: &mut Partial,
        tell: &mut dyn FnMut(Step),
    ) -> Result<(), Error> {
        let from = partial.length();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={from}-"))
            && from > 0
        {
            headers.insert(header::RANGE, range);
        }
        let last = |_: &Response| false;
        let response = self.follow(server, Method::GET, url, &headers, &last, tell)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && from > 0 {
            // The server's file is shorter than what is here: one of the two is not what it should be.
            return partial.cut(0);
        }
        let mut response = self.accepted(response)?;
        let host = host(response.url());
        match response.status() {
            StatusCode::PARTIAL_CONTENT if from > 0 && range_start(&response) == Some(from) => {}
            StatusCode::OK => partial.cut(0)?,
            status => {
                let message = format!("it was asked for bytes from {from} on and sends others");
                return Err(Error::Server { host, status: status.as_u16(), message });
            }
        }
        let size_bytes = partial.wanted().size_bytes;
        if let Some(coming) = response.content_length()
            && partial.length() + coming != size_bytes
        {
            let has = partial.length() + coming;
            let message = format!("its file has {has} bytes and should have {size_bytes}: it was changed");
            return Err(Error::Server { host, status: response.status().as_u16(), message });
        }
        while let Some(chunk) = self.runtime.block_on(response.chunk()).map_err(|error| unreachable(&host, error))? {
            partial.append(&chunk)?;
            let progress =
                Progress { stage: Stage::Downloading, done_bytes: partial.length(), total_bytes: size_bytes };
            tell(Step::At(progress));
        }
        partial.sync()?;
        if partial.is_whole() {
            return Ok(());
        }
        let reason = format!("the connection ended after {} of {size_bytes} bytes", partial.length());
        Err(Error::Unreachable { host, reason })
    }

    fn follow(
        &mut self,
        server: &Server,
        method: Method,
        url: &Url,
        headers: &HeaderMap,
        is_enough: &dyn Fn(&Response) -> bool,
        tell: &mut dyn FnMut(Step),
    ) -> Result<Response, Error> {
        let mut url = url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let host = host(&url);
            if self.asked.insert(host.clone()) {
                tell(Step::Asks { host: host.clone() });
            }
            let mut request = self.client.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(token) = server.token.as_ref().filter(|_| url.origin() == server.base.origin()) {
                request = request.bearer_auth(token);
            }
            // Its timers begin with the call, which therefore is made inside the runtime.
            let sent = self.runtime.block_on(async { request.send().await });
            let response = sent.map_err(|error| unreachable(&host, error))?;
            let location = response.headers().get(header::LOCATION).filter(|_| response.status().is_redirection());
            let Some(location) = location.filter(|_| !is_enough(&response)) else { return Ok(response) };
            let status = response.status().as_u16();
            let refused = |message: String| Error::Server { host: host.clone(), status, message };
            let next = location.to_str().ok().and_then(|location| url.join(location).ok());
            let next = next.ok_or_else(|| refused("it redirects to what is no address".into()))?;
            if next.scheme() != "https" && next.scheme() != server.base.scheme() {
                return Err(refused(format!("it redirects to {}, which is not encrypted", self::host(&next))));
            }
            url = next;
        }
        let message = format!("it redirects more than {MOST_REDIRECTS} times");
        Err(Error::Server { host: host(&url), status: StatusCode::LOOP_DETECTED.as_u16(), message })
    }

    /// What the server says of an error is part of it.
    fn accepted(&self, response: Response) -> Result<Response, Error> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let host = host(response.url());
        // Its own words are better than none, and none are better than waiting for them.
        let body = self.body(response, 64 * 1024).unwrap_or_default();
        Err(Error::Server { host, status: status.as_u16(), message: said(status, &body) })
    }
}

/// A registry's `{"errors": [{"message": …}]}`, a hub's `{"error": …}`, or the beginning of whatever it is.
fn said(status: StatusCode, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let json: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let pointed = |pointer: &str| Some(json.as_ref()?.pointer(pointer)?.as_str()?.to_owned());
    let message = pointed("/errors/0/message").or_else(|| pointed("/error"));
    let message = message.unwrap_or_else(|| text.split_whitespace().collect::<Vec<_>>().join(" "));
    let reason = status.canonical_reason().unwrap_or("an unknown status");
    if message.is_empty() { reason.to_owned() } else { message.chars().take(SAID).collect() }
}

/// Of `bytes 100-199/200`.
fn range_start(response: &Response) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.trim().parse().ok()
}

fn unreachable(host: &str, error: reqwest::Error) -> Error {
    Error::Unreachable { host: host.to_owned(), reason: chain(&error.without_url()) }
}

/// The whole chain: the outermost error only says that a request failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut said = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        said.push(cause.to_string());
        next = cause.source();
    }
    said.dedup();
    said.join(": ")
}

/// With the port where it is not the usual one.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
