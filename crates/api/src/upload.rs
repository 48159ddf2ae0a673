//! Bodies that are passed on as they arrive, never held.

use crate::{extract, problem::Failure};
use axum::body::Body;
use bytes::Bytes;
use domain::ErrorCode;
use futures_util::{Stream, StreamExt, stream};
use std::{io, time::Duration};

/// The body's bytes, with an error when it pauses longer than `pause` or grows beyond `limit` bytes.
pub fn steady(body: Body, pause: Duration, limit: u64) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold((body.into_data_stream(), 0u64), move |(mut chunks, read)| async move {
        let chunk = match tokio::time::timeout(pause, chunks.next()).await {
            Ok(Some(chunk)) => chunk.map_err(io::Error::other),
            Ok(None) => return None,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        let read = read + chunk.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let chunk = if read > limit { Err(io::Error::from(io::ErrorKind::FileTooLarge)) } else { chunk };
        Some((chunk, (chunks, read)))
    })
}

/// What an upload failed of, told apart by the errors [`steady`] makes.
pub fn failure(error: jobs::Error, pause: Duration, limit: u64) -> Failure {
    match error {
        jobs::Error::Store(store::Error::BlobInput(cause)) if cause.kind() == io::ErrorKind::FileTooLarge => {
            extract::too_large(limit)
        }
        jobs::Error::Store(store::Error::BlobInput(cause)) if cause.kind() == io::ErrorKind::TimedOut => {
            let detail = format!("Nothing of the content arrived for {} s. Send it again.", pause.as_secs_f32());
            Failure::new(ErrorCode::RequestTimeout, detail)
        }
        other => other.into(),
    }
}
