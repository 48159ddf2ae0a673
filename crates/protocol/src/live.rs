//! The multiplexed WebSocket: one connection, many topics, the same cursors as everywhere.

use crate::{Event, Job, Problem, Reset};
use domain::Cursor;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Opens one WebSocket within 30 s, once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WebSocketTicket {
    pub ticket: String,
    /// In milliseconds from now.
    pub expires_in_ms: u64,
}

/// What a client says. `topic` is `job:<id>` (that job's log) or `jobs` (every job the token may see, as it changes).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Everything after `after`, then what happens. Default: from the start of a job's log; `jobs` starts now.
    Subscribe {
        topic: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    },
    Unsubscribe {
        topic: String,
    },
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    Subscribed {
        topic: String,
        #[schema(value_type = crate::schema::Cursor)]
        head: Cursor,
    },
    Event {
        topic: String,
        #[schema(value_type = crate::EventSchema)]
        event: Event,
    },
    /// Topic `jobs`: this job is now like this.
    Job { topic: String, job: Box<Job> },
    /// The log ended: no more will come on this topic.
    Closed { topic: String },
    /// Nothing happened lately; the log ends here.
    Heartbeat {
        topic: String,
        #[schema(value_type = crate::schema::Cursor)]
        head: Cursor,
    },
    /// The cursor cannot be honoured: no more will come on this topic until it is subscribed again.
    Reset { topic: String, reset: Reset },
    /// With a `topic`: it was not subscribed, or no more will come on it, and why. Without: a message was not understood.
    Error {
        #[serde(skip_serializing_if = "Option::is_none")]
        topic: Option<String>,
        problem: Box<Problem>,
    },
}

/// The SSE data event `heartbeat`: the stream is alive and the log ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StreamHeartbeat {
    #[schema(value_type = crate::schema::Cursor)]
    pub head: Cursor,
}
