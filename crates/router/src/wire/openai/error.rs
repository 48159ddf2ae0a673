//! Errors as OpenAI words them.

use crate::{Error, LimitKind};
use http::StatusCode;
use serde_json::{Value, json};

/// The status and body for an error that comes instead of an answer.
pub(crate) fn error(error: &Error, _request_id: &str) -> (StatusCode, Value) {
    (error.refused_with().unwrap_or(class(error).0), body(error))
}

/// The same body in the middle of a stream, where there is no status any more.
pub(crate) fn body(error: &Error) -> Value {
    if let Some(theirs) = error.verbatim_in_band() {
        return theirs;
    }
    let (_, kind, code) = class(error);
    let param = match error {
        Error::Invalid { pointer, .. } if !pointer.is_empty() => Some(param(pointer)),
        Error::UnknownRoute { .. } => Some("model".to_owned()),
        Error::ContextLengthExceeded { .. } => Some("messages".to_owned()),
        _ => None,
    };
    json!({"error": {"message": error.to_string(), "type": kind, "param": param, "code": code}})
}

/// Status, `type` and `code`. A provider's 401 is a matter between it and us, so the caller never sees one.
pub(crate) fn class(error: &Error) -> (StatusCode, &'static str, Option<&'static str>) {
    const INVALID: &str = "invalid_request_error";
    const SERVER: &str = "server_error";
    match error {
        Error::Invalid { .. } | Error::Refused { .. } => (StatusCode::BAD_REQUEST, INVALID, None),
        Error::Unsupported { .. } => (StatusCode::BAD_REQUEST, INVALID, Some("unsupported")),
        Error::ContextLengthExceeded { .. } => (StatusCode::BAD_REQUEST, INVALID, Some("context_length_exceeded")),
        Error::Filtered { .. } => (StatusCode::BAD_REQUEST, INVALID, Some("content_filter")),
        Error::UnknownRoute { .. } | Error::Unavailable { missing: true, .. } => {
            (StatusCode::NOT_FOUND, INVALID, Some("model_not_found"))
        }
        Error::NotAllowed { .. } => (StatusCode::FORBIDDEN, "permission_error", Some("not_allowed")),
        Error::OverLimit { kind: LimitKind::Rate, .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded"))
        }
        Error::OverLimit { kind: LimitKind::Budget, .. } => {
            (StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", Some("insufficient_quota"))
        }
        Error::EgressRefused { .. } | Error::Uncheckable { .. } => {
            (StatusCode::FORBIDDEN, "permission_error", Some("egress_refused"))
        }
        Error::RateLimited { .. } => (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", Some("rate_limit_exceeded")),
        Error::Overloaded { .. } => (StatusCode::SERVICE_UNAVAILABLE, SERVER, Some("overloaded")),
        Error::Unreachable { .. }
        | Error::Unavailable { .. }
        | Error::LeftAlone { .. }
        | Error::NoModel(_)
        | Error::Denied { .. }
        | Error::Forbidden { .. } => (StatusCode::SERVICE_UNAVAILABLE, SERVER, Some("model_unavailable")),
        Error::Unrecorded(_) => (StatusCode::SERVICE_UNAVAILABLE, SERVER, Some("unavailable")),
        Error::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, SERVER, Some("cancelled")),
        Error::TimedOut { .. } | Error::Overdue { .. } => (StatusCode::GATEWAY_TIMEOUT, SERVER, Some("timeout")),
        Error::Cut { .. }
        | Error::Failed { .. }
        | Error::Flawed { .. }
        | Error::Malformed { .. }
        | Error::TooLarge { .. } => (StatusCode::BAD_GATEWAY, SERVER, Some("model_failed")),
        Error::Configuration(_) => (StatusCode::INTERNAL_SERVER_ERROR, SERVER, Some("internal_error")),
    }
}

/// A JSON pointer as OpenAI writes places: `messages[0].content`.
fn param(pointer: &str) -> String {
    let mut param = String::with_capacity(pointer.len() + 4);
    for step in pointer.split('/').skip(1) {
        if !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit()) {
            param.push('[');
            param.push_str(step);
            param.push(']');
        } else {
            if !param.is_empty() {
                param.push('.');
            }
            param.push_str(&step.replace("~1", "/").replace("~0", "~"));
        }
    }
    param
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Awaited;
    use std::time::Duration;

    #[test]
    fn every_error_has_the_status_that_tells_a_client_what_to_do() {
        let provider = || "p".to_owned();
        let message = || "why".to_owned();
        let cases = [
            (Error::Invalid { pointer: "/messages/0/content".into(), message: message() }, 400, None),
            (Error::UnknownRoute { name: "x".into(), known: "y".into() }, 404, Some("model_not_found")),
            (
                Error::ContextLengthExceeded { provider: provider(), model: "m".into(), message: message().into() },
                400,
                Some("context_length_exceeded"),
            ),
            (Error::EgressRefused { route: "r".into() }, 403, Some("egress_refused")),
            (
                Error::RateLimited { provider: provider(), message: message().into(), retry_after: None },
                429,
                Some("rate_limit_exceeded"),
            ),
            (
                Error::Overloaded { provider: provider(), message: message().into(), retry_after: None },
                503,
                Some("overloaded"),
            ),
            (Error::Denied { provider: provider(), message: message().into() }, 503, Some("model_unavailable")),
            (Error::Forbidden { provider: provider(), message: message().into() }, 503, Some("model_unavailable")),
            (
                Error::Unavailable { provider: provider(), message: message().into(), missing: false },
                503,
                Some("model_unavailable"),
            ),
            (Error::NoModel(message()), 503, Some("model_unavailable")),
            (Error::Unrecorded(message()), 503, Some("unavailable")),
            (Error::Filtered { provider: provider(), message: message().into() }, 400, Some("content_filter")),
            (Error::Refused { provider: provider(), message: message().into() }, 400, None),
            (
                Error::TimedOut { provider: provider(), awaited: Awaited::FirstToken, after: Duration::from_secs(1) },
                504,
                Some("timeout"),
            ),
            (Error::Cut { provider: provider(), message: message() }, 502, Some("model_failed")),
        ];
        for (error, status, code) in cases {
            let (got, body) = super::error(&error, "id");
            assert_eq!(got.as_u16(), status, "{error:?}");
            assert_eq!(body["error"]["code"].as_str(), code, "{error:?}");
            assert_eq!(body["error"]["message"], error.to_string());
        }
    }

    #[test]
    fn places_are_written_as_openai_writes_them() {
        let error = Error::Invalid { pointer: "/messages/0/content/12/a~1b".into(), message: "no".into() };
        assert_eq!(body(&error)["error"]["param"], "messages[0].content[12].a/b");
    }
}
