use crate::{
    app::App,
    auth,
    extract::Query,
    live::websocket,
    problem::{Failure, Result},
    server::Peer,
};
use axum::{
    extract::{Extension, State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    response::Response,
};
use domain::{ErrorCode, RequestId};
use http::Extensions;
use std::sync::Arc;

#[derive(serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Open {
    /// From `POST /api/v1/websocket-tickets`. Used up by this request, whatever comes of it.
    pub ticket: Option<String>,
}

/// Follow many jobs over one WebSocket
///
/// The client sends ClientMessage, the server ServerMessage, as text. Up to 64 topics.
#[utoipa::path(
    get,
    path = "/api/v1/ws",
    operation_id = "open_websocket",
    tag = "live",
    params(Open),
    responses((status = 101, description = "The WebSocket is open.")),
)]
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(request): Extension<RequestId>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<Open>,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    let token = query.ticket.as_deref().and_then(|ticket| app.tickets.redeem(ticket));
    let token = token.ok_or_else(|| auth::unauthorized_ticket(&app, &extensions))?;
    peer.place.showed(&token)?;
    let upgrade =
        upgrade.map_err(|rejection| Failure::new(ErrorCode::InvalidRequest, format!("{}.", rejection.body_text())))?;
    Ok(websocket::accept(app, token, request, peer, upgrade))
}
