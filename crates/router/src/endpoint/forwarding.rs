//! A server's other endpoints: a request passes on as it is, under our key, and the answer comes back whatever its status.

use super::{ERROR_BODY_BYTES, Endpoint, Request, broken_off, client::Response};
use crate::{
    Error,
    http::{failure, frame::Unmarked},
    providers::{ByteStream, Forward},
};
use futures_util::{StreamExt, TryStreamExt};
use http::{HeaderMap, HeaderName, header};
use http_body_util::BodyExt;

impl Endpoint {
    pub(crate) async fn forward(&self, request: Forward) -> Result<http::Response<ByteStream>, Error> {
        let path = target(&request.path, request.query.as_deref())?;
        let sent = Request {
            refusals: None,
            method: request.method,
            path: &path,
            headers: passing(&request.headers),
            body: request.body,
            model: "",
            checkpoint: request.checkpoint.as_ref(),
            location: self.location,
            patience: request.patience,
            trace: None,
            used: None,
        };
        let answer = self.exchange(sent).await?;
        let status = answer.status();
        // It speaks of our key, and may quote it: the caller's own would be meant if it read this.
        if matches!(status.as_u16(), 401..=403) && !self.credentials.is_empty() {
            let body = self.read(answer, ERROR_BODY_BYTES).await.unwrap_or_default();
            return Err(self.scrubbed(failure::status(&self.provider, "", status.as_u16(), &body, None)));
        }
        let mut headers = passing(answer.headers());
        // Shows whoever reads the body whether it came whole.
        if let Some(length) = answer.headers().get(header::CONTENT_LENGTH) {
            headers.insert(header::CONTENT_LENGTH, length.clone());
        }
        let mut response = http::Response::new(self.bytes(answer));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    /// The body of a model's answer as it comes, which is text.
    pub(super) fn text(&self, answer: Response) -> ByteStream {
        let mut unmarked = Unmarked::default();
        Box::pin(self.bytes(answer).map_ok(move |piece| unmarked.next(piece)))
    }

    /// The body of an answer as it comes.
    fn bytes(&self, answer: Response) -> ByteStream {
        let provider = self.provider.clone();
        Box::pin(
            answer
                .into_body()
                .into_data_stream()
                .map(move |bytes| bytes.map_err(|error| broken_off(&provider, &error.without_url()))),
        )
    }
}

/// A path to forward to, with its query. One that would be read as another path, above the base URL or beside what was
/// looked at, is refused.
fn target(path: &str, query: Option<&str>) -> Result<String, Error> {
    let refused = |why: &str| Error::invalid("", format!("the path `{path}` {why}"));
    if !path.starts_with('/') {
        return Err(refused("does not begin with a slash"));
    }
    if path.contains(['?', '#', '\\', '%']) || path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err(refused("holds a character that must be escaped"));
    }
    if path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(refused("holds a segment of dots"));
    }
    if query.is_some_and(|query| query.contains('#')) {
        return Err(refused("has a query with a fragment"));
    }
    Ok(query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

/// Whether a header belongs to one connection or to one side's account, and so is not passed on in either direction.
fn stays_here(name: &HeaderName) -> bool {
    const PRIVATE: &[HeaderName] = &[
        header::AUTHORIZATION,
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::COOKIE,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::SET_COOKIE,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        header::WWW_AUTHENTICATE,
        header::EXPECT,
    ];
    PRIVATE.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "x-api-key" | "api-key")
}

/// What may pass of `headers`; those that `Connection` names stay, too.
pub(crate) fn passing(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let passes = |name: &HeaderName| !stays_here(name) && !named.iter().any(|named| named == name.as_str());
    headers.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        assert_eq!(target("/files/f-1/content", Some("a=1&b%2F")).unwrap(), "/files/f-1/content?a=1&b%2F");
        for wrong in
            ["files", "/audio/../admin", "/audio/%2e%2E/admin", "/a/.%2e", "/a\\..\\b", "/a?b", "/a#b", "/a b", "/./a"]
        {
            assert!(matches!(target(wrong, None), Err(Error::Invalid { .. })), "{wrong}");
        }
        assert!(target("/a", Some("b#c")).is_err());
    }

    #[test]
    fn connections_and_accounts_stay_apart() {
        let pairs = [("connection", "close, X-Hop"), ("x-hop", "1"), ("authorization", "a"), ("openai-beta", "b=1")];
        let headers: HeaderMap =
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        let passed = passing(&headers);
        assert_eq!(passed.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["openai-beta"]);
    }
}
