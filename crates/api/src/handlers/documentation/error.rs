use crate::{
    auth::Anyone,
    error_pages,
    extract::Path,
    problem::{Failure, Result},
};
use axum::response::{IntoResponse, Response};
use domain::ErrorCode;
use http::{HeaderMap, header};

/// What an error code means, what usually causes it, what to do
#[utoipa::path(
    get,
    path = "/api/errors/{code}",
    operation_id = "get_error_page",
    tag = "server",
    security(("bearer" = ["viewer", "user", "admin", "agent", "model"])),
    params(("code" = String, Path, description = "The `code` of a problem.")),
    responses((status = 200, description = "The page.", content((String = "text/markdown"), (String = "text/html")))),
)]
pub async fn error(_: Anyone, Path(code): Path<String>, headers: HeaderMap) -> Result<Response> {
    let code: ErrorCode = code.parse().map_err(|why: String| Failure::new(ErrorCode::NotFound, format!("{why}.")))?;
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") {
        return Ok(([(header::CONTENT_TYPE, "text/html; charset=utf-8")], error_pages::html(code)).into_response());
    }
    Ok(([(header::CONTENT_TYPE, "text/markdown; charset=utf-8")], error_pages::page(code)).into_response())
}
