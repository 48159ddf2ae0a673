use crate::{app::App, auth::User, extract::Path, problem::Result};
use axum::extract::State;
use domain::JobId;
use http::StatusCode;
use std::sync::Arc;

/// Delete a job that is over, with its log and artifacts
#[utoipa::path(
    delete,
    path = "/api/v1/jobs/{id}",
    operation_id = "delete_job",
    tag = "jobs",
    security(("bearer" = ["user", "admin"])),
    params(("id" = uuid::Uuid, Path, description = "The job.")),
    responses((status = 204, description = "It is gone.")),
)]
pub async fn delete(State(app): State<Arc<App>>, User(asker): User, Path(id): Path<JobId>) -> Result<StatusCode> {
    app.jobs.delete(&asker.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
