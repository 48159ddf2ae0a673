use crate::{
    app::App,
    auth::ModelReader,
    extract::{Path, Raw},
    gateway,
};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Describe a model, in OpenAI's or Anthropic's shape
///
/// Any that is listed, by its `id` there, slashes included. Anthropic's shape for a request with `anthropic-version`.
#[utoipa::path(
    get,
    path = "/v1/models/{*id}",
    operation_id = "gateway_model",
    tag = "gateway",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    params(("id" = String, Path, description = "As it is listed: `ollama/qwen3:8b`.")),
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn model(
    State(app): State<Arc<App>>,
    ModelReader(identity): ModelReader,
    Path(id): Path<String>,
    raw: Raw,
) -> Response {
    let anthropic = raw.headers.contains_key("anthropic-version");
    let dialect = if anthropic { Dialect::Anthropic } else { Dialect::OpenAiChat };
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, dialect);
    gateway::respond(app.router.one_model(inbound, &id).await)
}
