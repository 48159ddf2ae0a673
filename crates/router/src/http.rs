//! What the HTTP providers share: one way to connect, to read within limits, and to read errors.

pub(crate) mod failure;
pub(crate) mod frame;

use crate::{Error, Secret};
use bytes::Bytes;
use failure::short;
use futures_util::{Stream, StreamExt};
use protocol::Location;
use reqwest::{Client, RequestBuilder, Response, Url, header, redirect};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// TCP and TLS. A host that is there answers within a few round trips; one that is not must not hold up the next target.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// An error body is a sentence; more is not read.
const ERROR_BODY_BYTES: usize = 64 * 1024;
/// A listing of some thousand models, or everything `/api/show` tells of one.
const LISTING_BYTES: usize = 8 * 1024 * 1024;
/// Servers close idle connections after a minute or more; not using one that long avoids meeting a closed one.
const IDLE: Duration = Duration::from_secs(30);

/// One server and how to talk to it.
pub(crate) struct Endpoint {
    client: Client,
    base: String,
    pub(crate) provider: String,
    secret: Option<Secret>,
}

impl Endpoint {
    pub(crate) fn new(
        provider: &str,
        base_url: &str,
        location: Location,
        connect_timeout: Duration,
        secret: Option<Secret>,
    ) -> Result<Self, Error> {
        let invalid = |message: String| Error::Configuration(vec![format!("provider `{provider}`: {message}")]);
        let url = Url::parse(base_url).map_err(|error| invalid(format!("its base URL is not a URL: {error}")))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(format!("its base URL begins with {}:, not with http: or https:", url.scheme())));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(invalid("its base URL holds a user, a query or a fragment; a key belongs in `api_key`".into()));
        }
        if let Some(secret) = &secret
            && header::HeaderValue::from_str(secret.expose()).is_err()
        {
            return Err(invalid("its key holds characters that no header can carry".into()));
        }
        let client = client(&url, location, connect_timeout)
            .map_err(|error| invalid(format!("no HTTP client can be made: {}", chain(&error))))?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client, base, provider: provider.to_owned(), secret })
    }

    /// The answer's JSON, with a status of success and within [`LISTING_BYTES`].
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.json(self.client.get(format!("{}{path}", self.base)), "").await
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value, model: &str) -> Result<T, Error> {
        self.json(self.client.post(format!("{}{path}", self.base)).json(body), model).await
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder, model: &str) -> Result<T, Error> {
        let response = self.send(request, model).await?;
        let body = self.body(response, LISTING_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| self.malformed(&format!("{error} in its listing")))
    }

    /// Posts and gives the answer's stream of bytes, once the server has said that one comes as `media_type`.
    pub(crate) async fn stream(
        &self,
        path: &str,
        body: &Value,
        model: &str,
        media_type: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
        let request = self.client.post(format!("{}{path}", self.base)).json(body);
        let response = self.send(request.header(header::ACCEPT, media_type), model).await?;
        let said = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !said.is_empty() && !said.starts_with(media_type) {
            let said = said.to_owned();
            let body = self.body(response, ERROR_BODY_BYTES).await?;
            let error = serde_json::from_slice::<Value>(&body).ok().and_then(|body| {
                let error = body.get("error").filter(|error| !error.is_null())?;
                Some(failure::in_band(&self.provider, model, error))
            });
            let text = String::from_utf8_lossy(&body);
            let otherwise = || self.malformed(&format!("{said} instead of {media_type}: {}", short(&text)));
            return Err(self.scrubbed(error.unwrap_or_else(otherwise)));
        }
        let provider = self.provider.clone();
        Ok(response.bytes_stream().map(move |bytes| {
            bytes.map_err(|error| Error::Cut { provider: provider.clone(), message: chain(&error.without_url()) })
        }))
    }

    async fn send(&self, mut request: RequestBuilder, model: &str) -> Result<Response, Error> {
        if let Some(secret) = &self.secret {
            // Marks the header as sensitive, so no debug output of the client shows it.
            request = request.bearer_auth(secret.expose());
        }
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response);
        }
        let body = self.body(response, ERROR_BODY_BYTES).await.unwrap_or_default();
        Err(self.scrubbed(failure::status(&self.provider, model, status, &body, None)))
    }

    async fn body(&self, mut response: Response, limit: usize) -> Result<Vec<u8>, Error> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(error))? {
            if body.len() + chunk.len() > limit {
                return Err(Error::TooLarge { provider: self.provider.clone(), what: "a body", limit_bytes: limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: reqwest::Error) -> Error {
        let message = if error.is_connect() && error.is_timeout() {
            format!(
                "no connection to {} within the connect timeout. Is it running, and is the address right?",
                self.base
            )
        } else if error.is_connect() {
            format!(
                "cannot connect to {}: {}. Is it running, and is the address right?",
                self.base,
                chain(&error.without_url())
            )
        } else {
            chain(&error.without_url())
        };
        Error::Unavailable { provider: self.provider.clone(), message: self.scrub(&message) }
    }

    fn malformed(&self, message: &str) -> Error {
        Error::Malformed { provider: self.provider.clone(), message: self.scrub(message) }
    }

    fn scrub(&self, text: &str) -> String {
        self.secret.as_ref().map_or_else(|| text.to_owned(), |secret| secret.scrub(text))
    }

    /// The same error without the key, should the server have quoted it.
    pub(crate) fn scrubbed(&self, mut error: Error) -> Error {
        if let Error::Unavailable { message, .. }
        | Error::Denied { message, .. }
        | Error::Refused { message, .. }
        | Error::Filtered { message, .. }
        | Error::ContextLengthExceeded { message, .. }
        | Error::Failed { message, .. }
        | Error::Cut { message, .. }
        | Error::Malformed { message, .. } = &mut error
        {
            *message = self.scrub(message);
        }
        error
    }
}

fn client(base: &Url, location: Location, connect_timeout: Duration) -> Result<Client, reqwest::Error> {
    // Fails when the program has chosen a provider already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .connect_timeout(connect_timeout)
        .pool_idle_timeout(IDLE)
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
