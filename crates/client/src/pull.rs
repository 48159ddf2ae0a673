//! A model on its way into the backend's Ollama.

use crate::{Error, Result, bytes_stream, http::Client};
use futures_util::{Stream, stream};
use reqwest::Method;
use serde::Deserialize;
use std::{io, time::Duration};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

/// Longest silence of a fetch: checking what came of a large model says nothing for minutes.
const SILENCE: Duration = Duration::from_secs(600);

/// What is being done now, in Ollama's own words, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PullStep {
    #[serde(default)]
    pub status: String,
    /// Of the file that is being fetched.
    pub digest: Option<String>,
    /// Bytes of that file.
    pub total: Option<u64>,
    pub completed: Option<u64>,
    error: Option<String>,
}

impl Client {
    /// Has the backend's Ollama fetch `model`. The steps end with an `Err`, or after the status `success`: anything else is a
    /// fetch that broke off.
    pub async fn pull_model(&self, model: &str) -> Result<impl Stream<Item = Result<PullStep>> + Send + Unpin + use<>> {
        let body = serde_json::json!({"model": model, "stream": true});
        let request = self.request(Method::POST, self.url(&["ollama", "api", "pull"])).json(&body);
        let response = self.send(request, self.options.answer_timeout).await?;
        let url = self.base_url().to_owned();
        let bytes = bytes_stream::watched(response, url.clone(), SILENCE);
        let lines =
            BufReader::new(StreamReader::new(futures_util::TryStreamExt::map_err(bytes, io::Error::other))).lines();
        Ok(Box::pin(stream::try_unfold((lines, url, false), |(mut lines, url, done)| async move {
            let interrupted = |detail: String| Error::Interrupted { url: url.clone(), detail };
            let Some(line) = lines.next_line().await.map_err(|error| interrupted(error.to_string()))? else {
                return if done {
                    Ok(None)
                } else {
                    Err(interrupted("the fetch broke off; it can be repeated".into()))
                };
            };
            let step: PullStep = serde_json::from_str(&line).map_err(|error| Error::Protocol {
                url: url.clone(),
                detail: format!("{error} in the progress of a fetch"),
            })?;
            match step.error {
                Some(message) => Err(Error::Refused { status: 200, message }),
                None => {
                    let done = done || step.status == "success";
                    Ok(Some((step, (lines, url, done))))
                }
            }
        })))
    }
}
