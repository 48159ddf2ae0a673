use crate::{
    app::App,
    auth::Admin,
    extract::{Path, Payload, Query},
    problem::Result,
};
use axum::{Json, extract::State};
use protocol::{AskModels, FoundModelProfile, PutModelProfile};
use std::sync::Arc;

/// Keep what an exam found out about a model
///
/// Replaces what an earlier one found, and goes before what is known of its family. It holds for the weights with this digest,
/// and for the name where the provider tells none.
#[utoipa::path(
    put,
    path = "/api/v1/models/{id}/profile",
    operation_id = "put_model_profile",
    tag = "models",
    security(("bearer" = ["admin"])),
    params(("id" = String, Path, description = "`provider/model` with the slash as `%2F`."), AskModels),
    request_body = PutModelProfile,
    responses((status = 200, body = FoundModelProfile)),
)]
pub async fn put(
    State(app): State<Arc<App>>,
    Admin(asker): Admin,
    Path(id): Path<String>,
    Query(AskModels { egress }): Query<AskModels>,
    Payload(put): Payload<PutModelProfile>,
) -> Result<Json<FoundModelProfile>> {
    let model = super::model(&app, &asker, &id, egress).await?;
    Ok(Json(app.profiles.put(&asker.caller, app.clock.as_ref(), &model, put).await?))
}
