use crate::{app::App, auth::ModelReader, extract::Query, problem::Result};
use axum::{Json, extract::State};
use domain::Scope;
use protocol::{List, ListModelCalls, ModelCallPage};
use std::sync::Arc;
use store::ModelCallFilter;

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
    let page = List::ModelCalls.query(query.limit, query.cursor.as_deref())?;
    let filter = ModelCallFilter {
        principal: (!sees_all).then_some(asker.caller.principal),
        job: query.job_id,
        before: page.after,
        limit: page.limit,
    };
    let found = app.router.books().calls().page(&filter).await?;
    let next_cursor = found.last_if_more().map(|last| List::ModelCalls.cursor_after(last.id));
    Ok(Json(ModelCallPage { model_calls: found.rows, next_cursor }))
}
