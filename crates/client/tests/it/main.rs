//! The client against a small server that misbehaves as real ones do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod agent_calls;
mod event_stream;
mod model_stream;
mod server;
mod user_calls;
