use crate::{app::App, auth::ModelCaller, extract::Raw, gateway};
use axum::{extract::State, response::Response};
use router::dialect::Dialect;
use std::sync::Arc;

/// Turn texts into vectors, as OpenAI's embeddings
///
/// `model` names a route, `provider/model`, or a model's bare name.
#[utoipa::path(
    post,
    path = "/v1/embeddings",
    operation_id = "gateway_embeddings",
    tag = "gateway",
    security(("bearer" = ["model", "user", "admin"])),
    request_body = serde_json::Value,
    responses((status = 200, description = "The vendor's answer.", body = serde_json::Value)),
)]
pub async fn embeddings(State(app): State<Arc<App>>, ModelCaller(identity): ModelCaller, raw: Raw) -> Response {
    let inbound = gateway::Asked::new(identity, raw).inbound(&app, Dialect::OpenAiChat);
    gateway::respond(app.router.embed_openai(inbound).await)
}
