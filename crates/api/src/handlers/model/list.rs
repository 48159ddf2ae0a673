use crate::{app::App, auth::Viewer};
use axum::{Json, extract::State};
use protocol::Models;
use std::sync::Arc;

/// List models, routes, and providers that do not answer
#[utoipa::path(
    get,
    path = "/api/v1/models",
    operation_id = "list_models",
    tag = "models",
    security(("bearer" = ["viewer", "user", "admin"])),
    responses((status = 200, body = Models)),
)]
pub async fn list(State(app): State<Arc<App>>, Viewer(_): Viewer) -> Json<Models> {
    Json(app.router.models().await)
}
