use crate::{app::App, auth::ModelReader, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// List models, in OpenAI's or Anthropic's shape
///
/// Anthropic's for a request with `anthropic-version`. Routes come first.
#[utoipa::path(
    get,
    path = "/v1/models",
    operation_id = "gateway_models",
    tag = "gateway",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn models(State(app): State<Arc<App>>, ModelReader(identity): ModelReader, raw: Raw) -> Response {
    let anthropic = raw.headers.contains_key("anthropic-version");
    let dialect = if anthropic { Dialect::Anthropic } else { Dialect::OpenAiChat };
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, dialect);
    gateway::respond(app.router.list_models(inbound).await)
}
