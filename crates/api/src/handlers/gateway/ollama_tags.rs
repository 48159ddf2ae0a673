use crate::{app::App, auth::ModelReader, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// List models, as Ollama's tags
///
/// Routes come first.
#[utoipa::path(
    get,
    path = "/ollama/api/tags",
    operation_id = "gateway_ollama_tags",
    tag = "gateway",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn ollama_tags(State(app): State<Arc<App>>, ModelReader(identity): ModelReader, raw: Raw) -> Response {
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OllamaChat);
    gateway::respond(app.router.ollama_tags(inbound).await)
}
