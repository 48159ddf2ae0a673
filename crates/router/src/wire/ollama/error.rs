//! Errors as Ollama says them: a sentence.

use crate::Error;
use http::StatusCode;
use serde_json::{Value, json};

pub(crate) fn error(error: &Error) -> (StatusCode, Value) {
    (error.refused_with().unwrap_or(status(error)), body(error))
}

pub(crate) fn body(error: &Error) -> Value {
    if let Some(theirs) = error.verbatim_in_band() {
        return theirs;
    }
    let message = match error {
        // Clients look for these words to offer a download.
        Error::UnknownRoute { name, known } => format!("model '{name}' not found. Known here: {known}"),
        other => other.to_string(),
    };
    json!({"error": message})
}

fn status(error: &Error) -> StatusCode {
    match error {
        Error::Invalid { .. }
        | Error::Refused { .. }
        | Error::Filtered { .. }
        | Error::ContextLengthExceeded { .. }
        | Error::Unsupported { .. } => StatusCode::BAD_REQUEST,
        Error::EgressRefused { .. } | Error::Uncheckable { .. } | Error::NotAllowed { .. } => StatusCode::FORBIDDEN,
        Error::UnknownRoute { .. } => StatusCode::NOT_FOUND,
        Error::RateLimited { .. } | Error::OverLimit { .. } => StatusCode::TOO_MANY_REQUESTS,
        Error::Configuration(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Error::Overloaded { .. }
        | Error::Unreachable { .. }
        | Error::Unavailable { .. }
        | Error::LeftAlone { .. }
        | Error::NoModel(_)
        | Error::Unrecorded(_)
        | Error::Cancelled => StatusCode::SERVICE_UNAVAILABLE,
        // A key of ours that does not work is not the caller's.
        Error::Denied { .. }
        | Error::Forbidden { .. }
        | Error::Failed { .. }
        | Error::Flawed { .. }
        | Error::Cut { .. }
        | Error::TooLarge { .. }
        | Error::Malformed { .. } => StatusCode::BAD_GATEWAY,
        Error::TimedOut { .. } | Error::Overdue { .. } => StatusCode::GATEWAY_TIMEOUT,
    }
}
