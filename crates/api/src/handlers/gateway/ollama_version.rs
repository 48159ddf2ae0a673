use crate::{app::App, auth::ModelReader, gateway};
use axum::{extract::State, response::Response};
use std::sync::Arc;

/// Tell the version, as Ollama does
///
/// The version of Ollama's API that is spoken here.
#[utoipa::path(
    get,
    path = "/ollama/api/version",
    operation_id = "gateway_ollama_version",
    tag = "gateway",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn ollama_version(State(app): State<Arc<App>>, ModelReader(_): ModelReader) -> Response {
    gateway::respond(app.router.ollama_version())
}
