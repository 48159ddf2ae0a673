//! The streamed answer of one model call.

use crate::{Error, Result, http::Client, sse};
use futures_util::{Stream, StreamExt};
use protocol::{ModelStreamItem, Problem};
use reqwest::Response;
use sse_stream::Sse;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

/// Ends after `finished` or `failed`. A stream that breaks off before either gives an `Err` last: there is no answer.
pub struct ModelStream {
    inner: Pin<Box<dyn Stream<Item = Result<ModelStreamItem>> + Send>>,
    ended: bool,
    url: String,
}

impl ModelStream {
    pub(crate) fn new(client: &Client, response: Response) -> Self {
        let url = client.base_url().to_owned();
        let parse_url = url.clone();
        let inner = sse::events(client.stream(response), url.clone())
            .filter_map(move |event| std::future::ready(event.and_then(|event| item(&event, &parse_url)).transpose()));
        Self { inner: Box::pin(inner), ended: false, url }
    }
}

impl Stream for ModelStream {
    type Item = Result<ModelStreamItem>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let item = std::task::ready!(self.inner.as_mut().poll_next(context)).unwrap_or_else(|| {
            Err(Error::Interrupted { url: self.url.clone(), detail: "the answer was cut off before its end".into() })
        });
        self.ended = matches!(item, Err(_) | Ok(ModelStreamItem::Finished { .. } | ModelStreamItem::Failed { .. }));
        Poll::Ready(Some(item))
    }
}

impl fmt::Debug for ModelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}

fn item(event: &Sse, url: &str) -> Result<Option<ModelStreamItem>> {
    let Some(data) = &event.data else { return Ok(None) };
    match event.event.as_deref() {
        Some("heartbeat") => Ok(None),
        Some("problem") => match serde_json::from_str::<Problem>(data) {
            Ok(problem) => Err(Error::Problem(Box::new(problem))),
            Err(error) => Err(Error::Protocol { url: url.to_owned(), detail: error.to_string() }),
        },
        _ => serde_json::from_str(data).map(Some).map_err(|error| Error::Protocol {
            url: url.to_owned(),
            detail: format!("a model answer this build cannot read: {error}"),
        }),
    }
}
