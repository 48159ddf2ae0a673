use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Answer a conversation, as Anthropic's messages
///
/// The request and the answer are Anthropic's; the token may come as `x-api-key`.
#[utoipa::path(
    post,
    path = "/v1/messages",
    operation_id = "gateway_messages",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer, or its stream.", body = serde_json::Value)),
)]
pub async fn messages(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    gateway::answer(&app, identity, Dialect::Anthropic, raw).await
}
