use crate::{
    app::App,
    auth::ModelReader,
    extract::{Path, Payload},
    gateway,
    problem::Result,
};
use axum::{Json, extract::State};
use protocol::{ExplainRoute, RouteExplanation};
use std::sync::Arc;

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
    let (caller, egress) = gateway::caller(&app, &asker);
    Ok(Json(app.router.explain(&name, &request, caller, egress).await?))
}
