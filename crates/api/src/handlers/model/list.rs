use crate::{app::App, auth::Viewer, extract::Query, gateway};
use axum::{Json, extract::State};
use protocol::{AskModels, Models};
use std::sync::Arc;

/// List models, routes, and providers that do not answer
///
/// Providers in the cloud are asked only when the request says so, because that alone sends their keys there.
#[utoipa::path(
    get,
    path = "/api/v1/models",
    operation_id = "list_models",
    tag = "models",
    security(("bearer" = ["viewer", "user", "admin"])),
    params(AskModels),
    responses((status = 200, body = Models)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Viewer(asker): Viewer,
    Query(AskModels { egress }): Query<AskModels>,
) -> Json<Models> {
    let (_, allowed) = gateway::caller(&app, &asker);
    let mut all = app.router.models(egress.min(allowed)).await;
    let of_routes = all.routes.iter_mut().flat_map(|route| &mut route.targets);
    all.models.iter_mut().chain(of_routes).for_each(|model| app.profiles.complete(model));
    Json(all)
}
