use crate::{
    app::App,
    auth::Reader,
    extract::{Path, Query},
    live::{self, Form},
    problem::Result,
};
use axum::{extract::State, response::Response};
use domain::JobId;
use http::HeaderMap;
use protocol::{EventPage, ListEvents};
use std::sync::Arc;

/// Read a job's log
///
/// As JSON pages, or with `Accept: text/event-stream` as Server-Sent Events: `id` is the cursor, `event` the type, `data` an
/// Event. The stream goes on as things happen and ends after the event `closed`. With nothing to tell for a while it
/// sends the event `heartbeat` (StreamHeartbeat, no id). A cursor that cannot be honoured is answered with the event
/// `reset` (Reset) and the end of the stream. A stream that cannot go on says why with the event `error` (Problem, no id) and
/// ends. `Last-Event-ID` wins over `after`.
///
/// An `agent` token reads the logs of the jobs it has leased.
#[utoipa::path(
    get,
    path = "/api/v1/jobs/{id}/events",
    operation_id = "list_events",
    tag = "jobs",
    security(("bearer" = ["viewer", "user", "admin", "agent"])),
    params(
        ("id" = uuid::Uuid, Path, description = "The job."),
        ("Last-Event-ID" = Option<String>, Header, description = "Streams only: the `id` of the last event that arrived."),
        ListEvents,
    ),
    responses((status = 200, description = "A page, or the stream.", content((EventPage = "application/json"), (String = "text/event-stream")))),
)]
pub async fn events(
    State(app): State<Arc<App>>,
    Reader(asker): Reader,
    Path(id): Path<JobId>,
    Query(query): Query<ListEvents>,
    headers: HeaderMap,
) -> Result<Response> {
    match Form::wanted(&headers)? {
        Form::Page => live::page(&app, &asker, id, &query).await,
        Form::Stream => live::sse(&app, asker, id, &query, &headers).await,
    }
}
