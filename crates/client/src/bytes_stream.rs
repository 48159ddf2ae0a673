//! A response body that never hangs for ever.

use crate::{Error, Result, http::chain};
use bytes::Bytes;
use futures_util::{Stream, stream};
use reqwest::Response;
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Bytes as they arrive. An `Err` is the last item: what came before is not the whole.
pub struct ByteStream {
    inner: Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>,
    length: Option<u64>,
}

impl ByteStream {
    /// How many bytes will come in all, when the backend says so.
    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// Writes all of it, telling `progress` the count so far. Returns how many bytes it was.
    pub async fn copy_to(
        mut self,
        target: &mut (impl AsyncWrite + Unpin),
        mut progress: impl FnMut(u64),
    ) -> Result<u64, CopyError> {
        use futures_util::StreamExt;
        let mut written = 0;
        while let Some(chunk) = self.next().await {
            let chunk = chunk.map_err(CopyError::Source)?;
            target.write_all(&chunk).await.map_err(CopyError::Target)?;
            written += chunk.len() as u64;
            progress(written);
        }
        target.flush().await.map_err(CopyError::Target)?;
        Ok(written)
    }
}

/// Which end of a copy failed.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error(transparent)]
    Source(Error),
    #[error("cannot write: {0}")]
    Target(std::io::Error),
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

impl fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByteStream").field("length", &self.length).finish_non_exhaustive()
    }
}

pub(crate) fn watched(response: Response, url: String, silence: Duration) -> ByteStream {
    let length = response.content_length();
    let inner = stream::try_unfold(Some((response, url)), move |state| async move {
        let Some((mut response, url)) = state else { return Ok(None) };
        match tokio::time::timeout(silence, response.chunk()).await {
            Ok(Ok(Some(chunk))) => Ok(Some((chunk, Some((response, url))))),
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => Err(Error::Interrupted { url, detail: chain(&error) }),
            Err(_) => Err(Error::Interrupted { url, detail: format!("not a byte for {} s", silence.as_secs()) }),
        }
    });
    ByteStream { inner: Box::pin(inner), length }
}
