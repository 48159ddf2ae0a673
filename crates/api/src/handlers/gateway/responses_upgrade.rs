use crate::auth::ModelCaller;
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use serde_json::json;

/// Refuse a WebSocket where answers are asked for by `POST`
///
/// Clients that try a WebSocket first, as Codex does, go on by `POST` at once when they are answered so.
#[utoipa::path(
    get,
    path = "/v1/responses",
    operation_id = "gateway_responses_upgrade",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    responses((status = 426, description = "Ask by `POST`.", body = serde_json::Value)),
)]
pub async fn responses_upgrade(ModelCaller(_): ModelCaller) -> Response {
    let message = "there is no WebSocket here and nothing is stored: send the request by POST to /v1/responses";
    let error = json!({"error": {
        "message": message, "type": "invalid_request_error", "param": null, "code": "upgrade_required",
    }});
    (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "HTTP/1.1")], Json(error)).into_response()
}
