use crate::{app::App, auth::Admin, problem::Result};
use axum::{Json, extract::State};
use protocol::EgressVerification;
use router::accounts;
use std::sync::Arc;

/// Recompute the chain of what left the machine
#[utoipa::path(
    get,
    path = "/api/v1/egress/verify",
    operation_id = "verify_egress",
    tag = "administration",
    security(("bearer" = ["admin"])),
    responses((status = 200, body = EgressVerification)),
)]
pub async fn verify(State(app): State<Arc<App>>, Admin(_): Admin) -> Result<Json<EgressVerification>> {
    app.router.books().flush().await;
    Ok(Json(match accounts::verify_store(&app.store).await? {
        Ok(entries) => EgressVerification { intact: true, entries, broken_at: None, why: None },
        Err(broken) => EgressVerification {
            intact: false,
            entries: broken.seq.saturating_sub(1),
            broken_at: Some(broken.seq),
            why: Some(broken.why.to_owned()),
        },
    }))
}
