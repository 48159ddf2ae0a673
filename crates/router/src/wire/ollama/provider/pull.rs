//! The progress of `/api/pull`: one JSON object per line, the last one with the status `success`.

use crate::wire::lines::Lines;
use crate::{
    Error,
    endpoint::Endpoint,
    http::failure::{in_band, short},
    providers::{ByteStream, PullStep, PullStream},
};
use futures_util::stream;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

#[derive(Deserialize)]
struct Line {
    error: Option<Value>,
    #[serde(default)]
    status: String,
    completed: Option<u64>,
    total: Option<u64>,
}

pub(crate) fn decode(endpoint: Arc<Endpoint>, model: &str, body: ByteStream) -> PullStream {
    let state = Some((endpoint, model.to_owned(), Lines::new(body)));
    Box::pin(stream::unfold(state, |state| async move {
        let (endpoint, model, mut lines) = state?;
        match step(&endpoint, &model, &mut lines).await {
            Ok(step) => {
                let more = (step.status != "success").then_some((endpoint, model, lines));
                Some((Ok(step), more))
            }
            Err(error) => Some((Err(endpoint.scrubbed(error)), None)),
        }
    }))
}

async fn step(endpoint: &Endpoint, model: &str, lines: &mut Lines) -> Result<PullStep, Error> {
    loop {
        let line = lines.next(&endpoint.provider).await.unwrap_or_else(|| {
            let message = "the connection closed before the download was whole".to_owned();
            Err(Error::Cut { provider: endpoint.provider.clone(), message })
        })?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_slice(&line).map_err(|error| {
            endpoint.malformed(&format!("{error} in the line {}", short(&String::from_utf8_lossy(&line))))
        })?;
        if let Some(error) = line.error {
            return Err(in_band(&endpoint.provider, model, &error));
        }
        return Ok(PullStep { status: line.status, completed_bytes: line.completed, total_bytes: line.total });
    }
}
