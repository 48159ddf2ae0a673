use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Go on with a text, as OpenAI's completions
///
/// The request and the answer are OpenAI's.
#[utoipa::path(
    post,
    path = "/v1/completions",
    operation_id = "gateway_completions",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer, or its stream.", body = serde_json::Value)),
)]
pub async fn completions(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    gateway::answer(&app, identity, Dialect::OpenAiCompletions, raw).await
}
