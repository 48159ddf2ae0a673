use crate::{app::App, audit, auth::Admin, extract::Raw, gateway, problem::Result};
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
pub async fn ollama_delete(State(app): State<Arc<App>>, Admin(identity): Admin, raw: Raw) -> Result<Response> {
    audit::record(&app, &identity, "model.delete", &audit::ollama_model(&raw.body)).await?;
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OllamaChat);
    Ok(gateway::respond(app.router.ollama_delete(inbound).await))
}
