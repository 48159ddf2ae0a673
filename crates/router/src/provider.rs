//! The seam between routing and whatever runs models.

use crate::Error;
use async_trait::async_trait;
use futures_util::{Stream, StreamExt, stream};
use protocol::{ChatMessage, Egress, FinishReason, Location, Model, ToolCall, ToolSpec};
use serde_json::Value;
use std::pin::Pin;
use tokio_util::sync::CancellationToken;

/// Where models run.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// How routes and people call it: `ollama`, `openai`, `embedded`. Holds no `/`.
    fn name(&self) -> &str;

    /// Where its address lies. A single [`Model`] of a local provider may still be in the cloud, and says so itself.
    fn location(&self) -> Location;

    /// The models that can chat, in the provider's order.
    async fn models(&self) -> Result<Vec<Model>, Error>;

    /// Starts an answer. Both dropping the stream (or this future) and `cancel` stop the work upstream at once.
    ///
    /// Must end with [`Error::EgressRefused`], before any prompt is sent, when `request.egress` is `local_only` and the
    /// model would be run elsewhere.
    async fn chat(&self, request: ChatRequest, cancel: CancellationToken) -> Result<ChatStream, Error>;
}

/// One conversation to go on with.
#[derive(Clone, Debug)]
pub struct ChatRequest {
    /// As the provider names it.
    pub model: String,
    pub messages: Vec<ChatMessage>,
    pub tools: Vec<ToolSpec>,
    /// The answer must be JSON of this schema.
    pub response_schema: Option<Value>,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub seed: Option<u64>,
    pub egress: Egress,
}

/// Ends after [`Chunk::Done`] or an error. An end without either is a cut answer.
pub type ChatStream = Pin<Box<dyn Stream<Item = Result<Chunk, Error>> + Send>>;

#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// More of the answer.
    Text(String),
    /// The model is at work on something that is not passed on: it thinks, or a tool call is not whole yet. Keeps the
    /// clock for the next token from running out.
    Progress,
    /// The answer is whole. Exactly one, last.
    Done {
        /// Empty unless the model stopped of its own accord: a call that a length limit cut is not handed on.
        tool_calls: Vec<ToolCall>,
        finish_reason: FinishReason,
        /// 0 when the provider does not tell: nothing is estimated. A real prompt has at least one token, so 0 is
        /// unmistakable.
        input_tokens: u64,
        /// 0 when the provider does not tell.
        output_tokens: u64,
    },
}

/// An id for a tool call that came without one. Ids must be unique within a job, because decisions of people are bound to
/// them; 64 random bits are.
pub(crate) fn new_call_id() -> String {
    format!("call_{:016x}", rand::random::<u64>())
}

/// A temperature of 0.2 goes out as 0.2, and not as the nearest 32-bit number written with 64 bits.
pub(crate) fn plain_number(number: f32) -> Value {
    number.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// Starts a stream and passes it on, both only until `cancel`.
pub(crate) async fn until_cancelled(
    starting: impl Future<Output = Result<ChatStream, Error>>,
    cancel: CancellationToken,
) -> Result<ChatStream, Error> {
    let stream = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(Error::Cancelled),
        stream = starting => stream?,
    };
    // The inner stream is dropped with the cancellation, which closes its connection.
    let state = Some((stream, cancel));
    Ok(Box::pin(stream::unfold(state, |state| async move {
        let (mut stream, cancel) = state?;
        tokio::select! {
            biased;
            () = cancel.cancelled() => Some((Err(Error::Cancelled), None)),
            chunk = stream.next() => Some((chunk?, Some((stream, cancel)))),
        }
    })))
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use bytes::Bytes;
    use futures_util::FutureExt;

    /// `bytes` as a network might deliver them, in pieces that end at `cuts`.
    pub(crate) fn split(bytes: &[u8], cuts: &[usize]) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).chain([bytes.len()]).collect();
        cuts.sort_unstable();
        let mut start = 0;
        let pieces: Vec<_> = cuts
            .iter()
            .map(|&end| {
                let piece = Bytes::copy_from_slice(&bytes[start..end]);
                start = end;
                Ok(piece)
            })
            .collect();
        stream::iter(pieces)
    }

    /// Everything a decoder makes of a body that is all there.
    pub(crate) fn collect(mut decoded: ChatStream) -> (Vec<Chunk>, Option<Error>) {
        let mut chunks = Vec::new();
        // Decoders hold timers, which want to be polled within a runtime.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        while let Some(chunk) = decoded.next().now_or_never().expect("nothing to wait for") {
            match chunk {
                Ok(chunk) => chunks.push(chunk),
                Err(error) => return (chunks, Some(error)),
            }
        }
        (chunks, None)
    }
}
