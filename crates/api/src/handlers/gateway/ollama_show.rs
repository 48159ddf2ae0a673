use crate::{app::App, auth::ModelReader, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Describe a model, as Ollama's show
///
/// Of a route, the model it leads to first.
#[utoipa::path(
    post,
    path = "/ollama/api/show",
    operation_id = "gateway_ollama_show",
    tag = "gateway",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn ollama_show(State(app): State<Arc<App>>, ModelReader(identity): ModelReader, raw: Raw) -> Response {
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OllamaChat);
    gateway::respond(app.router.ollama_show(inbound).await)
}
