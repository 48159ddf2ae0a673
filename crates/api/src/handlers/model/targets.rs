use crate::{app::App, auth::Viewer};
use axum::{Json, extract::State};
use protocol::Targets;
use std::sync::Arc;

/// Show how targets do: breakers, rests, queues
#[utoipa::path(
    get,
    path = "/api/v1/targets",
    operation_id = "list_targets",
    tag = "models",
    security(("bearer" = ["viewer", "user", "admin"])),
    responses((status = 200, body = Targets)),
)]
pub async fn targets(State(app): State<Arc<App>>, Viewer(_): Viewer) -> Json<Targets> {
    Json(app.router.health())
}
