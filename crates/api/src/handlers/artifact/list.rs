use crate::{
    app::App,
    auth::Reader,
    extract::{Path, Query},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::{ArtifactPage, ListAll};
use std::sync::Arc;

/// List what a job produced, by name
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/artifacts",
    operation_id = "list_artifacts",
    tag = "artifacts",
    security(("bearer" = ["viewer", "user", "admin", "agent"])),
    params(("id" = uuid::Uuid, Path, description = "The job."), ListAll),
    responses((status = 200, body = ArtifactPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Reader(asker): Reader,
    Path(id): Path<JobId>,
    Query(query): Query<ListAll>,
) -> Result<Json<ArtifactPage>> {
    Ok(Json(app.jobs.artifacts(&asker.caller, id, query).await?))
}
