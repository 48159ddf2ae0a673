//! From what servers say when they cannot answer to what can be done about it.
//!
//! No two servers agree on statuses or wording. The status decides, except for two things that are told apart by words
//! alone: a prompt that does not fit, and a content filter.

use crate::Error;
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
];

/// Lower-case codes and words of content filters.
const FILTER: &[&str] = &[
    "content_filter",
    "content_policy_violation",
    "content management policy",
    "content filtering policy",
    "invalid_prompt",
    "violating our usage policy",
];

/// A status that is not success, and the body that came with it.
pub(crate) fn status(provider: &str, model: &str, status: u16, body: &[u8], retry_after: Option<Duration>) -> Error {
    let text = String::from_utf8_lossy(body);
    let (message, code) = match serde_json::from_str::<Value>(&text) {
        Ok(body) => said(&body),
        Err(_) => (text.trim().to_owned(), String::new()),
    };
    let message = if message.is_empty() { format!("HTTP {status}") } else { format!("{message} (HTTP {status})") };
    let (provider, message) = (provider.to_owned(), short(&message));
    if let Some(error) = by_words(&provider, model, &message, &code) {
        return error;
    }
    match status {
        401..=403 => Error::Denied { provider, message },
        429 | 529 => Error::RateLimited { provider, message, retry_after },
        503 if retry_after.is_some() => Error::RateLimited { provider, message, retry_after },
        404 | 408 | 409 | 425 | 500..=599 => Error::Unavailable { provider, message, missing: status == 404 },
        300..=399 => {
            let message = format!("it redirects, which is not followed: {message}. Configure the final base URL.");
            Error::Refused { provider, message }
        }
        _ => Error::Refused { provider, message },
    }
}

/// An error object inside a stream that began with success.
pub(crate) fn in_band(provider: &str, model: &str, error: &Value) -> Error {
    let (message, code) = said(error);
    let (provider, message) = (provider.to_owned(), short(&message));
    by_words(&provider, model, &message, &code).unwrap_or(Error::Failed { provider, message })
}

fn by_words(provider: &str, model: &str, message: &str, code: &str) -> Option<Error> {
    let words = format!("{message} {code}").to_lowercase();
    let (provider, message) = (provider.to_owned(), message.to_owned());
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
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MESSAGE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
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
            (413, r#"{"error":{"message":"Please reduce the length of the messages or completion."}}"#),
        ] {
            assert!(matches!(error(code, body), Error::ContextLengthExceeded { .. }), "{body}");
        }
    }

    #[test]
    fn the_status_decides_the_rest() {
        assert!(matches!(error(401, r#"{"error":{"message":"bad key"}}"#), Error::Denied { .. }));
        assert!(matches!(error(429, "slow down"), Error::RateLimited { .. }));
        assert!(matches!(error(529, ""), Error::RateLimited { .. }));
        assert!(matches!(error(404, r#"{"error":"model 'x' not found"}"#), Error::Unavailable { .. }));
        assert!(matches!(error(400, r#"{"error":"x does not support tools"}"#), Error::Refused { .. }));
        assert!(matches!(error(307, ""), Error::Refused { .. }));
        assert!(matches!(error(400, r#"{"error":{"message":"no","code":"content_filter"}}"#), Error::Filtered { .. }));
        let long = "word ".repeat(MESSAGE_CHARACTERS);
        assert!(matches!(error(404, &long), Error::Unavailable { missing: true, .. }), "however much it says");
        assert!(matches!(error(503, "no such thing (HTTP 404)"), Error::Unavailable { missing: false, .. }));
        assert_eq!(error(503, "").to_string(), "server cannot answer now: HTTP 503");
    }

    #[test]
    fn messages_are_one_readable_line() {
        let long = "word \n".repeat(1000);
        let short = short(&long);
        assert!(short.chars().count() == MESSAGE_CHARACTERS + 1 && !short.contains('\n'), "{short}");
    }
}
