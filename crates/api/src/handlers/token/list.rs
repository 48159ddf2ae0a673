use crate::{app::App, auth::Admin};
use axum::{Json, extract::State};
use protocol::TokenPage;
use std::sync::Arc;

/// List tokens, without their secrets
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    operation_id = "list_tokens",
    tag = "administration",
    security(("bearer" = ["admin"])),
    responses((status = 200, body = TokenPage)),
)]
pub async fn list(State(app): State<Arc<App>>, Admin(_): Admin) -> Json<TokenPage> {
    Json(TokenPage { tokens: app.tokens.list(), next_cursor: None })
}
