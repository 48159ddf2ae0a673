use crate::{app::App, auth::ModelReader, gateway};
use axum::{extract::State, response::Response};
use http::HeaderMap;
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
pub async fn models(State(app): State<Arc<App>>, ModelReader(identity): ModelReader, headers: HeaderMap) -> Response {
    let anthropic = headers.contains_key("anthropic-version");
    let models = app.router.list_models(gateway::egress(&app, &identity), anthropic).await;
    gateway::respond(&identity, models)
}
