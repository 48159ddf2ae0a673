//! The typed HTTP client of devmesh: what the CLI, the agents and the tests speak to a backend with.
//!
//! - [`Client`] has one method per call of the API. `user` holds what people do, `agent` what workers do under a lease.
//! - [`EventStream`] is a job's log as it grows: it reconnects by itself and gives every event once, in order.
//! - [`Error`] is split by what the caller can do: try again, fix the request, or give up.
//!
//! Calls of people are made once: they want to hear at once that nothing answers. Calls of agents are repeated with backoff,
//! because each of them is safe to repeat under its attempt number. [`Retry`] has the numbers.

mod agent;
mod bytes_stream;
mod error;
mod events;
mod http;
mod model_stream;
mod pull;
mod retry;
mod sse;
mod user;

pub use agent::Upload;
pub use bytes_stream::{ByteStream, CopyError};
pub use error::Error;
pub use events::{Connection, EventStream};
pub use http::{Client, Options};
pub use model_stream::ModelStream;
pub use pull::PullStep;
pub use retry::Retry;

pub type Result<T, E = Error> = std::result::Result<T, E>;
