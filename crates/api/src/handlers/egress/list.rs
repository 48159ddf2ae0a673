use crate::{app::App, auth::Admin, extract::Query, problem::Result};
use axum::{Json, extract::State};
use protocol::{EgressEntry, EgressPage, ListEgress};
use std::sync::Arc;

/// Rows of a page when nobody says how many.
const PAGE: u32 = 100;

/// List what left the machine, oldest first
///
/// Bodies stand here by digest; the entries are chained, and `/api/v1/egress/verify` recomputes the chain.
#[utoipa::path(
    get,
    path = "/api/v1/egress",
    operation_id = "list_egress",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(ListEgress),
    responses((status = 200, body = EgressPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(_): Admin,
    Query(query): Query<ListEgress>,
) -> Result<Json<EgressPage>> {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, store::limits::ROWS_PER_PAGE as u32) as usize;
    let after = query.after.unwrap_or(0);
    app.router.books().flush().await;
    let page = app.store.page_of_ledger(after, limit).await?;
    let next_after = page.rows.last().filter(|_| page.more).map(|row| row.seq);
    let entries = page.rows.into_iter().map(|row| EgressEntry {
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
    });
    Ok(Json(EgressPage { entries: entries.collect(), next_after }))
}
