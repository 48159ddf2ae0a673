use crate::{
    app::App,
    auth::User,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::ApprovalId;
use protocol::{Approval, DecideApproval};
use std::sync::Arc;

/// Approve or deny a tool call
///
/// The decision holds for exactly the arguments whose digest is sent along. The job goes on at once.
#[utoipa::path(
    post,
    path = "/api/v1/approvals/{id}/decision",
    operation_id = "decide_approval",
    tag = "approvals",
    security(("bearer" = ["user", "admin"])),
    params(("id" = uuid::Uuid, Path, description = "The approval.")),
    request_body = DecideApproval,
    responses((status = 200, body = Approval)),
)]
pub async fn decide(
    State(app): State<Arc<App>>,
    User(asker): User,
    Path(id): Path<ApprovalId>,
    Payload(decision): Payload<DecideApproval>,
) -> Result<Json<Approval>> {
    Ok(Json(app.jobs.decide(&asker.caller, id, decision).await?))
}
