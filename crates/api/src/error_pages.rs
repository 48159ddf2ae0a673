//! The page behind every problem's `type`: what the code means, what usually causes it, what to do.

use domain::ErrorCode;

/// The Markdown of `docs/errors/<code>.md`.
pub fn page(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidRequest => include_str!("../../../docs/errors/invalid_request.md"),
        ErrorCode::InvalidJson => include_str!("../../../docs/errors/invalid_json.md"),
        ErrorCode::InvalidCursor => include_str!("../../../docs/errors/invalid_cursor.md"),
        ErrorCode::Unauthorized => include_str!("../../../docs/errors/unauthorized.md"),
        ErrorCode::Forbidden => include_str!("../../../docs/errors/forbidden.md"),
        ErrorCode::HostNotAllowed => include_str!("../../../docs/errors/host_not_allowed.md"),
        ErrorCode::OriginNotAllowed => include_str!("../../../docs/errors/origin_not_allowed.md"),
        ErrorCode::Gone => include_str!("../../../docs/errors/gone.md"),
        ErrorCode::NotFound => include_str!("../../../docs/errors/not_found.md"),
        ErrorCode::MethodNotAllowed => include_str!("../../../docs/errors/method_not_allowed.md"),
        ErrorCode::NotAcceptable => include_str!("../../../docs/errors/not_acceptable.md"),
        ErrorCode::ContentLost => include_str!("../../../docs/errors/content_lost.md"),
        ErrorCode::WrongState => include_str!("../../../docs/errors/wrong_state.md"),
        ErrorCode::StaleAttempt => include_str!("../../../docs/errors/stale_attempt.md"),
        ErrorCode::ProducerConflict => include_str!("../../../docs/errors/producer_conflict.md"),
        ErrorCode::ProducerGap => include_str!("../../../docs/errors/producer_gap.md"),
        ErrorCode::CursorAhead => include_str!("../../../docs/errors/cursor_ahead.md"),
        ErrorCode::IdempotencyConflict => include_str!("../../../docs/errors/idempotency_conflict.md"),
        ErrorCode::BodyTooLarge => include_str!("../../../docs/errors/body_too_large.md"),
        ErrorCode::HeadersTooLarge => include_str!("../../../docs/errors/headers_too_large.md"),
        ErrorCode::UnsupportedMediaType => include_str!("../../../docs/errors/unsupported_media_type.md"),
        ErrorCode::RangeNotSatisfiable => include_str!("../../../docs/errors/range_not_satisfiable.md"),
        ErrorCode::ContextLengthExceeded => include_str!("../../../docs/errors/context_length_exceeded.md"),
        ErrorCode::EgressRefused => include_str!("../../../docs/errors/egress_refused.md"),
        ErrorCode::RateLimited => include_str!("../../../docs/errors/rate_limited.md"),
        ErrorCode::TooManyConnections => include_str!("../../../docs/errors/too_many_connections.md"),
        ErrorCode::RequestTimeout => include_str!("../../../docs/errors/request_timeout.md"),
        ErrorCode::ModelUnavailable => include_str!("../../../docs/errors/model_unavailable.md"),
        ErrorCode::ModelFailed => include_str!("../../../docs/errors/model_failed.md"),
        ErrorCode::StorageFull => include_str!("../../../docs/errors/storage_full.md"),
        ErrorCode::Unavailable => include_str!("../../../docs/errors/unavailable.md"),
        ErrorCode::Internal => include_str!("../../../docs/errors/internal.md"),
    }
}

/// The page for a browser. Markdown of this kind reads well as it is, so it is only made safe, not translated.
pub fn html(code: ErrorCode) -> String {
    let text = page(code).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{code} · devmesh</title>\n\
         <pre>{text}</pre>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page_that_says_what_why_and_what_now() {
        for code in ErrorCode::ALL {
            let page = page(*code);
            assert!(page.starts_with(&format!("# {}\n\n`{code}` · HTTP {}\n", code.title(), code.status())), "{code}");
            for heading in ["\n## Usual causes\n\n- ", "\n## What to do\n\n- "] {
                assert!(page.contains(heading), "docs/errors/{code}.md lacks {heading:?}");
            }
        }
    }

    #[test]
    fn there_is_no_page_without_a_code() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/errors");
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let code = name.strip_suffix(".md").unwrap_or(&name).to_owned();
            assert!(code.parse::<ErrorCode>().is_ok(), "docs/errors/{name} explains no code");
        }
    }

    #[test]
    fn a_browser_gets_text_and_never_markup_from_a_page() {
        let html = html(ErrorCode::InvalidRequest);
        assert_eq!(html.matches("<pre>").count(), 1);
        assert!(!html.contains("<FILE>"));
    }
}
