use crate::{app::App, auth::Admin, extract::Path, problem::Result};
use axum::extract::State;
use domain::TokenId;
use http::StatusCode;
use std::sync::Arc;

/// Revoke a token
///
/// It is refused from now on, and what it has open ends. The last admin token that does not expire cannot be revoked.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    operation_id = "delete_token",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(("id" = uuid::Uuid, Path, description = "The token's id, not its secret.")),
    responses((status = 204, description = "It is revoked.")),
)]
pub async fn delete(State(app): State<Arc<App>>, Admin(asker): Admin, Path(id): Path<TokenId>) -> Result<StatusCode> {
    app.tokens.delete(&asker.caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
