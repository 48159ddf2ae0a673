//! One server that is spoken to over HTTP: connecting, credentials, limits on what is read, and what its errors mean.
//!
//! ```text
//!   body ─▶ in the cloud? ──no──────────────────────▶ send with the next living credential ─▶ status ok ─▶ bytes
//!                └─yes─▶ checkpoint (none: refused) ─▶          │ key refused, or asked too often: it rests, the next one is tried
//!                                                               └ else: an error with its meaning
//! ```
//! A credential rests only for what was asked of a model in the router's own words. What a listing, another endpoint or a
//! caller's own headers are refused says nothing about it.

pub(crate) mod client;
mod credentials;
mod forwarding;
mod retry_after;

use crate::{
    Awaited, Error, Said, Secret,
    egress::Checkpoint,
    error,
    http::{
        failure::{self, short},
        frame::Unmarked,
    },
    providers::{ByteStream, ChatStream, Patience, Refusals},
    run::millis,
    telemetry::TraceContext,
};
use bytes::{Bytes, BytesMut};
use client::{Address, Client, Failure, Response};
use credentials::{Chosen, Credentials, Number, Rest};
pub(crate) use credentials::{Scheme, Used};
pub(crate) use forwarding::passing;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method, header};
use http_body_util::BodyExt;
use protocol::{Location, RefusedKey};
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// An error body is a sentence; more is not read.
const ERROR_BODY_BYTES: usize = 64 * 1024;
/// A listing of some thousand models, or everything that is known of one.
const LISTING_BYTES: usize = 8 * 1024 * 1024;
/// A whole answer or a batch of vectors in one body.
pub(crate) const BODY_BYTES: usize = 64 * 1024 * 1024;

/// What lines of JSON go by. An answer in one body of JSON is one line of them.
const LINES: [&str; 5] =
    ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json"];

const UNTOLD: [&str; 2] = ["text/plain", "application/octet-stream"];

fn is_as_asked(said: &str, asked: &str) -> bool {
    // Some name no type that tells anything; what comes is looked at in any case.
    UNTOLD.iter().any(|name| said.starts_with(name))
        || said.starts_with(asked)
        || (asked == LINES[0] && LINES.iter().any(|name| said.starts_with(name)))
}

pub(crate) struct Endpoint {
    client: Client,
    pub(crate) provider: String,
    location: Location,
    credentials: Credentials,
    /// Host and port.
    server: Option<(String, u16)>,
}

/// One request.
pub(crate) struct Request<'a> {
    pub(crate) method: Method,
    /// Below the base URL, with a slash; may have a query.
    pub(crate) path: &'a str,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Empty for what is asked beside calls of models: a listing, or another endpoint.
    pub(crate) model: &'a str,
    pub(crate) checkpoint: Option<&'a Arc<dyn Checkpoint>>,
    /// Where this request's content would be read: the endpoint's own location, or the cloud when that server forwards it.
    pub(crate) location: Location,
    pub(crate) patience: Patience,
    pub(crate) trace: Option<&'a TraceContext>,
    /// Is told the key, where what the answer says of it may set it aside.
    pub(crate) used: Option<&'a Used>,
    /// Is told of the keys that were not accepted before the one that was.
    pub(crate) refusals: Option<&'a Refusals>,
}

impl Endpoint {
    /// # Errors
    /// [`Error::Configuration`] when the base URL or a key cannot be used.
    pub(crate) fn new(
        provider: &str,
        base_url: &str,
        location: Location,
        connect_timeout: Duration,
        scheme: Scheme,
        secrets: Vec<Secret>,
    ) -> Result<Self, Error> {
        let invalid = |message: String| Error::Configuration(vec![format!("provider `{provider}`: {message}")]);
        let url = Url::parse(base_url).map_err(|error| invalid(format!("its base URL is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(format!("its base URL begins with {}:, not with http: or https:", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("its base URL holds a user, a query or a fragment; a key belongs in `api_key`".into()));
        }
        let credentials = Credentials::new(scheme, secrets, location).map_err(|message| invalid(message.to_owned()))?;
        let client = Client::new(&url, location, connect_timeout);
        let client = client.map_err(|error| invalid(format!("no HTTP client can be made: {}", chain(&error))))?;
        let host = url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned());
        let server = host.zip(url.port_or_known_default());
        Ok(Self { client, provider: provider.to_owned(), location, credentials, server })
    }

    pub(crate) fn server(&self) -> Option<(&str, u16)> {
        self.server.as_ref().map(|(host, port)| (host.as_str(), *port))
    }

    /// Something small to read, such as a listing.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str, patience: Patience) -> Result<T, Error> {
        let request = Request {
            method: Method::GET,
            path,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            model: "",
            checkpoint: None,
            // Asking for a listing tells nothing of anybody.
            location: Location::Local,
            patience,
            trace: None,
            used: None,
            refusals: None,
        };
        self.json(request).await
    }

    async fn json<T: DeserializeOwned>(&self, request: Request<'_>) -> Result<T, Error> {
        let body = self.whole_within(request, LISTING_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| self.malformed(&format!("{error} in its answer")))
    }

    /// The whole body of a successful answer.
    pub(crate) async fn whole(&self, request: Request<'_>) -> Result<Bytes, Error> {
        self.whole_within(request, BODY_BYTES).await
    }

    async fn whole_within(&self, request: Request<'_>, limit: usize) -> Result<Bytes, Error> {
        let response = self.for_programs(self.send(request).await?).await?;
        self.read(response, limit).await
    }

    /// The bytes of an answer that may come as a stream or in one body, whatever was asked for and whatever it is called.
    pub(crate) async fn answer(&self, request: Request<'_>) -> Result<ByteStream, Error> {
        let response = self.for_programs(self.send(request).await?).await?;
        Ok(self.text(response))
    }

    /// Not a page for people, whatever it says: the proxy's or the network's that stands before the server.
    async fn for_programs(&self, response: Response) -> Result<Response, Error> {
        let said = said_type(&response);
        if said.starts_with("text/html") {
            let said = said.to_owned();
            let text = self.read(response, ERROR_BODY_BYTES).await?;
            return Err(self.malformed(&format!("{said} instead of JSON: {}", short(&String::from_utf8_lossy(&text)))));
        }
        Ok(response)
    }

    /// The bytes of a streamed answer, once the server has said that one comes as `media_type`.
    pub(crate) async fn stream(&self, request: Request<'_>, media_type: &str) -> Result<ByteStream, Error> {
        let model = request.model;
        let response = self.send(request).await?;
        self.checked(response, model, media_type).await
    }

    async fn checked(&self, response: Response, model: &str, media_type: &str) -> Result<ByteStream, Error> {
        let said = said_type(&response);
        if !said.is_empty() && !is_as_asked(said, media_type) {
            let said = said.to_owned();
            let body = self.read(response, ERROR_BODY_BYTES).await?;
            let text = String::from_utf8_lossy(&body);
            return Err(self.unlike(model, &body, &format!("{said} instead of {media_type}: {}", short(&text))));
        }
        Ok(self.text(response))
    }

    /// Of a body that came with a success and is not what was asked for: the error that it is, else one with this message.
    pub(crate) fn unlike(&self, model: &str, body: &[u8], message: &str) -> Error {
        let said = serde_json::from_slice::<Value>(body).ok();
        let error = said.as_ref().and_then(|said| said.get("error")).filter(|error| !error.is_null());
        let error = error.map(|error| self.scrubbed(failure::in_band(&self.provider, model, error)));
        error.unwrap_or_else(|| self.malformed(message))
    }

    /// As [`Self::stream`], and whether the server says that JSON comes instead, which then is a whole answer.
    pub(crate) async fn stream_or_json(
        &self,
        request: Request<'_>,
        media_type: &str,
    ) -> Result<(bool, ByteStream), Error> {
        let model = request.model;
        let response = self.send(request).await?;
        if said_type(&response).starts_with("application/json") {
            return Ok((true, self.text(response)));
        }
        Ok((false, self.checked(response, model, media_type).await?))
    }

    /// A successful answer's status and headers, its body unread.
    pub(crate) async fn send(&self, request: Request<'_>) -> Result<Response, Error> {
        let model = request.model;
        let response = self.exchange(request).await?;
        if response.status().is_success() { Ok(response) } else { Err(self.failure(model, response).await) }
    }

    /// What the server answers, unless it refuses every credential.
    async fn exchange(&self, request: Request<'_>) -> Result<Response, Error> {
        let Request { method, path, mut headers, body, model, checkpoint, location, patience, trace, used, refusals } =
            request;
        let is_beside = model.is_empty();
        let address = self.client.address(path).map_err(|message| Error::invalid("", message))?;
        let mut keys = self.credentials.in_turn(model);
        if keys.is_empty() && is_beside {
            // Whether a key that was refused is accepted again shows in a listing.
            keys = self.credentials.all();
        }
        if keys.is_empty() && !self.credentials.is_empty() {
            return Err(self.all_rest(model));
        }
        let leaves = self.location == Location::Cloud || location == Location::Cloud;
        let body = match checkpoint {
            Some(checkpoint) if leaves && !body.is_empty() => checkpoint.clear(body).await?,
            None if leaves && !body.is_empty() => {
                return Err(Error::EgressRefused { route: format!("{}/{model}", self.provider) });
            }
            _ => body,
        };
        // Which of the user's traces a prompt belongs to is none of a cloud's business.
        if let Some(trace) = trace.filter(|_| !leaves) {
            trace.write(&mut headers);
        }
        // With a feature that a caller asks for, a key may be refused that is good without it.
        let may_rest = !is_beside && !headers.contains_key("anthropic-beta") && !headers.contains_key("openai-beta");
        if self.credentials.is_empty() {
            return self.send_once(method, address, headers, body, patience).await;
        }
        let last = keys.len() - 1;
        for (at, key) in keys.iter().enumerate() {
            if let Some(checkpoint) = checkpoint.filter(|_| at > 0 && leaves && !body.is_empty()) {
                checkpoint.again().await?;
            }
            let mut headers = if at == last { std::mem::take(&mut headers) } else { headers.clone() };
            let (name, value) = key.header();
            // Marked as sensitive, so no debug output of the client shows it.
            headers.insert(name, value);
            let response = self.send_once(method.clone(), address.clone(), headers, body.clone(), patience).await?;
            let status = response.status().as_u16();
            if !matches!(status, 401 | 402 | 429) {
                if response.status().is_success() {
                    self.credentials.revive(key);
                }
                if let Some(used) = used.filter(|_| may_rest) {
                    used.note(key);
                }
                return Ok(response);
            }
            if is_beside {
                if at == last {
                    return Ok(response);
                }
                continue;
            }
            let error = self.failure(model, response).await;
            match &error {
                Error::Denied { .. } if may_rest => self.refused(key, status),
                Error::RateLimited { retry_after: Some(wait), .. } => self.credentials.limited(key, model, *wait),
                Error::Denied { .. } | Error::RateLimited { .. } => {}
                _ => return Err(error),
            }
            if at == last {
                return Err(self.of_all(model, error));
            }
            if let Some(refusals) = refusals {
                let Number { key, of } = self.credentials.number(key);
                refusals.note(format!("key {key} of {of}: {}", error.recorded()));
            }
        }
        Err(self.all_rest(model))
    }

    /// The answer to a request, whose errors set the key aside that it went out with: one that is refused after a success, or
    /// with a status that says something else, is refused as well.
    pub(crate) fn heeding(
        self: &Arc<Self>,
        used: Used,
        answer: Result<ChatStream, Error>,
    ) -> Result<ChatStream, Error> {
        let endpoint = self.clone();
        let heed = move |error| endpoint.heeded(&used, error);
        let answer = answer.map_err(&heed)?;
        Ok(Box::pin(answer.map_err(heed)))
    }

    /// The same of one error.
    pub(crate) fn heeded(&self, used: &Used, mut error: Error) -> Error {
        if let Error::Denied { message, .. } = &mut error {
            message.another_key = self.credentials.refused_later(used);
        }
        error
    }

    async fn send_once(
        &self,
        method: Method,
        address: Address,
        mut headers: HeaderMap,
        body: Bytes,
        patience: Patience,
    ) -> Result<Response, Error> {
        // Who says nothing may be answered in any coding.
        headers.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("identity"));
        let sent = timeout(patience.headers, self.client.send(method, address, headers, body)).await;
        let sent = sent.map_err(|_| Error::TimedOut {
            provider: self.provider.clone(),
            awaited: Awaited::Headers,
            after: patience.headers,
        })?;
        sent.map_err(|failure| self.unreachable(failure))
    }

    /// Nothing is sent, because no key would be accepted.
    fn all_rest(&self, model: &str) -> Error {
        let provider = self.provider.clone();
        match self.credentials.rest_of(model) {
            Rest::Limited(wait) => {
                Error::RateLimited { provider, message: Said::ours(error::RESTS), retry_after: Some(wait) }
            }
            Rest::Refused(wait, status) => Error::LeftAlone {
                provider,
                model: model.to_owned(),
                after: format!("HTTP {status}: it accepts none of the configured keys. Check them and the account"),
                retry_after: wait,
                may_pass: false,
            },
        }
    }

    fn refused(&self, key: &Chosen, status: u16) {
        if self.credentials.refused(key, status) {
            let Number { key, of } = self.credentials.number(key);
            tracing::warn!(provider = self.provider, key, of, status, "the provider does not accept a configured key");
        }
    }

    /// The configured keys that it does not accept.
    pub(crate) fn refused_keys(&self) -> Vec<RefusedKey> {
        let refused =
            self.credentials.all_refused().into_iter().map(|(Number { key, of }, status, since)| RefusedKey {
                provider: self.provider.clone(),
                key: key as u64,
                of: of as u64,
                status,
                for_ms: millis(since),
            });
        refused.collect()
    }

    /// What the last key was told, when all of them were told as much.
    fn of_all(&self, model: &str, mut error: Error) -> Error {
        if let Error::RateLimited { retry_after, .. } = &mut error {
            // As soon as one of them may be used again.
            *retry_after = match self.credentials.in_turn(model).is_empty() {
                true => match self.credentials.rest_of(model) {
                    Rest::Limited(wait) | Rest::Refused(wait, _) => Some(wait),
                },
                false => None,
            };
        }
        error
    }

    async fn failure(&self, model: &str, response: Response) -> Error {
        let (status, wait) = (response.status().as_u16(), retry_after::of(response.headers()));
        let body = self.read(response, ERROR_BODY_BYTES).await.unwrap_or_default();
        self.scrubbed(failure::status(&self.provider, model, status, &body, wait))
    }

    async fn read(&self, response: Response, limit: usize) -> Result<Bytes, Error> {
        let mut chunks = response.into_body().into_data_stream();
        let too_large = || Error::TooLarge { provider: self.provider.clone(), what: "a body", limit_bytes: limit };
        let broken = |error: reqwest::Error| broken_off(&self.provider, &error.without_url());
        let mut unmarked = Unmarked::default();
        let Some(first) = chunks.try_next().await.map_err(broken)? else { return Ok(Bytes::new()) };
        let first = unmarked.next(first);
        let Some(second) = chunks.try_next().await.map_err(broken)? else {
            return if first.len() > limit { Err(too_large()) } else { Ok(first) };
        };
        let mut body = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(chunk) = next {
            let chunk = unmarked.next(chunk);
            if body.len() + chunk.len() > limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
            next = chunks.try_next().await.map_err(broken)?;
        }
        Ok(body.freeze())
    }

    fn unreachable(&self, failure: Failure) -> Error {
        let (base, why) = (self.client.base(), failure.message);
        let message = if failure.is_connect && failure.is_timeout {
            format!("no connection to {base} within the connect timeout. Is it running, and is the address right?")
        } else if failure.is_connect {
            format!("cannot connect to {base}: {why}. Is it running, and is the address right?")
        } else {
            // It had the request, or a part of it.
            return Error::Cut { provider: self.provider.clone(), message: self.scrub(&why) };
        };
        Error::Unreachable { provider: self.provider.clone(), message: self.scrub(&message) }
    }

    pub(crate) fn malformed(&self, message: &str) -> Error {
        Error::Malformed { provider: self.provider.clone(), message: self.scrub(message) }
    }

    fn scrub(&self, text: &str) -> String {
        self.credentials.scrub(text)
    }

    /// The same error without a key, should the server have quoted it.
    pub(crate) fn scrubbed(&self, mut error: Error) -> Error {
        if let Some(said) = error.said_mut() {
            said.scrub(|text| self.scrub(text));
        } else if let Some(message) = error.message_mut() {
            *message = self.scrub(message);
        }
        error
    }
}

fn said_type(response: &Response) -> &str {
    response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("")
}

/// Of a body of JSON whose answer should come as `accept`.
pub(crate) fn json_headers(accept: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
    headers
}

/// The connection broke off within an answer. How is for whoever looks after the machine; nobody else can do anything with it.
fn broken_off(provider: &str, error: &reqwest::Error) -> Error {
    tracing::debug!(provider, error = chain(error), "a connection broke off within an answer");
    Error::Cut { provider: provider.to_owned(), message: "its connection broke off".to_owned() }
}

/// An error with its causes, because the outermost one only says that something failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    short(&text)
}
