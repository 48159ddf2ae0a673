use crate::{
    app::App,
    auth::Admin,
    extract::{Path, Payload},
    problem::Result,
};
use axum::{Json, extract::State};
use domain::TokenId;
use protocol::{KeyAccount, KeyPolicy};
use std::sync::Arc;

/// Say what a token may do with models
///
/// Replaces the whole policy, from the next call on. What the token used stays counted.
#[utoipa::path(
    put,
    path = "/api/v1/tokens/{id}/policy",
    operation_id = "put_key_policy",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(("id" = uuid::Uuid, Path, description = "The token.")),
    request_body = KeyPolicy,
    responses((status = 200, body = KeyAccount)),
)]
pub async fn put(
    State(app): State<Arc<App>>,
    Admin(asker): Admin,
    Path(id): Path<TokenId>,
    Payload(policy): Payload<KeyPolicy>,
) -> Result<Json<KeyAccount>> {
    super::check(&policy, app.clock.now(), "")?;
    let accounts = app.router.books().accounts();
    let principal = app.tokens.put_policy(&asker.caller, id, policy, accounts).await?;
    Ok(Json(accounts.account(principal).unwrap_or_else(|| KeyAccount::unused(principal))))
}
