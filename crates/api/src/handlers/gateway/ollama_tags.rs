use crate::{app::App, auth::ModelReader, gateway};
use axum::{extract::State, response::Response};
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
pub async fn ollama_tags(State(app): State<Arc<App>>, ModelReader(identity): ModelReader) -> Response {
    let tags = app.router.ollama_tags(gateway::egress(&app, &identity)).await;
    gateway::respond(&identity, tags)
}
