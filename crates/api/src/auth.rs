//! Who asks: every request but the health checks carries a token, also on loopback.
//!
//! `Authorization: Bearer dm_<scope>_<secret>` is looked up by its SHA-256 in memory, so no request waits for the database
//! to be let in. A handler names the scope it needs by the extractor it takes: [`Viewer`], [`User`], [`Admin`], [`Agent`],
//! [`Reader`] or [`Anyone`].

mod recovery;
mod secret;
mod tickets;
mod tokens;

pub use recovery::{EarlierTokens, ResetToken, reset_admin_token};
pub use secret::{Seal, Secret};
pub use tickets::{LIFETIME as TICKET_LIFETIME, Tickets};
pub use tokens::{ADMIN_TOKEN_FILE, AdminTokenError, Entry, Tokens, ensure_admin_token};

use crate::{
    app::App,
    problem::{Challenge, Failure, Result},
    server::Peer,
};
use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use domain::{ErrorCode, RequestId, Scope};
use http::{Extensions, HeaderMap, header, request::Parts};
use jobs::Caller;
use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// Which schemes of the `Authorization` header are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    Bearer,
    /// The token as a Basic password too, so that a browser can ask for it and open the documentation. Only on pages that
    /// change nothing: a browser repeats Basic credentials by itself, also for other sites' requests.
    BearerOrBasic,
    /// The token as `x-api-key` too, which is where Anthropic's clients put it. Only for calls of models.
    BearerOrApiKey,
}

impl Schemes {
    /// Model calls are counted by the key's own policy and the queues of the providers.
    fn are_limited(self) -> bool {
        self != Self::BearerOrApiKey
    }
}

pub async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    admitted(&app, request, next, Schemes::Bearer).await
}

pub async fn authenticate_reader(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    admitted(&app, request, next, Schemes::BearerOrBasic).await
}

async fn admitted(app: &App, mut request: Request, next: Next, schemes: Schemes) -> Response {
    match admit(app, &mut request, schemes) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    }
}

/// Tells the request's handler who asks.
///
/// # Errors
/// When that is nobody known here, or asks too often.
pub fn admit(app: &App, request: &mut Request, schemes: Schemes) -> Result<()> {
    let identity = identify(app, request.headers(), request.extensions(), schemes)?;
    request.extensions_mut().insert(identity);
    Ok(())
}

fn identify(app: &App, headers: &HeaderMap, extensions: &Extensions, schemes: Schemes) -> Result<Identity> {
    let found = match presented(headers, schemes) {
        Ok(secret) => known(app, &secret),
        Err(why) => Err(why.to_owned()),
    };
    let entry = match found {
        Ok(entry) => entry,
        Err(why) => {
            app.failed_authentications.record(address(extensions))?;
            return Err(unauthorized(&why, schemes));
        }
    };
    if let Some(peer) = extensions.get::<Peer>() {
        peer.place.showed(&entry)?;
    }
    let limited = if schemes.are_limited() { entry.limiter.check() } else { Ok(()) };
    limited.map_err(|wait| {
        Failure::new(
            ErrorCode::RateLimited,
            "This token asks more often than it may. Wait as long as Retry-After says.",
        )
        .retry_after(wait)
    })?;
    let request = request_id(extensions)?;
    Ok(Identity { caller: Caller { principal: entry.principal, scope: entry.scope, request }, token: entry })
}

fn known(app: &App, secret: &str) -> Result<Arc<Entry>, String> {
    let entry = app.tokens.find(secret).ok_or(
        "This token is not known here: it was revoked, or belongs to another server. \
         Who has the data folder can make a new one with `devmesh token reset`.",
    )?;
    match entry.expired_at(&*app.clock) {
        None => Ok(entry),
        Some(at) => Err(format!("This token expired at {at}. An admin can give it more time, or make another one.")),
    }
}

pub fn unauthorized_ticket(app: &App, extensions: &Extensions) -> Failure {
    match app.failed_authentications.record(address(extensions)) {
        Ok(()) => unauthorized(
            "This ticket was used, has run out, or was never given out. Ask for a new one.",
            Schemes::Bearer,
        ),
        Err(limited) => limited,
    }
}

fn unauthorized(why: &str, schemes: Schemes) -> Failure {
    let challenge = match schemes {
        Schemes::Bearer | Schemes::BearerOrApiKey => Challenge::Bearer,
        Schemes::BearerOrBasic => Challenge::Basic,
    };
    let mut failure = Failure::new(ErrorCode::Unauthorized, why);
    failure.challenge = Some(challenge);
    failure
}

/// The secret in the `Authorization` header, or what is wrong with the header.
fn presented(headers: &HeaderMap, schemes: Schemes) -> Result<Cow<'_, str>, &'static str> {
    const HOW: &str =
        "Send a token as `Authorization: Bearer dm_…`. The first one lies in `admin-token` in the data folder.";
    if schemes == Schemes::BearerOrApiKey
        && !headers.contains_key(header::AUTHORIZATION)
        && let Some(key) = headers.get("x-api-key")
    {
        return key.to_str().map(|key| key.trim().into()).map_err(|_| HOW);
    }
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next().ok_or(HOW)?.to_str().map_err(|_| HOW)?;
    if given.next().is_some() {
        return Err("Send one Authorization header, not several.");
    }
    let (scheme, credentials) = value.split_once(' ').ok_or(HOW)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Ok(credentials.trim().into());
    }
    if schemes == Schemes::BearerOrBasic && scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64_STANDARD.decode(credentials.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        return decoded.and_then(|text| Some(text.split_once(':')?.1.to_owned().into())).ok_or(HOW);
    }
    Err(HOW)
}

fn address(extensions: &Extensions) -> IpAddr {
    extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address.ip())
}

fn request_id(extensions: &Extensions) -> Result<RequestId> {
    extensions.get::<RequestId>().copied().ok_or_else(|| Failure::internal("a request has no id"))
}

/// Of the token this request came with.
impl<S: Sync> FromRequestParts<S> for Seal {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let bearer = presented(&parts.headers, Schemes::Bearer).map_err(|why| unauthorized(why, Schemes::Bearer))?;
        Ok(Self::of(&bearer))
    }
}

/// An authenticated request.
#[derive(Clone, Debug)]
pub struct Identity {
    pub caller: Caller,
    /// Streams watch its `revoked`.
    pub token: Arc<Entry>,
}

fn allowed(parts: &Parts, covers: impl Fn(Scope) -> bool, needed: &str) -> Result<Identity> {
    // A route outside the authenticated routers has no identity: it is refused, never served.
    let identity = parts
        .extensions
        .get::<Identity>()
        .cloned()
        .ok_or_else(|| unauthorized("This needs a token.", Schemes::Bearer))?;
    let has = identity.caller.scope;
    if covers(has) {
        return Ok(identity);
    }
    Err(Failure::new(
        ErrorCode::Forbidden,
        format!("This needs a token of scope {needed}; the one used has scope `{has}`."),
    ))
}

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident($covers:expr, $needed:literal)),+ $(,)?) => {$(
        $(#[$doc])*
        pub struct $name(pub Identity);

        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = Failure;
            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
                allowed(parts, $covers, $needed).map(Self)
            }
        }
    )+};
}

scopes! {
    /// Reads: `viewer`, `user` or `admin`.
    Viewer(|scope| scope.covers(Scope::Viewer), "`viewer`, `user` or `admin`"),
    /// Commands on jobs: `user` or `admin`.
    User(|scope| scope.covers(Scope::User), "`user` or `admin`"),
    /// Calls of models: `model`, `user` or `admin`.
    ModelCaller(|scope| scope.covers(Scope::Model), "`model`, `user` or `admin`"),
    /// Reads what models there are.
    ModelReader(|scope| scope.covers(Scope::Viewer) || scope == Scope::Model, "`model`, `viewer`, `user` or `admin`"),
    /// Tokens and backups.
    Admin(|scope| scope.covers(Scope::Admin), "`admin`"),
    /// Work on leased jobs.
    Agent(|scope| scope.covers(Scope::Agent), "`agent`"),
    /// Reads what an agent needs to go on with a job it leased; `jobs` narrows agents to those.
    Reader(|scope| scope.covers(Scope::Viewer) || scope.covers(Scope::Agent), "`viewer`, `user`, `admin` or `agent`"),
}

/// Any valid token.
pub struct Anyone;

impl<S: Sync> FromRequestParts<S> for Anyone {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        allowed(parts, |_| true, "any kind").map(|_| Self)
    }
}
