use crate::{
    app::App,
    auth::Agent,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::{FinishJob, Job};
use std::sync::Arc;

/// End the attempt and the job
#[utoipa::path(
    post,
    path = "/api/v1/leases/{job_id}/finish",
    operation_id = "finish_job",
    tag = "leases",
    security(("bearer" = ["agent"])),
    params(("job_id" = uuid::Uuid, Path, description = "The leased job.")),
    request_body = FinishJob,
    responses((status = 200, body = Job)),
)]
pub async fn finish(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Path(job): Path<JobId>,
    Payload(body): Payload<FinishJob>,
) -> Result<Json<Job>> {
    Ok(Json(app.jobs.finish(&asker.caller, job, body).await?))
}
