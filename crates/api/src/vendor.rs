//! Refusals at the edge in the shapes that clients of a vendor understand: no token, no route, too large a body.

use crate::problem::Failure;
use domain::{ErrorCode, RequestId};
use serde_json::{Value, json};

/// Whose clients ask under a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    OpenAi,
    Anthropic,
    Ollama,
}

/// Of Ollama at the root, where the rest of `/api/` is ours.
const OF_OLLAMA: [&str; 8] = [
    "/api/chat",
    "/api/generate",
    "/api/embed",
    "/api/embeddings",
    "/api/tags",
    "/api/ps",
    "/api/show",
    "/api/version",
];

impl Vendor {
    pub fn of(path: &str) -> Option<Self> {
        // Ollama has OpenAI's API beside its own.
        let path = path.strip_prefix("/ollama").filter(|rest| rest.starts_with("/v1/")).unwrap_or(path);
        if path == "/v1/messages" || path.starts_with("/v1/messages/") {
            Some(Self::Anthropic)
        } else if path.starts_with("/v1/") || path.starts_with("/providers/") {
            Some(Self::OpenAi)
        } else if path.strip_prefix("/ollama/").is_some_and(|rest| !rest.is_empty()) || OF_OLLAMA.contains(&path) {
            Some(Self::Ollama)
        } else {
            None
        }
    }

    pub fn error(self, failure: &Failure, request_id: RequestId) -> Value {
        let message = &failure.detail;
        match self {
            Self::OpenAi => json!({
                "error": {"message": message, "type": openai_type(failure.code), "param": null, "code": openai_code(failure.code)},
            }),
            Self::Anthropic => json!({
                "type": "error",
                "error": {"type": anthropic_type(failure.code), "message": message},
                "request_id": request_id.to_string(),
            }),
            Self::Ollama => json!({"error": message}),
        }
    }
}

fn openai_type(code: ErrorCode) -> &'static str {
    match code.status() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}

/// The vendor's own word where clients look for one; otherwise ours.
fn openai_code(code: ErrorCode) -> String {
    match code {
        ErrorCode::Unauthorized => "invalid_api_key".to_owned(),
        other => other.to_string(),
    }
}

fn anthropic_type(code: ErrorCode) -> &'static str {
    match code.status() {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_tells_whose_client_asks() {
        assert_eq!(Vendor::of("/v1/messages/count_tokens"), Some(Vendor::Anthropic));
        assert_eq!(Vendor::of("/v1/messagesx"), Some(Vendor::OpenAi));
        assert_eq!(Vendor::of("/ollama/api/chat"), Some(Vendor::Ollama));
        assert_eq!(Vendor::of("/ollama/v1/chat/completions"), Some(Vendor::OpenAi));
        assert_eq!(Vendor::of("/api/chat"), Some(Vendor::Ollama));
        for ours in ["/", "/ollama/", "/api/v1/jobs", "/api/docs/", "/api/chat/more", "/api/openapi.json"] {
            assert_eq!(Vendor::of(ours), None, "{ours}");
        }
    }
}
