use crate::{
    app::App, auth::User, extract::Payload, handlers::job::located, idempotency::IdempotencyKey, problem::Result,
};
use axum::{extract::State, response::Response};
use protocol::{CreateJob, Job};
use std::sync::Arc;

/// Ask for a job
///
/// The answer is sent once the job is durable. With an `Idempotency-Key`, a repeat answers with the same job.
#[utoipa::path(
    post,
    path = "/api/v1/jobs",
    operation_id = "create_job",
    tag = "jobs",
    security(("bearer" = ["user", "admin"])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "1 to 128 visible ASCII characters, fresh for every new request.")),
    request_body = CreateJob,
    responses((status = 202, body = Job, description = "It is queued.", headers(("location" = String, description = "Where to read it.")))),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    User(asker): User,
    IdempotencyKey(key): IdempotencyKey,
    Payload(spec): Payload<CreateJob>,
) -> Result<Response> {
    Ok(located(app.jobs.create(&asker.caller, spec, key).await?))
}
