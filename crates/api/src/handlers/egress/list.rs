use crate::{app::App, auth::Admin, extract::Query, problem::Result};
use axum::{Json, extract::State};
use protocol::{EgressEntry, EgressPage, List, ListAll};
use std::sync::Arc;
use store::LedgerRow;

/// List what left the machine, oldest first
///
/// Bodies stand here by digest; the entries are chained, and `/api/v1/egress/verify` recomputes the chain.
#[utoipa::path(
    get,
    path = "/api/v1/egress",
    operation_id = "list_egress",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(ListAll),
    responses((status = 200, body = EgressPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(_): Admin,
    Query(query): Query<ListAll>,
) -> Result<Json<EgressPage>> {
    let page = List::Egress.query(query.limit, query.cursor.as_deref())?;
    app.router.books().flush().await;
    let found = app.store.page_of_ledger(page.after.unwrap_or(0), page.limit).await?;
    let next_cursor = found.last_if_more().map(|last| List::Egress.cursor_after(last.seq));
    Ok(Json(EgressPage { entries: found.map(entry).rows, next_cursor }))
}

fn entry(row: LedgerRow) -> EgressEntry {
    EgressEntry {
        seq: row.seq,
        at: row.at,
        call_id: row.call_id,
        principal: row.principal,
        job: row.job,
        provider: row.provider,
        model: row.model,
        body_sha256: row.body_sha256,
        body_bytes: row.body_bytes,
        redactions: row.redactions,
        reason: row.reason,
        prev_hash: row.prev_hash.to_string(),
        hash: row.hash.to_string(),
    }
}
