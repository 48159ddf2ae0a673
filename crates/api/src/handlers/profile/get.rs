use crate::{
    app::App,
    auth::Viewer,
    extract::{Path, Query},
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use protocol::{AskModels, FoundModelProfile};
use std::sync::Arc;

/// Show how to work with a model: what an exam found, or what is known of its family
#[utoipa::path(
    get,
    path = "/api/v1/models/{id}/profile",
    operation_id = "get_model_profile",
    tag = "models",
    security(("bearer" = ["viewer", "user", "admin"])),
    params(("id" = String, Path, description = "`provider/model` with the slash as `%2F`."), AskModels),
    responses((status = 200, body = FoundModelProfile)),
)]
pub async fn get(
    State(app): State<Arc<App>>,
    Viewer(asker): Viewer,
    Path(id): Path<String>,
    Query(AskModels { egress }): Query<AskModels>,
) -> Result<Json<FoundModelProfile>> {
    let model = super::model(&app, &asker, &id, egress).await?;
    let found = app.profiles.find(&model);
    found.map(Json).ok_or_else(|| Failure::not_found(format_args!("profile of {}", model.id)))
}
