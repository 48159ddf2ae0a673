use crate::{
    app::App,
    auth::ModelReader,
    extract::Query,
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use domain::{ModelCallId, Scope};
use protocol::{ListModelCalls, ModelCallPage};
use std::sync::Arc;
use store::ModelCallFilter;

/// Rows of a page when nobody says how many.
const PAGE: u32 = 50;

/// List model calls, newest first
#[utoipa::path(
    get,
    path = "/api/v1/model-calls",
    operation_id = "list_model_calls",
    tag = "models",
    security(("bearer" = ["model", "viewer", "user", "admin"])),
    params(ListModelCalls),
    responses((status = 200, body = ModelCallPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    ModelReader(asker): ModelReader,
    Query(query): Query<ListModelCalls>,
) -> Result<Json<ModelCallPage>> {
    let sees_all = asker.caller.scope.covers(Scope::Viewer) && asker.caller.scope != Scope::User;
    let before = match query.cursor.as_deref() {
        None => None,
        Some(cursor) => Some(
            cursor
                .parse::<ModelCallId>()
                .map_err(|_| Failure::field("/cursor", "A cursor is what `next_cursor` of an earlier page said."))?,
        ),
    };
    let limit = query.limit.unwrap_or(PAGE).clamp(1, store::limits::ROWS_PER_PAGE as u32) as usize;
    let filter =
        ModelCallFilter { principal: (!sees_all).then_some(asker.caller.principal), job: query.job_id, before, limit };
    let page = app.router.books().calls().page(&filter).await?;
    let next_cursor = page.rows.last().filter(|_| page.more).map(|last| last.id.to_string());
    Ok(Json(ModelCallPage { model_calls: page.rows, next_cursor }))
}
