//! The HTTP edge: everything that talks to devmesh over its one port.
//!
//! ```text
//!  serve ─▶ envelope (id, log line, headers, panics) ─▶ guard (Host, Origin, headers) ─▶ CORS ─▶ token ─▶ handler
//! ```
//! | to learn about | read |
//! |---|---|
//! | which routes there are, and how each is let in | `routes`, then `handlers/<noun>/<verb>.rs` |
//! | tokens, scopes and tickets | `auth` |
//! | what a body and a query may be | `json`, `query`, `extract` |
//! | what every refusal looks like | `problem`, `failure`, `docs/errors/` |
//! | connections and their limits | `server`, `app::Limits` |
//! | a file as an answer, or a part of it | `download` |
//! | streams: pages, Server-Sent Events, WebSocket | `live` |
//! | a model's answer on its way to an agent and into the log | `model_call` |
//! | clients of OpenAI, Anthropic and Ollama | `gateway`, `vendor` |
//! | what exams found out about models | `profiles` |
//! | backups | `backup` |
//!
//! Handlers decide nothing about jobs: they extract, authorise, call and map. Nothing in here waits for the database to
//! authenticate a request.

mod app;
mod audit;
mod auth;
mod backup;
mod carry_through;
mod download;
mod envelope;
mod error_pages;
mod extract;
mod failure;
mod gateway;
mod guard;
mod handlers;
mod idempotency;
mod json;
mod live;
mod model_call;
mod openapi;
mod problem;
mod profiles;
mod query;
mod rate;
mod routes;
mod server;
mod unpack;
mod upload;
mod vendor;

pub use app::{App, Limits, Options, Parts, Rates};
pub use auth::{
    ADMIN_TOKEN_FILE, AdminTokenError, EarlierTokens, ResetToken, Secret, ensure_admin_token, reset_admin_token,
};
pub use backup::{RestoreError, Restored, restore};
pub use guard::Allowed;
pub use openapi::{openapi, openapi_json};
pub use rate::Rate;
pub use server::serve;
