//! The API as clients meet it: over TCP, with every kind of token, well-behaved and not.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod audit;
mod authorisation;
mod backups;
mod crowds;
mod events;
mod gateway;
mod guards;
mod keys;
mod leases;
mod limits;
mod lists;
mod model_calls;
mod problems;
mod profiles;
mod provider;
mod raw;
mod schemathesis;
mod shutdown;
mod sse;
mod support;
mod tokens;
mod websocket;
