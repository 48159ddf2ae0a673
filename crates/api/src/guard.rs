//! Who may address this server at all: `Host` and `Origin` allow-lists and header limits, on every request and upgrade.
//!
//! A browser page of another site can send requests to 127.0.0.1, and a rebound DNS name makes them same-origin. The
//! `Host` list stops the second, the `Origin` list the first, before any routing or authentication.

use crate::{app::App, problem::Failure, routes::Routes};
use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use domain::ErrorCode;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header, uri::Authority};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// Which names and pages may talk to this server.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// Host names besides `localhost`, `127.0.0.1` and `[::1]`; without a port (any port is fine).
    pub hosts: Vec<String>,
    /// Exact origins, such as `http://localhost:3000`. The server's own origin is always allowed.
    pub origins: Vec<String>,
}

impl Default for Allowed {
    fn default() -> Self {
        Self { hosts: Vec::new(), origins: vec!["http://localhost:3000".into()] }
    }
}

const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Header lines of one request. Browsers send about 20; hyper itself stops reading at 100.
const HEADERS: usize = 64;
/// Names and values of all headers of one request, in bytes. Enough for any token we make, little enough to hold 1,024 of.
const HEADER_BYTES: usize = 16 * 1024;

pub async fn guard(app: &App, routes: &Routes, request: Request) -> Response {
    let checked = check_size(request.headers())
        .and_then(|()| check_host(&app.options.allowed, request.uri(), request.headers()))
        .and_then(|host| check_origin(&app.options.allowed, host, request.headers()));
    match checked {
        Ok(()) => routes.answer(request).await,
        Err(failure) => failure.into_response(),
    }
}

fn check_size(headers: &HeaderMap) -> Result<(), Failure> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > HEADERS || bytes > HEADER_BYTES {
        return Err(Failure::new(
            ErrorCode::HeadersTooLarge,
            format!(
                "This request has {} headers of {bytes} bytes; at most {HEADERS} of {HEADER_BYTES} bytes are read.",
                headers.len()
            ),
        ));
    }
    Ok(())
}

/// The authority the request was sent to, when it is one of ours.
fn check_host<'a>(allowed: &Allowed, uri: &Uri, headers: &'a HeaderMap) -> Result<&'a str, Failure> {
    let refused = |seen: &str| {
        Failure::new(
            ErrorCode::HostNotAllowed,
            format!(
                "This server does not answer to `{}`. Use http://localhost, or add the name to the allowed hosts.",
                shortened(seen)
            ),
        )
    };
    let mut given = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else {
        return Err(refused(if headers.contains_key(header::HOST) {
            "several Host headers"
        } else {
            "a missing Host header"
        }));
    };
    let host = host.to_str().map_err(|_| refused("bytes that are no host name"))?;
    let authority: Authority = host.parse().map_err(|_| refused(host))?;
    // An absolute request target overrides Host (RFC 9112 §3.2.2), so it has to be the same name.
    if uri.authority().is_some_and(|target| target != &authority) {
        return Err(refused(uri.authority().map_or("", Authority::as_str)));
    }
    let mut names = LOCAL.into_iter().chain(allowed.hosts.iter().map(String::as_str));
    let known = names.any(|name| name.eq_ignore_ascii_case(authority.host()));
    let rest = &host[host.len().min(authority.host().len())..];
    let plain = rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    if known && plain { Ok(host) } else { Err(refused(host)) }
}

fn check_origin(allowed: &Allowed, host: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    // Programs send none; every browser does on a cross-origin request and on every WebSocket.
    let Some(origin) = given.next() else { return Ok(()) };
    let text = origin.to_str().unwrap_or("bytes that are no origin");
    let own = text.strip_prefix("http://").is_some_and(|name| *name == host.to_ascii_lowercase());
    if given.next().is_none() && (own || allowed.origins.iter().any(|known| known == text)) {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::OriginNotAllowed,
        format!(
            "Pages of `{}` may not use this server. Add that exact origin to the allowed origins if they should.",
            shortened(text)
        ),
    ))
}

fn shortened(text: &str) -> String {
    text.chars().take(128).collect()
}

/// What an answer of a model says of itself: who answered, what it cost, and what is left of the key's limits.
const OF_MODEL_CALLS: [&str; 24] = [
    "x-devmesh-request-id",
    "x-devmesh-provider",
    "x-devmesh-model",
    "x-devmesh-fallbacks",
    "x-devmesh-digest",
    "x-devmesh-cost-microusd",
    "x-devmesh-context-tokens",
    "x-devmesh-context-used",
    "x-devmesh-cache",
    "x-devmesh-lost-fields",
    "x-devmesh-quality",
    "x-devmesh-notice",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-ratelimit-limit-tokens",
    "x-ratelimit-remaining-tokens",
    "x-ratelimit-reset-tokens",
    "anthropic-ratelimit-requests-limit",
    "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-requests-reset",
    "anthropic-ratelimit-tokens-limit",
    "anthropic-ratelimit-tokens-remaining",
    "anthropic-ratelimit-tokens-reset",
];

/// Lets pages of the allowed origins read answers. No credentials: tokens travel in a header a page has to set itself.
pub fn cors(allowed: &Allowed) -> CorsLayer {
    let origins: Vec<HeaderValue> = allowed.origins.iter().filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-api-key"),
            HeaderName::from_static("anthropic-version"),
            HeaderName::from_static("anthropic-beta"),
            HeaderName::from_static("x-devmesh-route"),
            HeaderName::from_static("x-devmesh-deadline-ms"),
            HeaderName::from_static("x-devmesh-cache"),
            HeaderName::from_static("x-devmesh-buffered"),
        ])
        .expose_headers(
            [
                crate::envelope::REQUEST_ID,
                header::LOCATION,
                header::RETRY_AFTER,
                header::CONTENT_DISPOSITION,
                header::ETAG,
            ]
            .into_iter()
            .chain(OF_MODEL_CALLS.map(HeaderName::from_static))
            .collect::<Vec<_>>(),
        )
        .max_age(Duration::from_secs(600))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_of(host: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
        let allowed = Allowed { hosts: vec!["mesh.example".into()], ..Allowed::default() };
        check_host(&allowed, &Uri::from_static("/"), &headers).ok().map(str::to_owned)
    }

    #[test]
    fn known_names_pass_with_any_port() {
        for host in ["localhost", "localhost:8080", "127.0.0.1:1", "[::1]:8080", "[::1]", "MESH.example:443"] {
            assert!(host_of(host).is_some(), "{host}");
        }
    }

    #[test]
    fn everything_else_is_misdirected() {
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example:8080",
            "localhost@evil.example",
            "evil@localhost",
            "127.0.0.2",
            "localhost:",
            "localhost:99999",
            "localhost:80:80",
            "local host",
            "[::2]",
            "0.0.0.0",
            "localhost.",
        ] {
            assert!(host_of(host).is_none(), "{host}");
        }
    }

    #[test]
    fn an_absolute_target_must_name_the_same_host() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("localhost:1"));
        let allowed = Allowed::default();
        assert!(check_host(&allowed, &Uri::from_static("http://evil.example/x"), &headers).is_err());
        assert!(check_host(&allowed, &Uri::from_static("http://localhost:1/x"), &headers).is_ok());
    }

    #[test]
    fn origins_are_compared_whole() {
        let check = |origin: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
            check_origin(&Allowed::default(), "localhost:8080", &headers).is_ok()
        };
        assert!(check("http://localhost:3000"));
        assert!(check("http://localhost:8080"), "our own pages");
        for origin in [
            "null",
            "http://localhost:30000",
            "http://localhost:3000.evil.example",
            "https://localhost:3000",
            "http://localhost",
            "http://LOCALHOST:3000",
            "http://127.0.0.1:8080",
            "http://evil.example",
            "",
        ] {
            assert!(!check(origin), "{origin}");
        }
    }
}
