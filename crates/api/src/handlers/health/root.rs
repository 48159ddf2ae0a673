use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, header};

/// What clients of Ollama look for before they ask anything.
const RUNNING: &str = "Ollama is running";

/// What is here
///
/// Clients of Ollama ask this, by GET or HEAD, to see whether one runs. A browser is led to the documentation.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "get_root",
    tag = "server",
    responses(
        (status = 200, content_type = "text/plain", body = String),
        (status = 303, description = "For a browser: the documentation lies under `/api/docs/`."),
    ),
)]
pub async fn root(headers: HeaderMap) -> Response {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_browser = accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"));
    let mut response = if is_browser { Redirect::to("/api/docs/").into_response() } else { RUNNING.into_response() };
    response.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept"));
    response
}
