use crate::{
    app::App,
    auth::{TICKET_LIFETIME, Viewer},
    problem::{Failure, Result},
};
use axum::{Json, extract::State};
use domain::ErrorCode;
use http::StatusCode;
use protocol::WebSocketTicket;
use std::sync::Arc;

/// Get a ticket that opens one WebSocket
///
/// Good once, within 30 seconds, for what this token may see.
#[utoipa::path(
    post,
    path = "/api/v1/websocket-tickets",
    operation_id = "create_websocket_ticket",
    tag = "live",
    security(("bearer" = ["viewer", "user", "admin"])),
    responses((status = 201, body = WebSocketTicket)),
)]
pub async fn ticket(State(app): State<Arc<App>>, Viewer(asker): Viewer) -> Result<(StatusCode, Json<WebSocketTicket>)> {
    let ticket = app.tickets.issue(asker.token).ok_or_else(|| {
        Failure::new(ErrorCode::Unavailable, "Too many tickets are outstanding. Use the ones you have, or wait 30 s.")
            .retry_after(TICKET_LIFETIME)
    })?;
    let expires_in_ms = TICKET_LIFETIME.as_millis() as u64;
    Ok((StatusCode::CREATED, Json(WebSocketTicket { ticket, expires_in_ms })))
}
