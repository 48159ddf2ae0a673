use crate::{
    app::App,
    auth::Agent,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::{Heartbeat, HeartbeatAnswer};
use std::sync::Arc;

/// Keep a lease, and hear what changed
#[utoipa::path(
    post,
    path = "/api/v1/leases/{job_id}/heartbeat",
    operation_id = "heartbeat",
    tag = "leases",
    security(("bearer" = ["agent"])),
    params(("job_id" = uuid::Uuid, Path, description = "The leased job.")),
    request_body = Heartbeat,
    responses((status = 200, body = HeartbeatAnswer)),
)]
pub async fn heartbeat(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Path(job): Path<JobId>,
    Payload(beat): Payload<Heartbeat>,
) -> Result<Json<HeartbeatAnswer>> {
    let at_once = Heartbeat { wait_ms: 0, ..beat };
    let answer = tokio::select! {
        biased;
        answer = app.jobs.heartbeat(&asker.caller, job, beat) => answer?,
        () = app.stopping.cancelled() => app.jobs.heartbeat(&asker.caller, job, at_once).await?,
    };
    Ok(Json(answer))
}
