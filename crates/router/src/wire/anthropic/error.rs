//! Errors in the vendor's shape and with the statuses its clients act on.

use crate::Error;
use http::StatusCode;
use serde_json::{Value, json};

/// The vendor's own, for "too much asked of us at the moment": clients wait and try again.
const OVERLOADED: u16 = 529;

pub(crate) fn error(error: &Error, request_id: &str) -> (StatusCode, Value) {
    let status = status(error);
    let theirs = error.verbatim_in_band().map(|theirs| json!({ "type": "error", "error": theirs["error"] }));
    (status, theirs.unwrap_or_else(|| body(status, &message(error), request_id)))
}

/// The body that goes with a status, also for errors that arise before a request is a model call.
pub(crate) fn body(status: StatusCode, message: &str, request_id: &str) -> Value {
    let kind = match status.as_u16() {
        400 | 405 | 409 | 415 | 422 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        503 | OVERLOADED => "overloaded_error",
        _ => "api_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": message }, "request_id": request_id })
}

fn status(error: &Error) -> StatusCode {
    // What a vendor's clients do about a request depends on which of these it was.
    if let Some(status) = error.refused_with() {
        return status;
    }
    match error {
        Error::Invalid { .. }
        | Error::Unsupported { .. }
        | Error::Refused { .. }
        | Error::Filtered { .. }
        | Error::ContextLengthExceeded { .. } => StatusCode::BAD_REQUEST,
        Error::EgressRefused { .. } | Error::Uncheckable { .. } | Error::NotAllowed { .. } => StatusCode::FORBIDDEN,
        Error::UnknownRoute { .. } => StatusCode::NOT_FOUND,
        Error::RateLimited { .. } | Error::OverLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Overloaded { .. }
        | Error::Unreachable { .. }
        | Error::Unavailable { .. }
        | Error::LeftAlone { .. }
        | Error::NoModel(_)
        | Error::Unrecorded(_) => StatusCode::from_u16(OVERLOADED).unwrap_or(StatusCode::SERVICE_UNAVAILABLE),
        Error::TimedOut { .. } | Error::Overdue { .. } => StatusCode::GATEWAY_TIMEOUT,
        // A key that a provider does not accept is ours: told as 401, the caller would doubt its own.
        Error::Denied { .. }
        | Error::Forbidden { .. }
        | Error::Failed { .. }
        | Error::Flawed { .. }
        | Error::Cut { .. }
        | Error::TooLarge { .. }
        | Error::Malformed { .. } => StatusCode::BAD_GATEWAY,
        Error::Cancelled | Error::Configuration(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn message(error: &Error) -> String {
    match error {
        // Clients look for these words to decide that they must shorten the conversation.
        Error::ContextLengthExceeded { .. } => format!("prompt is too long: {error}"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Awaited;
    use std::time::Duration;

    #[test]
    fn every_error_has_the_vendors_status_and_type() {
        let (provider, message) = (String::from("p"), String::from("m"));
        let p = || provider.clone();
        let m = || message.clone();
        let came = |status| crate::Said::from(message.clone()).came(status, b"", None);
        for (error, status, kind) in [
            (Error::Invalid { pointer: m(), message: m() }, 400, "invalid_request_error"),
            (Error::Refused { provider: p(), message: m().into() }, 400, "invalid_request_error"),
            (Error::Refused { provider: p(), message: came(400) }, 400, "invalid_request_error"),
            (Error::Refused { provider: p(), message: came(413) }, 413, "request_too_large"),
            (Error::Refused { provider: p(), message: came(422) }, 422, "invalid_request_error"),
            (Error::Unavailable { provider: p(), message: m().into(), missing: true }, 404, "not_found_error"),
            (
                Error::ContextLengthExceeded { provider: p(), model: m(), message: m().into() },
                400,
                "invalid_request_error",
            ),
            (Error::UnknownRoute { name: m(), known: m() }, 404, "not_found_error"),
            (Error::EgressRefused { route: m() }, 403, "permission_error"),
            (Error::RateLimited { provider: p(), message: m().into(), retry_after: None }, 429, "rate_limit_error"),
            (Error::Overloaded { provider: p(), message: m().into(), retry_after: None }, 529, "overloaded_error"),
            (Error::Unavailable { provider: p(), message: m().into(), missing: false }, 529, "overloaded_error"),
            (Error::Forbidden { provider: p(), message: m().into() }, 502, "api_error"),
            (Error::NoModel(m()), 529, "overloaded_error"),
            (Error::Unrecorded(m()), 529, "overloaded_error"),
            (Error::Denied { provider: p(), message: m().into() }, 502, "api_error"),
            (Error::Cut { provider: p(), message: m() }, 502, "api_error"),
            (
                Error::TimedOut { provider: p(), awaited: Awaited::FirstToken, after: Duration::from_secs(1) },
                504,
                "timeout_error",
            ),
            (Error::Cancelled, 500, "api_error"),
        ] {
            let (got, body) = super::error(&error, "req_1");
            assert_eq!((got.as_u16(), body["error"]["type"].as_str()), (status, Some(kind)), "{error}");
            assert_eq!((body["type"].as_str(), body["request_id"].as_str()), (Some("error"), Some("req_1")));
        }
        let overflow = Error::ContextLengthExceeded { provider: p(), model: m(), message: m().into() };
        assert!(super::error(&overflow, "").1["error"]["message"].as_str().unwrap().starts_with("prompt is too long"));
        assert_eq!(body(StatusCode::PAYLOAD_TOO_LARGE, "m", "r")["error"]["type"], "request_too_large");
    }
}
