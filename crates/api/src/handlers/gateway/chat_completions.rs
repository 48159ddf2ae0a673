use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Answer a conversation, as OpenAI's chat completions
///
/// The request and the answer are OpenAI's. `model` names a route, `provider/model`, or a model's bare name.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    operation_id = "gateway_chat_completions",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer, or its stream.", body = serde_json::Value)),
)]
pub async fn chat_completions(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    gateway::answer(&app, identity, Dialect::OpenAiChat, raw).await
}
