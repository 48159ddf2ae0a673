//! An answer on its way out: its connection is at work until the last of it.

use super::connections::Place;
use axum::{body::Body, response::Response};
use bytes::Bytes;
use http::StatusCode;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

pub struct Outgoing {
    body: Body,
    _at_work: Option<AtWork>,
}

struct AtWork(Arc<Place>);

impl Outgoing {
    pub fn answer(answer: Response, place: Arc<Place>) -> http::Response<Self> {
        // A connection that becomes a WebSocket is at work until it closes.
        let at_work = (answer.status() != StatusCode::SWITCHING_PROTOCOLS).then_some(AtWork(place));
        answer.map(|body| Self { body, _at_work: at_work })
    }
}

impl HttpBody for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.answered();
    }
}
