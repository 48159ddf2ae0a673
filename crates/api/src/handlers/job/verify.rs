use crate::{app::App, auth::Viewer, extract::Path, problem::Result};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::VerifyReport;
use std::sync::Arc;

/// Recompute the hash chain of a job's log
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/verify",
    operation_id = "verify_job",
    tag = "jobs",
    security(("bearer" = ["viewer", "user", "admin"])),
    params(("id" = uuid::Uuid, Path, description = "The job.")),
    responses((status = 200, body = VerifyReport)),
)]
pub async fn verify(
    State(app): State<Arc<App>>,
    Viewer(asker): Viewer,
    Path(id): Path<JobId>,
) -> Result<Json<VerifyReport>> {
    Ok(Json(app.jobs.verify(&asker.caller, id).await?))
}
