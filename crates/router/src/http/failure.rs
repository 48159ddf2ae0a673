//! From what servers say when they cannot answer to what can be done about it.
//!
//! No two servers agree on statuses or wording. The status decides, except for two things that are told apart by words
//! alone: a prompt that does not fit, and a content filter.

use crate::{Error, Said};
use serde_json::Value;
use std::time::Duration;

/// Of a server's message, in characters: enough for the sentence that matters.
const MESSAGE_CHARACTERS: usize = 500;

/// Lower-case parts of the messages with which servers refuse a prompt for its length: Ollama, llama.cpp, vLLM, OpenAI,
/// Groq, LM Studio, Mistral and their like.
const OVERFLOW: &[&str] = &[
    "exceeds the context length",
    "exceeds maximum context length",
    "exceeded max context length",
    "exceeds the available context size",
    "context size has been exceeded",
    "context length exceeded",
    "context_length_exceeded",
    "context_window_exceeded",
    "exceed_context_size",
    "maximum context length",
    "exceed context window",
    "exceeds the context window",
    "context window exceeds",
    "exceed context limit",
    "longer than the model's context length",
    "greater than the context length",
    "maximum prompt length",
    "prompt is too long",
    "reduce the length of the messages",
    "exceeds the maximum number of tokens allowed",
    "input is too long for requested model",
    "`inputs` tokens + `max_new_tokens` must be",
    "when context the overflows",
    "too many tokens: total number of tokens in the prompt",
];

/// Codes and types of errors that come after a success, in lower case, by the status that says the same.
const CODES: &[(u16, &[&str])] = &[
    (
        400,
        &[
            "invalid_request_error",
            "invalid_value",
            "invalid_argument",
            "bad_request",
            "bad_request_error",
            "badrequesterror",
        ],
    ),
    (401, &["authentication_error", "invalid_api_key", "unauthorized", "unauthenticated"]),
    (402, &["billing_error"]),
    (403, &["permission_error", "permission_denied", "forbidden"]),
    (404, &["not_found_error", "model_not_found", "notfounderror"]),
    (413, &["request_too_large"]),
    (
        429,
        &[
            "rate_limit_exceeded",
            "rate_limit_error",
            "rate_limited",
            "too_many_requests",
            "insufficient_quota",
            "resource_exhausted",
        ],
    ),
    (529, &["overloaded_error", "server_is_overloaded", "overloaded", "engine_overloaded_error"]),
];

/// Lower-case codes and words of content filters.
const FILTER: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "content management policy",
    "content filtering policy",
    "invalid_prompt",
    "violating our usage policy",
    "flagged by moderation",
    "requires moderation",
    "\"flagged_input\"",
];

/// Lower-case words of a 401 that are about a part of the account, or about a header, and not about the key.
const NOT_THE_KEY: &[&str] =
    &["mismatched_organization", "mismatched_project", "missing scopes", "insufficient permissions", "model_not_found"];

/// Lower-case words of a 402 that a smaller request does not get.
const OF_ONE_REQUEST: &[&str] = &["fewer max_tokens", "can only afford", "requires more credits"];

/// The code of a 429 of an account that has nothing left. Its message alone is also that of a limit per minute.
const NO_MONEY: &[&str] = &["insufficient_quota"];

/// A status that is not success, and the body that came with it.
pub(crate) fn status(provider: &str, model: &str, status: u16, body: &[u8], retry_after: Option<Duration>) -> Error {
    let text = String::from_utf8_lossy(body);
    let (message, code) = match serde_json::from_str::<Value>(&text) {
        Ok(body) => said(&body),
        Err(_) => (text.trim().to_owned(), String::new()),
    };
    let message = if message.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {message}") };
    // Codes and reasons may stand beside the message.
    let words = format!("{message} {code}{}", if status == 403 { &text } else { "" }).to_lowercase();
    let (provider, message) = (provider.to_owned(), Said::from(short(&message)).came(status, body, retry_after));
    if let Some(error) = by_words(&provider, model, &message, &words) {
        return error;
    }
    by_status(provider, message, status, &words, retry_after)
}

/// What a status means, beside words in lower case.
fn by_status(provider: String, message: Said, status: u16, words: &str, retry_after: Option<Duration>) -> Error {
    let is_among = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
    match status {
        401 if is_among(NOT_THE_KEY) => Error::Forbidden { provider, message },
        402 if is_among(OF_ONE_REQUEST) => Error::Forbidden { provider, message },
        // Money, and not pace: no pause mends it.
        429 if is_among(NO_MONEY) => Error::Denied { provider, message },
        401 | 402 => Error::Denied { provider, message },
        403 => Error::Forbidden { provider, message },
        429 => Error::RateLimited { provider, message, retry_after },
        529 => Error::Overloaded { provider, message, retry_after },
        503 if retry_after.is_some() => Error::Overloaded { provider, message, retry_after },
        404 | 408 | 409 | 425 | 502..=504 => Error::Unavailable { provider, message, missing: status == 404 },
        // Also what a server cannot make of this one request: templates are applied by code that fails with it.
        500..=599 => Error::Failed { provider, message },
        300..=399 => {
            let why = format!("{message}. It redirects, which is not followed: configure the final base URL.");
            Error::Refused { provider, message: Said::from(why).came(status, b"", None) }
        }
        _ => Error::Refused { provider, message },
    }
}

/// An error object inside a stream or a body that began with success: its code says what a status would have.
pub(crate) fn in_band(provider: &str, model: &str, error: &Value) -> Error {
    // Some say in an object that an object follows.
    let error = error.get("error").filter(|inner| inner.is_object()).unwrap_or(error);
    let (message, code) = said(error);
    let (provider, message) = (provider.to_owned(), Said::from(short(&message)).came_in_band(error));
    let words = format!("{message} {code}").to_lowercase();
    if let Some(error) = by_words(&provider, model, &message, &words) {
        return error;
    }
    match status_of(error) {
        Some(status) => by_status(provider, message, status, &words, None),
        None => Error::Failed { provider, message },
    }
}

/// The status that an error's own code or type stands for.
fn status_of(error: &Value) -> Option<u16> {
    ["code", "status", "type"].iter().filter_map(|name| error.get(name)).find_map(|said| {
        let number = said.as_u64().or_else(|| said.as_str()?.parse().ok());
        if let Some(status) = number.and_then(|number| u16::try_from(number).ok()) {
            return (400..600).contains(&status).then_some(status);
        }
        let word = said.as_str()?.to_lowercase();
        CODES.iter().find_map(|(status, words)| words.contains(&word.as_str()).then_some(*status))
    })
}

/// `words` are in lower case.
fn by_words(provider: &str, model: &str, message: &Said, words: &str) -> Option<Error> {
    let (provider, message) = (provider.to_owned(), message.clone());
    if OVERFLOW.iter().any(|part| words.contains(part)) {
        return Some(Error::ContextLengthExceeded { provider, model: model.to_owned(), message });
    }
    FILTER.iter().any(|part| words.contains(part)).then_some(Error::Filtered { provider, message })
}

/// The message, and whatever codes stand beside it, of the shapes in use: `{"error": "…"}`, `{"error": {"message", "code",
/// "type"}}`, `{"message"}`, `{"detail"}`, or a bare string.
fn said(body: &Value) -> (String, String) {
    let error = body.get("error").filter(|error| !error.is_null()).unwrap_or(body);
    if let Some(text) = error.as_str() {
        return (text.to_owned(), String::new());
    }
    let message = ["message", "detail", "msg"].iter().find_map(|key| error.get(key)?.as_str());
    let codes: Vec<&str> = ["code", "type"].iter().filter_map(|key| error.get(key)?.as_str()).collect();
    (message.map_or_else(|| error.to_string(), str::to_owned), codes.join(" "))
}

/// One line of at most [`MESSAGE_CHARACTERS`].
pub(crate) fn short(text: &str) -> String {
    cut(text.split_whitespace().collect::<Vec<_>>().join(" "), MESSAGE_CHARACTERS)
}

/// At most so many characters of a text.
pub(crate) fn cut(text: String, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(code: u16, body: &str) -> Error {
        status("server", "model", code, body.as_bytes(), None)
    }

    #[test]
    fn a_prompt_that_does_not_fit_is_recognised_whoever_says_it() {
        for (code, body) in [
            (400, r#"{"error":"the input length exceeds the context length"}"#),
            (400, r#"{"error":"prompt too long; exceeded max context length by 12 tokens"}"#),
            (
                400,
                r#"{"error":{"code":400,"message":"request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":9000,"n_ctx":8192}}"#,
            ),
            (
                400,
                r#"{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.","type":"BadRequestError"}"#,
            ),
            (
                400,
                r#"{"error":{"message":"Too long.","type":"invalid_request_error","code":"context_length_exceeded"}}"#,
            ),
            (400, r#"{"error":"The input token count (9) exceeds the maximum number of tokens allowed (8)."}"#),
            (400, r#"{"message":"Input is too long for requested model."}"#),
            (422, r#"{"error":"`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens"}"#),
            (400, r#"{"error":"Trying to keep the first 9000 tokens when context the overflows."}"#),
            (413, r#"{"error":{"message":"Please reduce the length of the messages or completion."}}"#),
        ] {
            assert!(matches!(error(code, body), Error::ContextLengthExceeded { .. }), "{body}");
        }
    }

    fn kind(error: &Error) -> &'static str {
        match error {
            Error::Denied { .. } => "denied",
            Error::Forbidden { .. } => "forbidden",
            Error::Filtered { .. } => "filtered",
            Error::RateLimited { .. } => "rate limited",
            Error::Overloaded { .. } => "overloaded",
            Error::Unavailable { missing: true, .. } => "missing",
            Error::Unavailable { .. } => "unavailable",
            Error::Failed { .. } => "failed",
            Error::Refused { .. } => "refused",
            _ => "something else",
        }
    }

    #[test]
    fn the_status_decides_the_rest_and_words_tell_whose_fault_it_is() {
        let moderated = r#"{"error":{"code":403,"message":"openai/gpt requires moderation on OpenRouter. Your input was flagged.","metadata":{"reasons":["violence"],"flagged_input":"…"}}}"#;
        let too_dear = r#"{"error":{"code":402,"message":"This request requires more credits, or fewer max_tokens. You requested up to 4096 tokens, but can only afford 12."}}"#;
        let scope = r#"{"error":{"message":"You have insufficient permissions for this operation. Missing scopes: model.request"}}"#;
        let project = r#"{"error":{"message":"OpenAI-Project header should match project for API key","code":"mismatched_project"}}"#;
        let long = "word ".repeat(MESSAGE_CHARACTERS);
        for (status, body, expected) in [
            (401, r#"{"error":{"message":"bad key"}}"#, "denied"),
            (401, "", "denied"),
            (401, scope, "forbidden"),
            (401, project, "forbidden"),
            (402, r#"{"error":{"message":"Insufficient Balance"}}"#, "denied"),
            (402, too_dear, "forbidden"),
            (403, r#"{"error":{"message":"Your account may not use this model"}}"#, "forbidden"),
            (403, moderated, "filtered"),
            (429, "slow down", "rate limited"),
            (429, r#"{"error":{"message":"No credit.","code":"insufficient_quota"}}"#, "denied"),
            (529, "", "overloaded"),
            (404, r#"{"error":"model 'x' not found"}"#, "missing"),
            (404, &long, "missing"),
            (400, r#"{"error":"x does not support tools"}"#, "refused"),
            (307, "", "refused"),
            (400, r#"{"error":{"message":"no","code":"content_filter"}}"#, "filtered"),
            (500, r#"{"error":{"message":"Unexpected message role."}}"#, "failed"),
            (502, "", "unavailable"),
            (503, "no such thing (HTTP 404)", "unavailable"),
            (504, "", "unavailable"),
        ] {
            assert_eq!(kind(&error(status, body)), expected, "{status} {body}");
        }
        assert_eq!(error(503, "").to_string(), "server cannot answer now: HTTP 503");
    }

    #[test]
    fn an_error_after_a_success_is_what_its_code_says() {
        for (body, expected) in [
            (r#"{"message":"temperature must be in [0,2]","type":"BadRequestError","code":400}"#, "refused"),
            (r#"{"message":"Rate limit exceeded","code":429}"#, "rate limited"),
            (r#"{"message":"Rate limit exceeded","code":"429"}"#, "rate limited"),
            (r#"{"message":"Invalid key","code":401}"#, "denied"),
            (r#"{"message":"You exceeded your current quota","code":"insufficient_quota"}"#, "denied"),
            (r#"{"message":"Slow down","type":"invalid_request_error","code":"rate_limit_exceeded"}"#, "rate limited"),
            (r#"{"type":"error","error":{"type":"invalid_request_error","message":"bad"}}"#, "refused"),
            (r#"{"message":"busy","code":"server_is_overloaded"}"#, "overloaded"),
            (r#"{"message":"no such model","type":"NotFoundError","code":404}"#, "missing"),
            (r#"{"message":"internal","type":"server_error","code":null}"#, "failed"),
            (r#"{"message":"odd","code":7}"#, "failed"),
            (r#""out of memory""#, "failed"),
        ] {
            assert_eq!(kind(&in_band("p", "m", &serde_json::from_str(body).unwrap())), expected, "{body}");
        }
    }

    #[test]
    fn what_is_recorded_holds_the_status_and_none_of_the_servers_words() {
        let prompt = "the-callers-own-words";
        let body = format!(r#"{{"error":{{"message":"cannot parse `{prompt}`","type":"{prompt}"}}}}"#);
        for code in [307, 400, 401, 402, 403, 404, 418, 429, 500, 503, 529] {
            let error = error(code, &body);
            assert!(error.to_string().contains(prompt), "the caller reads it: {error}");
            let recorded = error.recorded();
            assert!(!recorded.contains(prompt), "{recorded}");
            assert!(recorded.contains(&format!("HTTP {code}")), "{recorded}");
        }
        let in_band = in_band("server", "model", &serde_json::json!({"message": prompt}));
        assert!(!in_band.recorded().contains(prompt), "{in_band:?}");
        let overflow = error(400, &format!("prompt is too long: {prompt}"));
        assert!(!overflow.recorded().contains(prompt), "{overflow:?}");
    }

    #[test]
    fn messages_are_one_readable_line() {
        let long = "word \n".repeat(1000);
        let short = short(&long);
        assert!(short.chars().count() == MESSAGE_CHARACTERS + 1 && !short.contains('\n'), "{short}");
    }
}
