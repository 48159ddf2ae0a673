use crate::{app::App, auth::Admin, extract::Query, problem::Result};
use axum::{Json, extract::State};
use protocol::{AuditPage, List, ListAudit};
use std::sync::Arc;
use store::{AuditEntry, AuditFilter};

/// List who did what, newest first
///
/// Every change made through this API stands here. The entries are chained, and `/api/v1/audit/verify` recomputes the chain.
#[utoipa::path(
    get,
    path = "/api/v1/audit",
    operation_id = "list_audit",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(ListAudit),
    responses((status = 200, body = AuditPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(_): Admin,
    Query(query): Query<ListAudit>,
) -> Result<Json<AuditPage>> {
    let page = List::Audit.query(query.limit, query.cursor.as_deref())?;
    let filter = AuditFilter {
        principal: query.principal,
        action: query.action,
        object: query.object,
        before: page.after,
        limit: page.limit,
    };
    let found = app.store.page_of_audit(filter).await?;
    let next_cursor = found.last_if_more().map(|last| List::Audit.cursor_after(last.seq));
    Ok(Json(AuditPage { entries: found.map(entry).rows, next_cursor }))
}

fn entry(entry: AuditEntry) -> protocol::AuditEntry {
    let AuditEntry { seq, row, previous, hash } = entry;
    protocol::AuditEntry {
        seq,
        at: row.at,
        principal: row.principal,
        action: row.action,
        object: row.object,
        request_id: row.request_id,
        previous,
        hash,
    }
}
