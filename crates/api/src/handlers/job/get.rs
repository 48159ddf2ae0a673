use crate::{app::App, auth::Viewer, extract::Path, problem::Result};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::Job;
use std::sync::Arc;

/// Read one job
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}",
    operation_id = "get_job",
    tag = "jobs",
    security(("bearer" = ["viewer", "user", "admin"])),
    params(("id" = uuid::Uuid, Path, description = "The job.")),
    responses((status = 200, body = Job)),
)]
pub async fn get(State(app): State<Arc<App>>, Viewer(asker): Viewer, Path(id): Path<JobId>) -> Result<Json<Job>> {
    Ok(Json(app.jobs.get(&asker.caller, id).await?))
}
