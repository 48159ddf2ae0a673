use crate::{
    app::App,
    auth::ModelReader,
    extract::{Path, Payload},
    gateway,
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use protocol::{ExplainRoute, RouteExplanation};
use std::sync::Arc;

/// Of a prompt that is only talked about: what comes of more is no time anybody waits.
const PROMPT_BYTES: u64 = 1 << 30;

/// Explain a route: where such a call would go now, and why, without making it
#[utoipa::path(
    post,
    path = "/api/v1/routes/{name}/explain",
    operation_id = "explain_route",
    tag = "models",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    params(("name" = String, Path, description = "A logical model name, or `provider/model` with the slash as `%2F`.")),
    request_body = ExplainRoute,
    responses((status = 200, body = RouteExplanation)),
)]
pub async fn explain(
    State(app): State<Arc<App>>,
    ModelReader(asker): ModelReader,
    Path(name): Path<String>,
    Payload(request): Payload<ExplainRoute>,
) -> Result<Json<RouteExplanation>> {
    if request.prompt_bytes > PROMPT_BYTES {
        let detail = format!("is {}; at most {PROMPT_BYTES} are counted.", request.prompt_bytes);
        return Err(Failure::field("/prompt_bytes", detail));
    }
    let (caller, egress) = gateway::caller(&app, &asker);
    Ok(Json(app.router.explain(&name, &request, caller, egress).await?))
}
