use crate::{
    app::App,
    auth::Agent,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::{Job, ReleaseJob};
use std::sync::Arc;

/// End the attempt and hand the job back
#[utoipa::path(
    post,
    path = "/api/v1/leases/{job_id}/release",
    operation_id = "release_job",
    tag = "leases",
    security(("bearer" = ["agent"])),
    params(("job_id" = uuid::Uuid, Path, description = "The leased job.")),
    request_body = ReleaseJob,
    responses((status = 200, body = Job)),
)]
pub async fn release(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Path(job): Path<JobId>,
    Payload(body): Payload<ReleaseJob>,
) -> Result<Json<Job>> {
    Ok(Json(app.jobs.release(&asker.caller, job, body).await?))
}
