use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Go on with a text, as Ollama's generate
///
/// The request and the answer are Ollama's. It streams unless `stream` is false.
#[utoipa::path(
    post,
    path = "/ollama/api/generate",
    operation_id = "gateway_ollama_generate",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer, or its stream.", body = serde_json::Value)),
)]
pub async fn ollama_generate(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    gateway::answer(&app, identity, Dialect::OllamaGenerate, raw).await
}
