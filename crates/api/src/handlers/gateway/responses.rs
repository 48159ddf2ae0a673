use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Answer a conversation, as OpenAI's responses
///
/// The request and the answer are OpenAI's. Nothing is stored: each request brings its whole input.
#[utoipa::path(
    post,
    path = "/v1/responses",
    operation_id = "gateway_responses",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer, or its stream.", body = serde_json::Value)),
)]
pub async fn responses(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    gateway::answer(&app, identity, Dialect::OpenAiResponses, raw).await
}
