//! What the vendor's errors mean, where the router's common reading of them is not enough.

use crate::{Error, http::failure};
use serde_json::Value;

/// The `error` of an event, or of a body that came with success.
pub(crate) fn in_band(provider: &str, model: &str, error: &Value) -> Error {
    account(failure::in_band(provider, model, error))
}

/// An account without money answers with status 400, as if the request were wrong.
pub(crate) fn account(error: Error) -> Error {
    match error {
        Error::Refused { provider, message } if message.contains("credit balance is too low") => {
            Error::Denied { provider, message }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn types_tell_what_can_be_done() {
        let error = |kind: &str, message: &str| in_band("p", "m", &json!({ "type": kind, "message": message }));
        assert!(matches!(error("overloaded_error", "Overloaded"), Error::Overloaded { .. }));
        assert!(matches!(error("api_error", "Internal server error"), Error::Failed { .. }));
        assert!(matches!(error("authentication_error", "invalid x-api-key"), Error::Denied { .. }));
        assert!(matches!(
            error("invalid_request_error", "prompt is too long: 9 > 8"),
            Error::ContextLengthExceeded { .. }
        ));
        assert!(matches!(error("invalid_request_error", "messages: wrong"), Error::Refused { .. }));
        let poor = "Your credit balance is too low to access the API.";
        assert!(matches!(error("invalid_request_error", poor), Error::Denied { .. }));
    }

    #[test]
    fn overflow_and_filter_are_known_by_the_vendors_words() {
        let error = |message: &str| in_band("p", "m", &json!({ "type": "invalid_request_error", "message": message }));
        let overflow = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000";
        assert!(matches!(error(overflow), Error::ContextLengthExceeded { .. }));
        assert!(matches!(error("Output blocked by content filtering policy"), Error::Filtered { .. }));
    }
}
