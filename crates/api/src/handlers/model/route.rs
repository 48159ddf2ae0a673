use crate::{
    app::App,
    auth::Reader,
    extract::{Path, Query},
    gateway,
    problem::Result,
};
use axum::{Json, extract::State};
use protocol::{AskModels, Route};
use std::sync::Arc;

/// Resolve a route: where a logical model name leads, best first
#[utoipa::path(
    get,
    path = "/api/v1/routes/{name}",
    operation_id = "get_route",
    tag = "models",
    security(("bearer" = ["viewer", "user", "admin", "agent"])),
    params(
        ("name" = String, Path, description = "A logical model name, or `provider/model` with the slash as `%2F`."),
        AskModels,
    ),
    responses((status = 200, body = Route)),
)]
pub async fn route(
    State(app): State<Arc<App>>,
    Reader(asker): Reader,
    Path(name): Path<String>,
    Query(AskModels { egress }): Query<AskModels>,
) -> Result<Json<Route>> {
    let (_, allowed) = gateway::caller(&app, &asker);
    Ok(Json(app.profiles.complete_route(app.router.route(&name, egress.min(allowed)).await?)))
}
