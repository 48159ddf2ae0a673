pub mod cancel;
pub mod create;
pub mod delete;
pub mod events;
pub mod get;
pub mod known;
pub mod list;
pub mod retry;
pub mod verify;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use protocol::Job;

/// A job that was made: 202 and where to find it.
fn located(job: Job) -> Response {
    (StatusCode::ACCEPTED, [(header::LOCATION, format!("/api/v1/jobs/{}", job.id))], Json(job)).into_response()
}
