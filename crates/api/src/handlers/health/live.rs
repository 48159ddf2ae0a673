use axum::Json;
use protocol::Health;

/// Is the process there?
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "get_health",
    tag = "server",
    responses((status = 200, body = Health)),
)]
pub async fn live() -> Json<Health> {
    Json(Health { status: "ok".into(), problems: Vec::new() })
}
