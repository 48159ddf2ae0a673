//! From a request in any vendor's words to an answer in the same, local first and never cut.
//!
//! ```text
//!   bytes ─▶ dialect ─▶ Asked ─▶ Run: plan ─▶ try ─▶ hold ─▶ commit ─▶ frames ─▶ dialect ─▶ bytes
//!                                      │        │                        ▲
//!                                routes, books  └─▶ Provider ─▶ frames ──┘   bytes of the same dialect pass untouched
//! ```
//! | to learn about | read |
//! |---|---|
//! | one call through the targets, and what happens when one breaks off | [`run`] |
//! | which targets a name leads to, and why | [`plan`], [`route`] |
//! | what callers may speak, and what providers have to do | [`dialect`], [`providers`], [`endpoint`] |
//! | a vendor's requests and answers, on both sides | `wire/`, a module each |
//! | foreign clients: heads, bodies, embeddings, listings | [`gateway`] |
//! | spans for a collector | [`telemetry`] |
//! | keys, budgets, prices, the record of a call | [`accounts`], [`books`] |
//! | what leaves the machine | [`egress`], [`departure`], [`redaction`] |
//! | busy, broken and good enough | [`admission`], [`breaker`], [`targets`], [`quality`] |
//!
//! What never happens: a request that may not leave the machine opening a socket to a cloud provider; a cut answer passed
//! off as a whole one; a second model going on other than where the first one stopped; a key in a log line or an error; a
//! database on the way of a call.

pub mod ability;
pub mod accounts;
mod admission;
pub mod answer;
mod balance;
mod books;
mod breaker;
mod call;
mod catalogue;
pub mod conversation;
mod departure;
pub mod dialect;
pub mod egress;
mod endpoint;
mod error;
mod explain;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod gateway;
mod http;
mod json_object;
mod kept;
mod lost;
mod metrics;
mod plan;
pub mod profiles;
pub mod providers;
pub mod quality;
pub mod redaction;
mod response_cache;
mod route;
mod router;
mod run;
mod seals;
mod secret;
mod splice;
mod sse;
mod targets;
pub mod telemetry;
#[cfg(test)]
mod testing;
mod wire;

pub use answer::{Event, Frame};
pub use books::Books;
pub use call::{Call, Caller, OwnRequest};
pub use conversation::Conversation;
pub use error::{Awaited, Error, LimitKind, Said};
pub use http::CONNECT_TIMEOUT;
pub use lost::Field;
pub use plan::Placement;
pub use providers::Provider;
pub use route::{Balance, DEFAULT_ROUTE, Drift, Policy, RouteConfig, Target};
pub use router::{Configuration, Limits, Mounted, Options, Router, Timeouts};
pub use secret::Secret;
