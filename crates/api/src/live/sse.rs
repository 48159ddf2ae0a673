//! A log as Server-Sent Events.

use super::{
    cursor, driven,
    follow::{Follow, Item},
    frame,
};
use crate::{app::App, auth::Identity, problem::Result};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use domain::{JobId, RequestId};
use futures_util::stream;
use http::{HeaderMap, HeaderName, header};
use protocol::ListEvents;
use std::{convert::Infallible, sync::Arc};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Asks proxies of the nginx family not to hold the stream back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

pub async fn sse(
    app: &Arc<App>,
    asker: Identity,
    job: JobId,
    query: &ListEvents,
    headers: &HeaderMap,
) -> Result<Response> {
    // Only a client that comes back sends it, and it has read further than the address it began with says.
    let last = headers.get(LAST_EVENT_ID).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let last = last.as_deref().filter(|id| !id.is_empty());
    let after = last.or(query.after.as_deref()).map(cursor).transpose()?;
    let request = asker.caller.request;
    let follow = Follow::begin(app.clone(), asker, job, after).await?;
    let app = app.clone();
    // The next read begins when the socket took the last one: the client's pace is the reader's pace.
    let frames = stream::unfold(Some(follow), move |follow| {
        let app = app.clone();
        async move {
            let mut follow = follow?;
            let read = driven(&app, async move { (follow.next().await, follow) });
            let (text, goes_on) = match read.await {
                Ok((item, follow)) => {
                    let (text, goes_on) = render(item, request);
                    (text, goes_on.then_some(follow))
                }
                Err(failure) => (frame::sse_error(failure, request), None),
            };
            (!text.is_empty()).then(|| (Ok::<_, Infallible>(Bytes::from(text)), goes_on))
        }
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (X_ACCEL_BUFFERING, "no")];
    Ok((headers, Body::from_stream(frames)).into_response())
}

/// What to send, and whether anything can follow. No text: the stream ends here.
fn render(item: Item, request: RequestId) -> (String, bool) {
    match item {
        Item::Events(stretch) => {
            let bytes: usize = stretch.rows.iter().map(|row| row.payload.as_str().len() + 512).sum();
            let mut text = String::with_capacity(bytes);
            for row in &stretch.rows {
                frame::write_sse_event(&mut text, row, stretch.epoch);
            }
            (text, !stretch.closed)
        }
        Item::Heartbeat(head) => (frame::sse_heartbeat(head), true),
        Item::Reset(reset) => (frame::sse_reset(&reset), false),
        Item::Closed => (String::new(), false),
        Item::Failed(failure) => (frame::sse_error(failure, request), false),
    }
}
