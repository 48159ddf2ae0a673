//! Between HTTP and the router's gateway: bytes in with who asks, bytes out as they come.
//!
//! Nothing here is carried through when the client leaves: a model call is worth nothing to anybody else, so it ends with
//! its connection.

use crate::{
    app::App,
    auth::Identity,
    extract::Raw,
    problem::{Failure, Result},
};
use axum::{body::Body, response::Response};
use domain::{ModelCallId, RequestId, Scope};
use http::{HeaderMap, Request};
use protocol::Egress;
use router::{
    Caller,
    dialect::Dialect,
    gateway::{self, Inbound},
};
use std::sync::Arc;

/// A call of a model as a handler gets it.
pub struct Asked {
    pub identity: Identity,
    pub request_id: RequestId,
    pub headers: HeaderMap,
    pub body: bytes::Bytes,
}

impl Asked {
    pub fn new(identity: Identity, raw: Raw) -> Self {
        let Raw { request_id, headers, body } = raw;
        Self { identity, request_id, headers, body }
    }

    pub fn inbound(self, app: &App, dialect: Dialect) -> Inbound {
        let (caller, egress) = caller(app, &self.identity);
        Inbound {
            // One id for a request and the model call it is, so that either leads to the other.
            id: ModelCallId(self.request_id.0),
            dialect,
            egress,
            caller,
            body: self.body,
            headers: self.headers,
        }
    }
}

/// Who asks a model, and what their prompts may do. A key for models says that in its policy, and stays here when that says
/// nothing; people of this mesh go where the routes lead.
pub fn caller(app: &App, identity: &Identity) -> (Caller, Egress) {
    let of_scope = if identity.caller.scope == Scope::Model { Egress::LocalOnly } else { Egress::Allowed };
    let (caller, egress) = app.router.books().caller(identity.caller.principal, of_scope);
    (Caller { revoked: identity.token.revoked.clone(), ..caller }, egress)
}

/// The router's answer on its way out. What becomes of it when the token is revoked is the router's to say, in words that the
/// caller's client understands.
pub fn respond(response: http::Response<gateway::Body>) -> Response {
    response.map(|body| match body {
        gateway::Body::Whole(bytes) => Body::from(bytes),
        gateway::Body::Stream(stream) => Body::from_stream(stream),
    })
}

/// One request of a dialect, answered.
pub async fn answer(app: &Arc<App>, identity: Identity, dialect: Dialect, raw: Raw) -> Response {
    respond(app.router.answer(Asked::new(identity, raw).inbound(app, dialect)).await)
}

pub fn request_id<B>(request: &Request<B>) -> Result<RequestId> {
    request.extensions().get::<RequestId>().copied().ok_or_else(|| Failure::internal("a request has no id"))
}
