use crate::{app::App, auth::Agent, extract::Payload, problem::Result};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use protocol::{Lease, LeaseRequest};
use std::sync::Arc;

/// Lease a job, waiting for one if asked to
#[utoipa::path(
    post,
    path = "/api/v1/leases",
    operation_id = "create_lease",
    tag = "leases",
    security(("bearer" = ["agent"])),
    request_body = LeaseRequest,
    responses((status = 200, body = Lease), (status = 204, description = "Nothing to do in that time.")),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Payload(request): Payload<LeaseRequest>,
) -> Result<Response> {
    let lease = tokio::select! {
        // A lease that is there goes out, even if the server stops or the token is revoked at this very moment.
        biased;
        lease = app.jobs.lease(&asker.caller, request) => lease?,
        () = app.stopping.cancelled() => None,
        () = asker.token.revoked.cancelled() => None,
    };
    Ok(lease.map_or_else(|| StatusCode::NO_CONTENT.into_response(), |lease| Json(lease).into_response()))
}
