use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Turn one text into a vector, as Ollama's older embeddings
///
/// The request and the answer are Ollama's.
#[utoipa::path(
    post,
    path = "/ollama/api/embeddings",
    operation_id = "gateway_ollama_embeddings",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn ollama_embeddings(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OllamaChat);
    gateway::respond(app.router.embed_ollama(inbound, true).await)
}
