use crate::{app::App, auth::Admin, extract::Query, problem::Result};
use axum::{Json, extract::State};
use protocol::{List, ListAll, TokenPage};
use std::sync::Arc;

/// List tokens, oldest first, without their secrets
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "list_tokens",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(ListAll),
    responses((status = 200, body = TokenPage)),
)]
pub async fn list(
    State(app): State<Arc<App>>,
    Admin(_): Admin,
    Query(query): Query<ListAll>,
) -> Result<Json<TokenPage>> {
    let page = List::Tokens.query(query.limit, query.cursor.as_deref())?;
    let found = app.tokens.page(page.after, page.limit);
    let next_cursor = found.last_if_more().map(|last| List::Tokens.cursor_after(last.id));
    Ok(Json(TokenPage { tokens: found.rows, next_cursor }))
}
