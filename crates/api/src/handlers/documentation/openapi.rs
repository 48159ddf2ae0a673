use crate::{auth::Anyone, openapi::openapi_json};
use axum::response::IntoResponse;
use http::header;

/// Read this document
#[utoipa::path(
    get,
    path = "/api/openapi.json",
    operation_id = "get_openapi",
    tag = "server",
    security(("bearer" = ["viewer", "user", "admin", "agent", "model"])),
    responses((status = 200, content_type = "application/json", description = "OpenAPI 3.1.")),
)]
pub async fn openapi(_: Anyone) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], openapi_json())
}
