use crate::{
    app::App,
    auth::Admin,
    extract::Path,
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use domain::TokenId;
use protocol::KeyAccount;
use std::sync::Arc;

/// Show what a token may do with models, and what it used
#[utoipa::path(
    get,
    path = "/api/v1/tokens/{id}/policy",
    operation_id = "get_key_policy",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(("id" = uuid::Uuid, Path, description = "The token.")),
    responses((status = 200, body = KeyAccount)),
)]
pub async fn get(State(app): State<Arc<App>>, Admin(_): Admin, Path(id): Path<TokenId>) -> Result<Json<KeyAccount>> {
    let principal = app.tokens.principal_of(id).ok_or_else(|| Failure::not_found(format_args!("token {id}")))?;
    Ok(Json(app.router.books().accounts().account(principal).unwrap_or_else(|| KeyAccount::unused(principal))))
}
