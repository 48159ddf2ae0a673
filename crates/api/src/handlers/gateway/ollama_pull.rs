use crate::{app::App, audit, auth::Admin, extract::Raw, gateway, problem::Result};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Fetch a model, as Ollama's pull
///
/// Progress comes as lines of JSON.
#[utoipa::path(
    post,
    path = "/ollama/api/pull",
    operation_id = "gateway_ollama_pull",
    tag = "gateway",
    security(("bearer" = ["admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn ollama_pull(State(app): State<Arc<App>>, Admin(identity): Admin, raw: Raw) -> Result<Response> {
    audit::record(&app, &identity, "model.pull", &audit::ollama_model(&raw.body)).await?;
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OllamaChat);
    Ok(gateway::respond(app.router.ollama_pull(inbound).await))
}
