use crate::{app::App, auth::Admin, problem::Result};
use axum::{Json, extract::State};
use protocol::AuditVerification;
use std::sync::Arc;

/// Recompute the chain of who did what
#[utoipa::path(
    get,
    path = "/api/v1/audit/verify",
    operation_id = "verify_audit",
    tag = "administration",
    security(("bearer" = ["admin"])),
    responses((status = 200, body = AuditVerification)),
)]
pub async fn verify(State(app): State<Arc<App>>, Admin(_): Admin) -> Result<Json<AuditVerification>> {
    let report = store::verify_audit(&*app.store).await?;
    Ok(Json(AuditVerification {
        intact: report.broken.is_none(),
        entries: report.entries,
        removed_through: report.removed_through,
        head_seq: report.head.0,
        head_hash: report.head.1,
        broken_at: report.broken.as_ref().map(|broken| broken.seq),
        why: report.broken.map(|broken| broken.why.to_owned()),
    }))
}
