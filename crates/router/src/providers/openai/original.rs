//! The caller's own request for a server of the same dialect: its bytes, with a field or two changed.

use crate::{Error, json_object::Fields, providers::ChatRequest};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, header};
use serde_json::{Value, value::RawValue};

/// `counts` for APIs whose streams tell token counts only when they are asked to.
pub(super) fn body(request: &ChatRequest, original: &Bytes, counts: bool) -> Result<Bytes, Error> {
    let peek = &request.asked.peek;
    let counts = counts && request.stream && !peek.wants_usage;
    if peek.model == request.model && peek.stream == request.stream && !counts {
        return Ok(original.clone());
    }
    let fields = Fields::of(original)?;
    let model = Value::from(request.model.as_str()).to_string();
    let mut changes: Vec<(&str, &str)> = Vec::new();
    if peek.model != request.model {
        changes.push(("model", &model));
    }
    if peek.stream != request.stream {
        changes.push(("stream", if request.stream { "true" } else { "false" }));
    }
    let options;
    if counts {
        options = fields.get("stream_options").map_or_else(asking_for_counts, with_counts);
        changes.push(("stream_options", &options));
    }
    Ok(fields.with(&changes))
}

fn asking_for_counts() -> String {
    r#"{"include_usage":true}"#.to_owned()
}

/// What else is asked for stays as it is.
fn with_counts(options: &RawValue) -> String {
    let merged = Fields::of(options.get().as_bytes()).map(|options| options.with(&[("include_usage", "true")]));
    merged.ok().and_then(|merged| String::from_utf8(merged.to_vec()).ok()).unwrap_or_else(asking_for_counts)
}

/// A path to forward to, with its query. One that would be read as another path, above the base URL or beside what was
/// looked at, is refused.
pub(super) fn path(path: &str, query: Option<&str>) -> Result<String, Error> {
    let refused = |why: &str| Error::Invalid { pointer: String::new(), message: format!("the path `{path}` {why}") };
    if !path.starts_with('/') {
        return Err(refused("does not begin with a slash"));
    }
    if path.contains(['?', '#', '\\']) || path.contains(|c: char| c.is_ascii_control() || c == ' ') {
        return Err(refused("holds a character that must be escaped"));
    }
    let dots = |segment: &str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if path.split('/').any(dots) {
        return Err(refused("holds a segment of dots"));
    }
    if query.is_some_and(|query| query.contains('#')) {
        return Err(refused("has a query with a fragment"));
    }
    Ok(query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}")))
}

/// Whether a header belongs to one connection or to one side's account, and so is not passed on in either direction.
pub(super) fn stays_here(name: &HeaderName) -> bool {
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
pub(super) fn passing(headers: &HeaderMap) -> HeaderMap {
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
    use crate::{
        Conversation,
        dialect::{Asked, Dialect},
        providers::Patience,
    };
    use std::{sync::Arc, time::Duration};

    fn sent(original: &str, peeked: (&str, bool, bool), model: &str, stream: bool) -> String {
        let mut asked = Asked::own(peeked.0.to_owned(), Conversation::default(), 0);
        asked.dialect = Dialect::OpenAiChat;
        asked.body = Bytes::copy_from_slice(original.as_bytes());
        (asked.peek.stream, asked.peek.wants_usage) = (peeked.1, peeked.2);
        let request = ChatRequest {
            model: model.to_owned(),
            asked: Arc::new(asked),
            changed: None,
            stream,
            checkpoint: None,
            patience: Patience { headers: Duration::from_secs(1) },
        };
        let body = body(&request, request.original(Dialect::OpenAiChat).unwrap(), true).unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn only_the_model_and_the_wish_for_counts_change() {
        let plain = r#"{ "model":"a" , "messages": [1.50, 2e3], "unknown":{"x":null}}"#;
        assert_eq!(sent(plain, ("a", false, false), "a", false), plain);
        assert_eq!(sent(plain, ("a", false, false), "b", false), plain.replace(r#""a""#, r#""b""#));
        let stream = r#"{"stream":true, "stream_options": {"include_obfuscation" :false}, "model":"a"}"#;
        let merged =
            r#"{"stream":true, "stream_options": {"include_usage":true,"include_obfuscation" :false}, "model":"a"}"#;
        assert_eq!(sent(stream, ("a", true, false), "a", true), merged);
        let refused = r#"{"stream":true,"stream_options":{"include_usage":false},"model":"a"}"#;
        assert_eq!(sent(refused, ("a", true, false), "a", true), refused.replace("false", "true"));
        assert_eq!(sent(refused, ("a", true, true), "a", true), refused, "as the peek says");
        let absent = r#"{"stream":true,"model":"a"}"#;
        let expected = r#"{"stream_options":{"include_usage":true},"stream":true,"model":"a"}"#;
        assert_eq!(sent(absent, ("a", true, false), "a", true), expected);
        let null = r#"{"stream":true,"stream_options":null,"model":"a"}"#;
        assert_eq!(sent(null, ("a", true, false), "a", true), null.replace("null", r#"{"include_usage":true}"#));
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        assert_eq!(path("/files/f-1%2Fa/content", Some("a=1&b")).unwrap(), "/files/f-1%2Fa/content?a=1&b");
        for wrong in
            ["files", "/audio/../admin", "/audio/%2e%2E/admin", "/a/.%2e", "/a\\..\\b", "/a?b", "/a#b", "/a b", "/./a"]
        {
            assert!(matches!(path(wrong, None), Err(Error::Invalid { .. })), "{wrong}");
        }
        assert!(path("/a", Some("b#c")).is_err());
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
