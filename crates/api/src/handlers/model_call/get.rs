use crate::{
    app::App,
    auth::ModelReader,
    extract::Path,
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use domain::{ModelCallId, Scope};
use protocol::ModelCallRecord;
use std::sync::Arc;

/// Explain a model call: who was asked, why, and what came of it
///
/// The id is the answer's `x-devmesh-request-id`. Prompts and answers are not in here.
#[utoipa::path(
    get,
    path = "/api/v1/model-calls/{id}",
    operation_id = "get_model_call",
    tag = "models",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    params(("id" = uuid::Uuid, Path, description = "The model call.")),
    responses((status = 200, body = ModelCallRecord)),
)]
pub async fn get(
    State(app): State<Arc<App>>,
    ModelReader(asker): ModelReader,
    Path(id): Path<ModelCallId>,
) -> Result<Json<ModelCallRecord>> {
    let sees_all = asker.caller.scope.covers(Scope::Viewer) && asker.caller.scope != Scope::User;
    let record = app.router.books().calls().get(id).await?;
    let record = record.filter(|record| sees_all || record.caller == asker.caller.principal);
    record.map(Json).ok_or_else(|| Failure::not_found(format_args!("model call {id}")))
}
