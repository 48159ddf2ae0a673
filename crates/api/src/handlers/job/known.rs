use crate::{app::App, auth::Agent, extract::Payload, problem::Result};
use axum::{Json, extract::State};
use protocol::{KnownJobs, KnownJobsRequest};
use std::sync::Arc;

/// Which of these jobs are still there?
///
/// A job that was deleted, by a person or for its age, is not known any more: what an agent keeps for it may go. One that
/// is over is known.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/known",
    operation_id = "known_jobs",
    tag = "leases",
    security(("bearer" = ["agent"])),
    request_body = KnownJobsRequest,
    responses((status = 200, body = KnownJobs)),
)]
pub async fn known(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Payload(body): Payload<KnownJobsRequest>,
) -> Result<Json<KnownJobs>> {
    let known = app.jobs.known(&asker.caller, body.job_ids).await?;
    Ok(Json(KnownJobs { epoch: app.store.epoch(), known }))
}
