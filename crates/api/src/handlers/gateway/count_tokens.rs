use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Count the tokens of a prompt, as Anthropic does
///
/// Exact where the target can count; otherwise `x-devmesh-token-count: estimated`.
#[utoipa::path(
    post,
    path = "/v1/messages/count_tokens",
    operation_id = "gateway_count_tokens",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn count_tokens(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::Anthropic);
    gateway::respond(app.router.count_tokens(inbound).await)
}
