use crate::{
    app::App,
    auth::Agent,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::JobId;
use protocol::{ApprovalRequestedAnswer, RequestApproval};
use std::sync::Arc;

/// Ask a person about a tool call
///
/// Without a decision in the answer, the attempt is over: the job waits without a worker.
#[utoipa::path(
    post,
    path = "/api/v1/leases/{job_id}/approvals",
    operation_id = "request_approval",
    tag = "leases",
    security(("bearer" = ["agent"])),
    params(("job_id" = uuid::Uuid, Path, description = "The leased job.")),
    request_body = RequestApproval,
    responses((status = 200, body = ApprovalRequestedAnswer)),
)]
pub async fn request_approval(
    State(app): State<Arc<App>>,
    Agent(asker): Agent,
    Path(job): Path<JobId>,
    Payload(body): Payload<RequestApproval>,
) -> Result<Json<ApprovalRequestedAnswer>> {
    Ok(Json(app.jobs.request_approval(&asker.caller, job, body).await?))
}
