use crate::{
    app::App,
    auth::Admin,
    extract::{Path, Query},
    problem::{Failure, Result},
};
use axum::extract::State;
use http::StatusCode;
use protocol::AskModels;
use std::sync::Arc;

/// Forget what an exam found out about a model: what is known of its family holds again
#[utoipa::path(
    delete,
    path = "/api/v1/models/{id}/profile",
    operation_id = "delete_model_profile",
    tag = "models",
    security(("bearer" = ["admin"])),
    params(("id" = String, Path, description = "`provider/model` with the slash as `%2F`."), AskModels),
    responses((status = 204, description = "It is forgotten.")),
)]
pub async fn delete(
    State(app): State<Arc<App>>,
    Admin(asker): Admin,
    Path(id): Path<String>,
    Query(AskModels { egress }): Query<AskModels>,
) -> Result<StatusCode> {
    let model = super::model(&app, &asker, &id, egress).await?;
    match app.profiles.delete(&asker.caller, app.clock.as_ref(), &model).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Failure::not_found(format_args!("exam of {}", model.id))),
    }
}
