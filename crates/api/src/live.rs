//! Following logs as they grow: JSON pages, Server-Sent Events, and one WebSocket for many jobs.
//!
//! All three are cursor readers. Nothing is broadcast and nothing is buffered for a slow client: it is simply read to
//! later, from where it stands. A stream that ends before its log does says why as the last thing it says.

mod follow;
pub(crate) mod frame;
mod patience;
mod sse;
mod topic;
pub mod websocket;

pub use sse::sse;

use crate::{
    app::App,
    auth::Identity,
    failure::sentence,
    problem::{Failure, Result},
};
use axum::{
    Json,
    response::{IntoResponse, Response},
};
use domain::{Cursor, ErrorCode, JobId};
use http::{HeaderMap, header};
use protocol::{EventPage, ListEvents};
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Events of a page when nothing else is asked for, and at most.
const DEFAULT_LIMIT: u32 = 200;
const MAX_LIMIT: u32 = 1_000;
/// Longest wait of one page: below the idle limits of common proxies.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How the client wants the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Page,
    Stream,
}

impl Form {
    /// The first of the two that `Accept` names; pages when it names neither and allows anything.
    pub fn wanted(headers: &HeaderMap) -> Result<Self> {
        let mut anything = !headers.contains_key(header::ACCEPT);
        for value in headers.get_all(header::ACCEPT) {
            for range in value.to_str().unwrap_or_default().split(',') {
                match range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
                    "text/event-stream" => return Ok(Self::Stream),
                    "application/json" => return Ok(Self::Page),
                    "*/*" | "application/*" => anything = true,
                    _ => {}
                }
            }
        }
        if anything {
            return Ok(Self::Page);
        }
        Err(Failure::new(ErrorCode::NotAcceptable, "A log comes as `application/json` or as `text/event-stream`."))
    }
}

/// Does a stream's reading in a task of its own. A future that is only looked at while its client takes something could hold
/// a turn at the store for as long as the client likes; a task comes to its end by itself. It ends with whoever waits for it.
async fn driven<T: Send + 'static>(app: &App, read: impl Future<Output = T> + Send + 'static) -> Result<T> {
    AbortOnDropHandle::new(app.tasks.spawn(read.in_current_span())).await.map_err(Failure::internal)
}

/// One page, waiting for something to read if asked to.
pub async fn page(app: &App, asker: &Identity, job: JobId, query: &ListEvents) -> Result<Response> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(Failure::field("limit", format!("is {limit}; 1 to {MAX_LIMIT} are allowed.")));
    }
    let wait = Duration::from_millis(query.wait_ms.unwrap_or(0));
    if wait > MAX_WAIT {
        return Err(Failure::field(
            "wait_ms",
            format!("is {}; at most {} are allowed.", wait.as_millis(), MAX_WAIT.as_millis()),
        ));
    }
    let after = query.after.as_deref().map(cursor).transpose()?;
    let mut reader = app.jobs.events(&asker.caller, job, after).await?;
    let page: EventPage = tokio::select! {
        biased;
        page = reader.page(limit, wait) => page?,
        () = app.stopping.cancelled() => reader.page(limit, Duration::ZERO).await?,
        () = asker.token.revoked.cancelled() => {
            return Err(Failure::new(ErrorCode::Unauthorized, "This token was revoked or expired while it waited."));
        }
    };
    Ok(Json(page).into_response())
}

pub(crate) fn cursor(text: &str) -> Result<Cursor> {
    text.parse()
        .map_err(|error: domain::ParseCursorError| Failure::new(ErrorCode::InvalidCursor, sentence(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_follows_the_accept_header() {
        let wanted = |accept: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(header::ACCEPT, http::HeaderValue::from_static(accept));
            }
            Form::wanted(&headers).map_err(|failure| failure.code)
        };
        assert_eq!(wanted(None), Ok(Form::Page));
        assert_eq!(wanted(Some("*/*")), Ok(Form::Page));
        assert_eq!(wanted(Some("text/event-stream")), Ok(Form::Stream));
        assert_eq!(wanted(Some("Text/Event-Stream;q=0.9, application/json")), Ok(Form::Stream));
        assert_eq!(wanted(Some("application/json, text/event-stream")), Ok(Form::Page));
        assert_eq!(wanted(Some("text/html, application/xhtml+xml, */*;q=0.8")), Ok(Form::Page));
        assert_eq!(wanted(Some("image/png")), Err(ErrorCode::NotAcceptable));
    }
}
