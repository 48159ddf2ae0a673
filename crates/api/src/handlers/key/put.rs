use crate::{
    app::App,
    auth::Admin,
    extract::{Path, Payload},
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use domain::TokenId;
use protocol::{KeyAccount, KeyPolicy};
use std::sync::Arc;
use store::{AuditRow, KeyPolicyRow};

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
    let principal = app.tokens.principal_of(id).ok_or_else(|| Failure::not_found(format_args!("token {id}")))?;
    super::check(&policy, "")?;
    let now = app.clock.now();
    let text = serde_json::to_string(&policy).map_err(Failure::internal)?;
    let row = KeyPolicyRow { principal, policy: text, updated_at: now };
    let audit = AuditRow {
        at: now,
        principal: asker.caller.principal,
        action: "key_policy.put".into(),
        object: format!("token:{id}"),
        request_id: asker.caller.request,
    };
    app.store
        .write(move |transaction| -> std::result::Result<(), store::Error> {
            transaction.put_key_policy(&row)?;
            transaction.audit(&audit)
        })
        .await?;
    let accounts = app.router.books().accounts();
    accounts.set_policy(principal, policy);
    Ok(Json(accounts.account(principal).unwrap_or_else(|| KeyAccount::unused(principal))))
}
