use crate::app::App;
use axum::{Json, extract::State};
use http::StatusCode;
use protocol::Health;
use std::sync::Arc;

/// Can it do its work?
///
/// 503 while it stops and while nothing can be stored; reading goes on as long as it can.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readiness",
    tag = "server",
    responses((status = 200, body = Health), (status = 503, body = Health, description = "Not now, and why.")),
)]
pub async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let problems = app.problems();
    if problems.is_empty() {
        return (StatusCode::OK, Json(Health { status: "ok".into(), problems }));
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(Health { status: "degraded".into(), problems }))
}
