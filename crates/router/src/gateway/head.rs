//! What callers say in headers, and what they are told in them.

use crate::{
    Call, Error,
    accounts::RateLimits,
    call::Caller,
    dialect::{Asked, Dialect},
    plan::Placement,
    run::Committed,
    telemetry::TraceContext,
};
use domain::ModelCallId;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use protocol::Egress;
use std::{sync::Arc, time::Duration};

const ROUTE: &str = "x-devmesh-route";
const DEADLINE: &str = "x-devmesh-deadline-ms";
const CACHE: &str = "x-devmesh-cache";
const BUFFERED: &str = "x-devmesh-buffered";

/// Headers that a provider of the caller's dialect is told. Everything else, credentials first of all, stays here; so does
/// whose account a request is for, which is the key's and not the caller's to say.
const FORWARDED: [&str; 3] = ["anthropic-beta", "anthropic-version", "openai-beta"];

/// Of an answer, with what the edge adds: room that need not grow.
const HEADERS: usize = 20;
/// A header tells at most this many bytes of a list: proxies refuse more.
const LONGEST: usize = 1024;

pub(super) fn forwarded(headers: &HeaderMap) -> HeaderMap {
    only(&FORWARDED, headers)
}

/// The headers of these names, which are in lower case.
pub(super) fn only(names: &[&'static str], headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for &name in names {
        for value in headers.get_all(name) {
            kept.append(HeaderName::from_static(name), value.clone());
        }
    }
    kept
}

/// # Errors
/// [`Error::Invalid`] for a header of ours that makes no sense.
pub(super) fn call(
    id: ModelCallId,
    asked: Asked,
    caller: Caller,
    egress: Egress,
    headers: &HeaderMap,
) -> Result<Call, Error> {
    let route = asked.peek.model.clone();
    let mut call = Call::new(id, route, Arc::new(asked), caller);
    call.egress = egress;
    call.parent = TraceContext::of_caller(headers);
    call.placement = placement_of(headers)?;
    call.deadline = deadline_of(headers)?;
    call.use_cache = switch(headers, CACHE, "use")?;
    call.buffered = switch(headers, BUFFERED, "true")?;
    Ok(call)
}

/// # Errors
/// [`Error::Invalid`] for what is no time.
pub(super) fn deadline_of(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(text) = text(headers, DEADLINE)? else { return Ok(None) };
    let ms = text.parse::<u64>().ok().filter(|ms| (1..=86_400_000).contains(ms));
    let ms = ms.ok_or_else(|| invalid(DEADLINE, text, "a whole number of milliseconds from 1 to 86400000"))?;
    Ok(Some(Duration::from_millis(ms)))
}

/// # Errors
/// [`Error::Invalid`] for a word that is none of the three.
pub(super) fn placement_of(headers: &HeaderMap) -> Result<Placement, Error> {
    match text(headers, ROUTE)? {
        None | Some("auto") => Ok(Placement::Auto),
        Some("local-only") => Ok(Placement::LocalOnly),
        Some("cloud-only") => Ok(Placement::CloudOnly),
        Some(text) => Err(invalid(ROUTE, text, "`local-only`, `cloud-only` or `auto`")),
    }
}

/// What the key allows, or less where the caller says so.
///
/// # Errors
/// As [`placement_of`].
pub(super) fn egress_within(egress: Egress, headers: &HeaderMap) -> Result<Egress, Error> {
    Ok(placement_of(headers)?.tightened(egress))
}

fn switch(headers: &HeaderMap, name: &str, on: &str) -> Result<bool, Error> {
    match text(headers, name)? {
        None => Ok(false),
        Some(text) if text == on => Ok(true),
        Some(text) => Err(invalid(name, text, &format!("`{on}`, or no such header"))),
    }
}

/// One value; several contradict each other.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Error> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text.trim())),
        (Ok(_), Some(_)) => Err(invalid(name, "several values", "one value")),
        (Err(_), _) => Err(invalid(name, "bytes that are no text", "plain text")),
    }
}

fn invalid(name: &str, seen: &str, wanted: &str) -> Error {
    let seen: String = seen.chars().take(64).collect();
    Error::invalid("", format!("the header `{name}` says `{seen}`; it takes {wanted}"))
}

pub(super) fn stream(headers: &mut HeaderMap, dialect: Dialect) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(dialect.stream_media_type()));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// Who answered, and what there is to know about that.
pub(super) fn tell(headers: &mut HeaderMap, committed: Option<&Committed>, id: ModelCallId) {
    headers.reserve(HEADERS);
    if let Ok(id) = HeaderValue::from_str(id.0.as_hyphenated().encode_lower(&mut uuid::Uuid::encode_buffer())) {
        headers.insert(HeaderName::from_static("x-devmesh-request-id"), id);
    }
    if let Some(committed) = committed {
        tell_of(headers, committed);
    }
}

/// The same without the call's id, which every head has.
pub(super) fn tell_of(headers: &mut HeaderMap, committed: &Committed) {
    let mut put = |name: &'static str, value: HeaderValue| {
        headers.insert(HeaderName::from_static(name), value);
    };
    put("x-devmesh-fallbacks", committed.fallbacks.into());
    if let Some(cost) = committed.cost_microusd {
        put("x-devmesh-cost-microusd", cost.into());
    }
    if let Some(tokens) = committed.model.context_tokens {
        put("x-devmesh-context-tokens", tokens.into());
    }
    // Without a count of the prompt nobody knows how full the window is.
    if let Some(usage) = committed.usage.filter(|usage| usage.input_tokens > 0) {
        put("x-devmesh-context-used", (usage.input_tokens + usage.output_tokens).into());
    }
    let mut say = |name: &'static str, text: &str| {
        // Names of models may hold what no header can: then the call's record has them.
        if let Ok(value) = HeaderValue::from_str(&text[..text.floor_char_boundary(LONGEST)]) {
            put(name, value);
        }
    };
    say("x-devmesh-provider", &committed.model.provider);
    say("x-devmesh-model", &committed.model.name);
    if let Some(digest) = &committed.model.digest {
        say("x-devmesh-digest", digest);
    }
    if let Some(age) = committed.cached {
        say("x-devmesh-cache", &format!("hit; age={}", age.as_secs()));
    }
    if !committed.flaws.is_empty() {
        say("x-devmesh-quality", &committed.flaws.join("; "));
    }
    if let Some(notice) = &committed.notice {
        say("x-devmesh-notice", notice);
    }
    if !committed.lost.is_empty() {
        lost(headers, &committed.lost);
    }
}

/// Fields of the request that were not followed.
pub(super) fn lost(headers: &mut HeaderMap, places: &[String]) {
    let text = places.join(", ");
    if let Ok(value) = HeaderValue::from_str(&text[..text.floor_char_boundary(LONGEST)]) {
        headers.insert(HeaderName::from_static("x-devmesh-lost-fields"), value);
    }
}

/// What is left of the key's limits, in the vendor's own headers.
pub(super) fn limits(headers: &mut HeaderMap, rates: Option<RateLimits>, dialect: Dialect, now: domain::Timestamp) {
    if let Some(rates) = rates {
        headers.extend(match dialect {
            Dialect::Anthropic => rates.anthropic_headers(now),
            _ => rates.openai_headers(),
        });
    }
}

/// What a client's own retries should do about an error: wait as long as it says, and stop where only a person can help.
pub(super) fn retry(headers: &mut HeaderMap, error: &Error) {
    if !error.may_pass() {
        headers.insert(HeaderName::from_static("x-should-retry"), HeaderValue::from_static("false"));
        return;
    }
    if let Some(wait) = error.retry_after() {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        // The vendors' own clients read this first: nobody waits a second for what takes less.
        let ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        headers.insert(HeaderName::from_static("retry-after-ms"), HeaderValue::from(ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LimitKind;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn our_words_are_understood_and_others_are_refused() {
        assert_eq!(placement_of(&headers(&[])), Ok(Placement::Auto));
        assert_eq!(placement_of(&headers(&[(ROUTE, "local-only")])), Ok(Placement::LocalOnly));
        let refused = placement_of(&headers(&[(ROUTE, "nowhere")])).unwrap_err().to_string();
        assert!(refused.contains("`nowhere`") && refused.contains("local-only"), "{refused}");
        let mut twice = headers(&[(ROUTE, "auto")]);
        twice.append(ROUTE, "cloud-only".parse().unwrap());
        assert!(placement_of(&twice).is_err(), "two values contradict each other");
    }

    #[test]
    fn credentials_are_never_forwarded() {
        let all = headers(&[
            ("authorization", "Bearer dm_x"),
            ("x-api-key", "dm_x"),
            ("anthropic-beta", "a"),
            ("cookie", "c"),
        ]);
        assert_eq!(forwarded(&all).keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["anthropic-beta"]);
    }

    #[test]
    fn clients_are_told_whether_to_come_back() {
        let told = |error: &Error| {
            let mut headers = HeaderMap::new();
            retry(&mut headers, error);
            let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (text("retry-after"), text("x-should-retry"))
        };
        let told_ms = |error: &Error| {
            let mut headers = HeaderMap::new();
            retry(&mut headers, error);
            headers.get("retry-after-ms").map(|value| value.to_str().unwrap().to_owned())
        };
        let (p, m) = (|| "p".to_owned(), || "m".to_owned());
        let wait = Some(Duration::from_millis(1500));
        let left_alone = |may_pass| Error::LeftAlone {
            provider: p(),
            model: m(),
            after: m(),
            retry_after: Duration::from_secs(4),
            may_pass,
        };
        let over = |kind| Error::OverLimit { message: m(), retry_after: None, kind };
        for (error, expected) in [
            (Error::RateLimited { provider: p(), message: m().into(), retry_after: wait }, (Some("2"), None)),
            (Error::Overloaded { provider: p(), message: m().into(), retry_after: wait }, (Some("2"), None)),
            (Error::Overloaded { provider: p(), message: m().into(), retry_after: None }, (None, None)),
            (left_alone(true), (Some("4"), None)),
            (left_alone(false), (None, Some("false"))),
            (Error::Unreachable { provider: p(), message: m() }, (None, None)),
            (Error::Failed { provider: p(), message: m().into() }, (None, None)),
            (Error::Unavailable { provider: p(), message: m().into(), missing: false }, (None, None)),
            (Error::Unavailable { provider: p(), message: m().into(), missing: true }, (None, Some("false"))),
            (Error::Denied { provider: p(), message: m().into() }, (None, Some("false"))),
            (Error::Forbidden { provider: p(), message: m().into() }, (None, Some("false"))),
            (Error::Filtered { provider: p(), message: m().into() }, (None, Some("false"))),
            (over(LimitKind::Budget), (None, Some("false"))),
            (over(LimitKind::Rate), (None, None)),
        ] {
            let (wait, again) = told(&error);
            let expected_ms = error.retry_after().filter(|_| error.may_pass()).map(|wait| wait.as_millis().to_string());
            assert_eq!(told_ms(&error), expected_ms, "{error:?}");
            assert_eq!((wait.as_deref(), again.as_deref()), expected, "{error:?}");
        }
    }
}
