//! Commands over HTTP are seen through, also when the client goes away in the middle: the server drops a handler together with
//! its connection. Long-polls are not: nobody should be given work that has gone away while waiting for it.

use crate::{app::App, problem::Failure, server::Peer};
use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

pub async fn carry_through(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    // The place among the connections is held as long as the command runs, which bounds how many there are.
    let peer = request.extensions().get::<Peer>().cloned();
    let command = async move {
        let response = next.run(request).await;
        drop(peer);
        response
    };
    // The envelope answers panics.
    let answered = jobs::carry_through(&app.tasks, command).await;
    answered.unwrap_or_else(|| Failure::internal("the runtime ended first").into_response())
}
