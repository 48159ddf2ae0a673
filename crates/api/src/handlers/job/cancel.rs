use crate::{
    app::App,
    auth::User,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::JobId;
use http::StatusCode;
use protocol::{CancelJob, Job};
use std::sync::Arc;

/// Cancel a job
///
/// Durable once answered. A waiting job ends at once; a running one as soon as its agent has stopped, or has shown that
/// it does not.
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/cancel",
    operation_id = "cancel_job",
    tag = "jobs",
    security(("bearer" = ["user", "admin"])),
    params(("id" = uuid::Uuid, Path, description = "The job.")),
    request_body = Option<CancelJob>,
    responses((status = 202, body = Job, description = "It is ending.")),
)]
pub async fn cancel(
    State(app): State<Arc<App>>,
    User(asker): User,
    Path(id): Path<JobId>,
    body: Option<Payload<CancelJob>>,
) -> Result<(StatusCode, Json<Job>)> {
    let cancel = body.map(|Payload(cancel)| cancel).unwrap_or_default();
    Ok((StatusCode::ACCEPTED, Json(app.jobs.cancel(&asker.caller, id, cancel).await?)))
}
