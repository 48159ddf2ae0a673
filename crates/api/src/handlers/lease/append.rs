use crate::{
    app::App,
    auth::Agent,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::{AppendEvents, Appended};
use std::sync::Arc;

/// Append events under an attempt
///
/// A batch that was stored before is answered like the first time.
#[utoipa::path(
    post,
    path = "/api/v1/leases/{job_id}/events",
    operation_id = "append_events",
    tag = "leases",
    security(("bearer" = ["agent"])),
    params(("job_id" = uuid::Uuid, Path, description = "The leased job.")),
    request_body = AppendEvents,
    responses((status = 200, body = Appended)),
)]
pub async fn append(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Path(job): Path<JobId>,
    Payload(body): Payload<AppendEvents>,
) -> Result<Json<Appended>> {
    Ok(Json(app.jobs.append(&asker.caller, job, body).await?))
}
