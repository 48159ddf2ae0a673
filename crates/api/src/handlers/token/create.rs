use crate::{
    app::App,
    auth::{Admin, Seal},
    extract::Payload,
    handlers::key,
    idempotency::IdempotencyKey,
    problem::Result,
};
use axum::{Json, extract::State};
use http::StatusCode;
use protocol::{CreateToken, CreatedToken};
use std::sync::Arc;

/// Make a token
///
/// The answer is the only place its secret is ever shown.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    operation_id = "create_token",
    tag = "administration",
    security(("bearer" = ["admin"])),
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,128}$", description = "1 to 128 visible ASCII characters, fresh for every new request.")),
    request_body = CreateToken,
    responses((status = 201, body = CreatedToken)),
)]
pub async fn create(
    State(app): State<Arc<App>>,
    Admin(asker): Admin,
    seal: Seal,
    IdempotencyKey(key): IdempotencyKey,
    Payload(request): Payload<CreateToken>,
) -> Result<(StatusCode, Json<CreatedToken>)> {
    if let Some(policy) = &request.policy {
        key::check(policy, app.clock.now(), "/policy")?;
    }
    let (key, accounts) = (key.map(|key| key.to_string()), app.router.books().accounts());
    Ok((StatusCode::CREATED, Json(app.tokens.create(&asker.caller, request, accounts, key, seal).await?)))
}
