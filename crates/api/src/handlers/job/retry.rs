use crate::{
    app::App, auth::User, extract::Path, handlers::job::located, idempotency::IdempotencyKey, problem::Result,
};
use axum::{extract::State, response::Response};
use domain::JobId;
use protocol::Job;
use std::sync::Arc;

/// Repeat a job that is over, as a new one
#[utoipa::path(
    post,
    path = "/api/v1/jobs/{id}/retry",
    operation_id = "retry_job",
    tag = "jobs",
    security(("bearer" = ["user", "admin"])),
    params(
        ("id" = uuid::Uuid, Path, description = "The job to repeat."),
        ("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "1 to 128 visible ASCII characters, fresh for every new request."),
    ),
    responses((status = 202, body = Job, description = "The new job; `retry_of` names the old one.", headers(("location" = String, description = "Where to read it.")))),
)]
pub async fn retry(
    State(app): State<Arc<App>>,
    User(asker): User,
    Path(id): Path<JobId>,
    IdempotencyKey(key): IdempotencyKey,
) -> Result<Response> {
    Ok(located(app.jobs.retry(&asker.caller, id, key).await?))
}
