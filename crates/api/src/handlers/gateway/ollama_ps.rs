use crate::{app::App, auth::ModelReader, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// List loaded models, as Ollama's ps
///
/// Of every provider that knows what it has loaded.
#[utoipa::path(
    get,
    path = "/ollama/api/ps",
    operation_id = "gateway_ollama_ps",
    tag = "gateway",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn ollama_ps(State(app): State<Arc<App>>, ModelReader(identity): ModelReader, raw: Raw) -> Response {
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OllamaChat);
    gateway::respond(app.router.ollama_ps(inbound).await)
}
