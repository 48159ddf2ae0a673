use crate::{app::App, auth::Viewer, extract::Query, problem::Result};
use axum::{Json, extract::State};
use protocol::{ApprovalPage, ListApprovals};
use std::sync::Arc;

/// List tool calls a person was asked about, newest first
#[utoipa::path(
    get,
    path = "/api/v1/approvals",
    operation_id = "list_approvals",
    tag = "approvals",
    security(("bearer" = ["viewer", "user", "admin"])),
    params(ListApprovals),
    responses((status = 200, body = ApprovalPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Viewer(asker): Viewer,
    Query(query): Query<ListApprovals>,
) -> Result<Json<ApprovalPage>> {
    Ok(Json(app.jobs.approvals(&asker.caller, query).await?))
}
