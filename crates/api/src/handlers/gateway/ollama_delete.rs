use crate::{app::App, auth::Admin, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Remove a model, as Ollama's delete
///
/// From the provider that holds it.
#[utoipa::path(
    delete,
    path = "/ollama/api/delete",
    operation_id = "gateway_ollama_delete",
    tag = "gateway",
    security(("bearer" = ["admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn ollama_delete(State(app): State<Arc<App>>, Admin(identity): Admin, raw: Raw) -> Response {
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OllamaChat);
    gateway::respond(app.router.ollama_delete(inbound).await)
}
