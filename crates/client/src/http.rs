//! One connection pool, one way to ask, one way to read an answer.

use crate::{ByteStream, Error, Result, Retry, bytes_stream};
use bytes::BytesMut;
use protocol::Problem;
use reqwest::{Method, RequestBuilder, Response, Url, header};
use serde::{Serialize, de::DeserializeOwned};
use std::{fmt, sync::Arc, time::Duration};

/// Largest JSON answer taken, in bytes: a page of 1,000 events with long outputs stays far below.
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

/// How to reach a backend.
#[derive(Clone)]
pub struct Options {
    /// `http://host:port`, optionally with a path in front of `/api`.
    pub base_url: String,
    /// A bearer token; empty for the health checks only.
    pub token: String,
    /// Longest wait for a TCP and TLS connection. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest wait for a whole answer that is not a stream, on top of the wait the call asks for. Default 30 s: the
    /// backend answers within one, unless its disk is in trouble.
    pub answer_timeout: Duration,
    /// A stream that brings not a byte for this long is dead. Default 45 s: heartbeats come every 15.
    pub silence: Duration,
    /// For agents' calls.
    pub retry: Retry,
    /// An event stream gives up after this long without any contact. Default 5 min.
    pub stream_give_up_after: Duration,
}

impl Options {
    pub fn new(base_url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            token: token.into(),
            connect_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(30),
            silence: Duration::from_secs(45),
            retry: Retry::default(),
            stream_give_up_after: Duration::from_secs(300),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

/// A handle on one backend; clones share its connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<Url>,
    authorization: Option<header::HeaderValue>,
    pub(crate) options: Arc<Options>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Client {
    /// Makes no connection yet.
    pub fn new(options: Options) -> Result<Self> {
        let base = parse_base(&options.base_url)?;
        // rustls wants one provider per process. The program has installed it long before; tests need not.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Losing the race against another thread means that there is one now.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("devmesh/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(options.connect_timeout)
            .tcp_nodelay(true)
            // A redirect would carry the token to wherever it points.
            .redirect(reqwest::redirect::Policy::none());
        if base.scheme() == "http" {
            // Saves loading the system's certificates, which an empty image does not even have.
            builder = builder.tls_certs_only([]);
        }
        if base.host_str().is_some_and(protocol::is_loopback) {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| Error::Invalid(format!("cannot set up HTTP: {}", chain(&error))))?;
        let authorization = match options.token.trim() {
            "" => None,
            token => {
                let mut value = header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
                    Error::Invalid(
                        "the token has characters that no token has; check DEVMESH_TOKEN or the token file".into(),
                    )
                })?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Ok(Self { http, base: Arc::new(base), authorization, options: Arc::new(options) })
    }

    /// The address this client speaks to, without a slash at its end.
    pub fn base_url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// The same backend and connections, but agents' calls give up after `give_up_after`.
    pub fn retrying_for(&self, give_up_after: Duration) -> Self {
        let mut options = Options::clone(&self.options);
        options.retry.give_up_after = give_up_after;
        Self { options: Arc::new(options), ..self.clone() }
    }

    /// A path below the base; segments are escaped.
    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = Url::clone(&self.base);
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        url
    }

    pub(crate) fn api(&self, segments: &[&str]) -> Url {
        let mut all = vec!["api", "v1"];
        all.extend_from_slice(segments);
        self.url(&all)
    }

    pub(crate) fn request(&self, method: Method, url: Url) -> RequestBuilder {
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(value) => request.header(header::AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// Sends, and turns every answer that is not a success into an [`Error`]. `within` bounds the wait for the head.
    pub(crate) async fn send(&self, request: RequestBuilder, within: Duration) -> Result<Response, Refusal> {
        let answer = tokio::time::timeout(within, request.send()).await;
        let response = match answer {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let before_sending = error.is_connect();
                return Err(Refusal { before_sending, ..self.transport(&error).into() });
            }
            Err(_) => return Err(self.unreachable(format!("no answer within {} s", within.as_secs())).into()),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// One call with a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        within: Duration,
    ) -> Result<T, Refusal> {
        let answer = async {
            let response = self.send(request, within).await?;
            Ok::<_, Refusal>(self.body(response).await?)
        };
        let body = tokio::time::timeout(within, answer)
            .await
            .map_err(|_| self.unreachable(format!("no whole answer within {} s", within.as_secs())))??;
        Ok(self.parse(&body)?)
    }

    /// One call whose answer has nothing to say.
    pub(crate) async fn empty(&self, request: RequestBuilder, within: Duration) -> Result<(), Refusal> {
        self.send(request, within).await.map(drop)
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T> {
        serde_json::from_slice(body)
            .map_err(|error| self.protocol(format!("{error}; is the backend of another version?")))
    }

    pub(crate) async fn body(&self, mut response: Response) -> Result<BytesMut> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.interrupted(&error))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                return Err(self.protocol(format!("an answer of more than {LARGEST_ANSWER} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// The body as it comes, watched for silence.
    pub(crate) fn stream(&self, response: Response) -> ByteStream {
        bytes_stream::watched(response, self.base_url().to_owned(), self.options.silence)
    }

    async fn refusal(&self, response: Response) -> Refusal {
        let status = response.status();
        let retry_after = response
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok())
            .map(Duration::from_secs);
        let body = match tokio::time::timeout(self.options.answer_timeout, self.body(response)).await {
            Ok(Ok(body)) => body,
            Ok(Err(error)) => return error.into(),
            Err(_) => return self.unreachable(format!("HTTP {status} without a body")).into(),
        };
        let error = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => Error::Problem(Box::new(problem)),
            Err(_) if let Ok(said) = serde_json::from_slice::<Said>(&body) => {
                Error::Refused { status: status.as_u16(), message: said.error }
            }
            // A proxy in front of a backend that is away.
            Err(_) if matches!(status.as_u16(), 502..=504) => self.unreachable(format!("HTTP {status}")),
            Err(_) => self.protocol(format!("HTTP {status} without an explanation")),
        };
        Refusal { error, retry_after, before_sending: false }
    }

    pub(crate) fn unreachable(&self, detail: impl Into<String>) -> Error {
        Error::Unreachable { url: self.base_url().to_owned(), detail: detail.into() }
    }

    pub(crate) fn protocol(&self, detail: impl Into<String>) -> Error {
        Error::Protocol { url: self.base_url().to_owned(), detail: detail.into() }
    }

    fn interrupted(&self, error: &reqwest::Error) -> Error {
        Error::Interrupted { url: self.base_url().to_owned(), detail: chain(error) }
    }

    fn transport(&self, error: &reqwest::Error) -> Error {
        if error.is_builder() {
            return Error::Invalid(format!("cannot make this request: {}", chain(error)));
        }
        self.unreachable(chain(error))
    }
}

/// An error as Ollama's clients know it.
#[derive(serde::Deserialize)]
struct Said {
    error: String,
}

/// A call that did not succeed, with what only the repeating needs to know.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub error: Error,
    pub retry_after: Option<Duration>,
    /// The request never left: repeating it is safe whatever it does.
    pub before_sending: bool,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None, before_sending: false }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        refusal.error
    }
}

pub(crate) fn with_query(mut url: Url, query: &impl Serialize) -> Result<Url> {
    let text = serde_urlencoded::to_string(query)
        .map_err(|error| Error::Invalid(format!("cannot write the query: {error}")))?;
    url.set_query((!text.is_empty()).then_some(text.as_str()));
    Ok(url)
}

fn parse_base(text: &str) -> Result<Url> {
    let refused = |why: &str| {
        Error::Invalid(format!("`{text}` is not the address of a backend: {why}. Write it like http://127.0.0.1:8080"))
    };
    let url = Url::parse(text.trim()).map_err(|error| refused(&error.to_string()))?;
    match url.scheme() {
        "http" | "https" => {}
        other => return Err(refused(&format!("`{other}` is neither http nor https"))),
    }
    if url.host_str().is_none() {
        return Err(refused("it has no host"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(refused("it has more than scheme, host, port and path"));
    }
    Ok(url)
}

/// The innermost reason is the one that helps ("Connection refused"), and reqwest's outer ones repeat the URL.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_cannot_work_are_refused_with_an_example() {
        for text in ["", "127.0.0.1:8080", "ftp://host", "http://user:pw@host", "http://host/?a=b"] {
            let error = Client::new(Options::new(text, "")).expect_err(text).to_string();
            assert!(error.contains("http://127.0.0.1:8080"), "{error}");
        }
    }

    #[test]
    fn segments_are_escaped_and_a_prefix_is_kept() {
        let client = Client::new(Options::new("http://127.0.0.1:1/mesh/", "")).unwrap();
        assert_eq!(client.api(&["jobs", "a/b ?"]).as_str(), "http://127.0.0.1:1/mesh/api/v1/jobs/a%2Fb%20%3F");
    }

    #[test]
    fn the_token_is_not_in_the_debug_output() {
        let options = Options::new("http://127.0.0.1:1", "dm_admin_secret");
        assert!(!format!("{options:?}").contains("secret"));
        let client = Client::new(options).unwrap();
        assert!(!format!("{client:?}").contains("secret"));
    }
}
