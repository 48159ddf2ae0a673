//! Which of a provider's endpoints are passed on.

use crate::Error;
use http::Method;

/// What may stand in a path, segment by segment: `*` is one name, `**` any number of them. Before it may stand `v1`.
/// Batches are read and stopped here and not begun: each is a file of model calls.
const PASSED_ON: &[(&[Method], &str)] = &[
    (&[Method::POST], "audio/speech"),
    (&[Method::POST], "audio/transcriptions"),
    (&[Method::POST], "audio/translations"),
    (&[Method::POST], "images/generations"),
    (&[Method::POST], "images/edits"),
    (&[Method::POST], "images/variations"),
    (&[Method::POST], "moderations"),
    (&[Method::GET, Method::POST, Method::DELETE], "files/**"),
    (&[Method::GET, Method::POST, Method::DELETE], "uploads/**"),
    (&[Method::GET, Method::POST, Method::DELETE], "vector_stores/**"),
    (&[Method::GET], "models/**"),
    (&[Method::GET], "batches/**"),
    (&[Method::POST], "batches/*/cancel"),
    (&[Method::GET, Method::DELETE], "messages/batches/**"),
    (&[Method::POST], "messages/batches/*/cancel"),
    (&[Method::GET, Method::DELETE], "chat/completions/**"),
    (&[Method::GET, Method::DELETE], "responses/**"),
    (&[Method::POST], "responses/*/cancel"),
];

/// # Errors
/// [`Error::NotAllowed`] for what calls a model or is not known here, [`Error::Invalid`] for a path that may be read as
/// another one.
pub(super) fn check(method: &Method, path: &str) -> Result<(), Error> {
    // It was decoded once on its way here; whoever reads it next might decode it again.
    if path.contains('%') {
        return Err(Error::invalid("", format!("the path `{path}` holds a `%` after it was decoded")));
    }
    let mut segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
    if segments.first() == Some(&"v1") {
        segments.remove(0);
    }
    let fits = |(methods, pattern): &&(&[Method], &str)| {
        methods.contains(method) && matches(&pattern.split('/').collect::<Vec<_>>(), &segments)
    };
    if PASSED_ON.iter().any(|known| fits(&known)) {
        return Ok(());
    }
    Err(Error::NotAllowed {
        message: match own_endpoint(method, &segments) {
            Some(own) => format!(
                "`{path}` calls a model, and calls are counted and bounded at this server's own endpoints; ask at `{own}`"
            ),
            None => format!(
                "`{method} {path}` is not known here, and what is passed on unread goes by every budget. Passed on are audio, images, moderations, files, uploads, vector stores, and what is stored of models, batches and answers"
            ),
        },
    })
}

fn matches(pattern: &[&str], segments: &[&str]) -> bool {
    match (pattern, segments) {
        ([], []) => true,
        (["**"], rest) => rest.iter().all(|segment| !segment.is_empty()),
        (["*", pattern @ ..], [name, rest @ ..]) => !name.is_empty() && matches(pattern, rest),
        ([word, pattern @ ..], [segment, rest @ ..]) => word == segment && matches(pattern, rest),
        _ => false,
    }
}

/// Where to ask instead, for what this server has words for.
fn own_endpoint(method: &Method, segments: &[&str]) -> Option<&'static str> {
    let named: Vec<&str> = segments.iter().copied().filter(|segment| !segment.is_empty()).collect();
    let named = named.join("/").to_ascii_lowercase();
    match (method, named.strip_prefix("v1/").unwrap_or(&named)) {
        (&Method::POST, "chat/completions") => Some("/v1/chat/completions"),
        (&Method::POST, "completions") => Some("/v1/completions"),
        (&Method::POST, "responses") => Some("/v1/responses"),
        (&Method::POST, "embeddings") => Some("/v1/embeddings"),
        (&Method::POST, "messages") => Some("/v1/messages"),
        (&Method::POST, "messages/count_tokens") => Some("/v1/messages/count_tokens"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_not_to_be_a_model_call_is_passed_on() {
        let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
        for (method, path, passes) in [
            (&post, "/audio/speech", true),
            (&post, "/v1/images/generations", true),
            (&get, "/files", true),
            (&get, "/files/f-1/content", true),
            (&delete, "/v1/files/f-1", true),
            (&get, "/batches/b-1", true),
            (&post, "/batches/b-1/cancel", true),
            (&get, "/responses/r-1/input_items", true),
            (&post, "/batches", false),
            (&post, "/messages/batches", false),
            (&post, "/chat/completions", false),
            (&post, "//v1//Chat/completions/", false),
            (&post, "/v1/v1/chat/completions", false),
            (&post, "/chat/completions/c-1", false),
            (&post, "/responses", false),
            (&post, "/responses/compact", false),
            (&post, "/api/chat", false),
            (&post, "/api/generate", false),
            (&post, "/rerank", false),
            (&post, "/v1beta/models/m:generateContent", false),
            (&post, "/threads/runs", false),
            (&post, "/audio", false),
            (&post, "/audio/speech/", false),
            (&get, "/files//content", false),
            (&get, "/", false),
            (&post, "/AUDIO/SPEECH", false),
        ] {
            assert_eq!(check(method, path).is_ok(), passes, "{method} {path}");
        }
        for path in ["/files/%2e%2e/chat/completions", "/chat%2Fcompletions", "/files/a%"] {
            assert!(matches!(check(&get, path), Err(Error::Invalid { .. })), "{path}");
        }
    }
}
