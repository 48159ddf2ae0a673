//! The answer of `/chat/completions`: server-sent events, each with one JSON object.
//!
//! ```text
//!   deltas … ──finish_reason──▶ answered ──usage, [DONE], end or a short wait──▶ Done
//!      └──── end, [DONE] ─────▶ Cut
//! ```

use super::tool_calls::{Calls, Piece};
use crate::{
    ChatStream, Chunk, Error, Secret,
    http::{
        failure::{in_band, short},
        frame::{ANSWER_BYTES, bounded_events},
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use protocol::FinishReason;
use serde::Deserialize;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// Once the model has finished, how long to wait for the token counts and the end of the stream. The answer is whole
/// already; a server that keeps the connection open must not hold it back.
const TRAILER_WAIT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Frame {
    error: Option<Value>,
    /// Empty in the frame that carries the usage.
    choices: Option<Vec<Choice>>,
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Delta {
    content: Option<String>,
    /// What a model says in place of an answer it will not give: text to whoever reads it.
    refusal: Option<String>,
    tool_calls: Option<Vec<Piece>>,
    reasoning: Option<Value>,
    reasoning_content: Option<Value>,
}

#[derive(Deserialize, Clone, Copy)]
struct Usage {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
}

pub(super) fn decode(
    provider: &str,
    model: &str,
    body: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
    silent_on_usage: Arc<AtomicBool>,
    secret: Option<Secret>,
) -> ChatStream {
    let decoder = Decoder {
        provider: provider.to_owned(),
        model: model.to_owned(),
        events: Box::pin(SseByteStream::new(bounded_events(provider, body))),
        ready: VecDeque::new(),
        calls: Calls::default(),
        finish_reason: None,
        usage: None,
        bytes: 0,
        ended: false,
        silent_on_usage,
        secret,
    };
    Box::pin(stream::unfold(decoder, |mut decoder| async move { Some((decoder.next().await?, decoder)) }))
}

struct Decoder {
    provider: String,
    model: String,
    events: Pin<Box<dyn Stream<Item = Result<Sse, sse_stream::Error>> + Send>>,
    ready: VecDeque<Chunk>,
    calls: Calls,
    finish_reason: Option<FinishReason>,
    usage: Option<Usage>,
    /// Of text, thoughts and tool calls so far.
    bytes: usize,
    ended: bool,
    silent_on_usage: Arc<AtomicBool>,
    secret: Option<Secret>,
}

impl Decoder {
    async fn next(&mut self) -> Option<Result<Chunk, Error>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.ended {
                return None;
            }
            let event = if self.finish_reason.is_some() {
                timeout(TRAILER_WAIT, self.events.next()).await.unwrap_or(None)
            } else {
                self.events.next().await
            };
            let outcome = match event {
                Some(Ok(event)) => self.event(event),
                // The answer was whole before the connection broke.
                Some(Err(_)) if self.finish_reason.is_some() => self.end("the connection broke"),
                Some(Err(error)) => Err(self.broken(error)),
                None => self.end("the connection closed before `finish_reason`"),
            };
            if let Err(error) = outcome {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    fn event(&mut self, event: Sse) -> Result<(), Error> {
        let data = event.data.unwrap_or_default();
        let data = data.trim();
        if data.is_empty() {
            return Ok(());
        }
        if data == "[DONE]" {
            return self.end("`[DONE]` came before `finish_reason`");
        }
        if event.event.as_deref() == Some("error") {
            let error = serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned()));
            return Err(self.in_band(&error));
        }
        let frame: Frame = serde_json::from_str(data).map_err(|error| Error::Malformed {
            provider: self.provider.clone(),
            message: format!("{error} in the event {}", self.scrub(&short(data))),
        })?;
        if let Some(error) = frame.error {
            return Err(self.in_band(&error));
        }
        if frame.usage.is_some() {
            self.usage = frame.usage;
        }
        for choice in frame.choices.unwrap_or_default().into_iter().filter(|choice| choice.index == 0) {
            self.choice(choice)?;
        }
        Ok(())
    }

    fn choice(&mut self, choice: Choice) -> Result<(), Error> {
        let delta = choice.delta.unwrap_or_default();
        let thoughts = [delta.reasoning, delta.reasoning_content];
        let thought: usize = thoughts.iter().flatten().filter_map(Value::as_str).map(str::len).sum();
        let mut text = delta.content.unwrap_or_default();
        text.push_str(&delta.refusal.unwrap_or_default());
        let pieces = delta.tool_calls.unwrap_or_default();
        let progress = thought > 0 || !pieces.is_empty();
        self.bytes += text.len() + thought;
        for piece in pieces {
            self.bytes += self.calls.add(piece);
        }
        if self.bytes > ANSWER_BYTES {
            let provider = self.provider.clone();
            return Err(Error::TooLarge { provider, what: "an answer", limit_bytes: ANSWER_BYTES });
        }
        if !text.is_empty() {
            self.ready.push_back(Chunk::Text(text));
        } else if progress {
            self.ready.push_back(Chunk::Progress);
        }
        if let Some(reason) = choice.finish_reason.filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(match reason.as_str() {
                "length" => FinishReason::Length,
                "content_filter" => FinishReason::ContentFilter,
                "error" => return Err(self.in_band(&Value::String("it finished with the reason `error`".to_owned()))),
                // `stop`, `tool_calls`, `function_call`, and the names servers give to a stop token.
                _ => FinishReason::Stop,
            });
        }
        Ok(())
    }

    /// No more comes. That is the end of an answer only if the model said why it stopped.
    fn end(&mut self, cut: &str) -> Result<(), Error> {
        let Some(reason) = self.finish_reason else {
            return Err(Error::Cut { provider: self.provider.clone(), message: cut.to_owned() });
        };
        self.ended = true;
        let tool_calls = match reason {
            FinishReason::Stop => std::mem::take(&mut self.calls).finish(),
            _ => Vec::new(),
        };
        if self.usage.is_none() && !self.silent_on_usage.swap(true, Ordering::Relaxed) {
            tracing::warn!(provider = self.provider, "answers come without token counts: they are recorded as 0");
        }
        self.ready.push_back(Chunk::Done {
            finish_reason: if tool_calls.is_empty() { reason } else { FinishReason::ToolCalls },
            tool_calls,
            input_tokens: self.usage.and_then(|usage| usage.prompt_tokens).unwrap_or(0),
            output_tokens: self.usage.and_then(|usage| usage.completion_tokens).unwrap_or(0),
        });
        Ok(())
    }

    fn in_band(&self, error: &Value) -> Error {
        let text = self.scrub(&error.to_string());
        let error = serde_json::from_str(&text).unwrap_or(Value::String(text));
        in_band(&self.provider, &self.model, &error)
    }

    fn broken(&self, error: sse_stream::Error) -> Error {
        match error {
            // One of ours, from below the parser.
            sse_stream::Error::Body(error) => match error.downcast::<Error>() {
                Ok(error) => *error,
                Err(error) => Error::Cut { provider: self.provider.clone(), message: error.to_string() },
            },
            other => Error::Malformed { provider: self.provider.clone(), message: other.to_string() },
        }
    }

    fn scrub(&self, text: &str) -> String {
        self.secret.as_ref().map_or_else(|| text.to_owned(), |secret| secret.scrub(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::{collect, split};
    use proptest::prelude::*;
    use serde_json::json;

    const TEXT: &str = include_str!("golden/text.sse");
    const TOOLS: &str = include_str!("golden/tools.sse");
    const ERROR: &str = include_str!("golden/error.sse");

    fn run(text: &str, cuts: &[usize]) -> (Vec<Chunk>, Option<Error>) {
        collect(decode("openai", "m", split(text.as_bytes(), cuts), Arc::default(), Some(Secret::new("sk-1"))))
    }

    fn text_of(chunks: &[Chunk]) -> String {
        chunks
            .iter()
            .filter_map(|chunk| if let Chunk::Text(text) = chunk { Some(text.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn text_comments_and_counts() {
        let (chunks, error) = run(TEXT, &[]);
        assert_eq!(error, None);
        assert_eq!(text_of(&chunks), "Grüße, 🌍!");
        let done =
            Chunk::Done { tool_calls: vec![], finish_reason: FinishReason::Stop, input_tokens: 19, output_tokens: 10 };
        assert_eq!(chunks.last(), Some(&done));
    }

    #[test]
    fn every_line_end_of_the_standard_is_one() {
        let expected = run(TEXT, &[]);
        assert_eq!(run(&TEXT.replace('\n', "\r\n"), &[]), expected);
        assert_eq!(run(&TEXT.replace('\n', "\r"), &[]), expected);
        let several_lines = TEXT.replace(r#"data: {"id""#, "data: {\ndata: \"id\"");
        assert_ne!(several_lines, TEXT);
        assert_eq!(run(&several_lines, &[]), expected);
    }

    #[test]
    fn tool_calls_grow_from_fragments() {
        let (chunks, error) = run(TOOLS, &[]);
        assert_eq!(error, None);
        assert_eq!(chunks[0], Chunk::Progress, "fragments are progress");
        let Some(Chunk::Done { tool_calls, finish_reason, .. }) = chunks.last() else { panic!("{chunks:?}") };
        assert_eq!(*finish_reason, FinishReason::ToolCalls);
        let got: Vec<_> =
            tool_calls.iter().map(|call| (call.id.as_str(), call.name.as_str(), &call.arguments)).collect();
        let (first, second) = (json!({"command": "ls -l"}), json!({"path": "a.py"}));
        assert_eq!(got, [("call_a", "shell", &first), ("call_b", "read", &second)]);
    }

    #[test]
    fn a_length_limit_leaves_no_half_tool_call() {
        let (chunks, _) = run(&TOOLS.replace(r#""finish_reason":"tool_calls""#, r#""finish_reason":"length""#), &[]);
        let Some(Chunk::Done { tool_calls, finish_reason, .. }) = chunks.last() else { panic!("{chunks:?}") };
        assert_eq!((tool_calls.len(), *finish_reason), (0, FinishReason::Length));
    }

    #[test]
    fn an_error_in_the_stream_is_an_error_and_hides_the_key() {
        let (chunks, error) = run(ERROR, &[]);
        assert_eq!(text_of(&chunks), "It begins");
        assert!(matches!(&error, Some(Error::Failed { message, .. }) if message.contains("overloaded")), "{error:?}");
        assert!(!error.unwrap().to_string().contains("sk-1"));
        let (_, error) = run("event: error\ndata: {\"message\":\"This model's maximum context length is 9\"}\n\n", &[]);
        assert!(matches!(error, Some(Error::ContextLengthExceeded { .. })));
    }

    #[test]
    fn without_a_finish_reason_it_is_a_cut_wherever_it_ends() {
        let finish = TEXT.find(r#""finish_reason":"stop""#).unwrap();
        let finished = finish + TEXT[finish..].find("\n\n").unwrap() + 2;
        for end in (0..TEXT.len()).filter(|&end| TEXT.is_char_boundary(end)) {
            let (chunks, error) = run(&TEXT[..end], &[]);
            let done = matches!(chunks.last(), Some(Chunk::Done { .. }));
            assert_eq!(done, end >= finished, "ends at {end}");
            assert_eq!(matches!(error, Some(Error::Cut { .. })), end < finished, "ends at {end}: {error:?}");
        }
        let (_, error) =
            run("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\ndata: [DONE]\n\n", &[]);
        assert!(matches!(error, Some(Error::Cut { message, .. }) if message.contains("[DONE]")));
    }

    #[test]
    fn counts_nobody_reported_are_zero_and_noted() {
        let silent = Arc::<AtomicBool>::default();
        let body = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
        let (chunks, _) = collect(decode("openai", "m", split(body.as_bytes(), &[]), silent.clone(), None));
        assert!(matches!(chunks.last(), Some(Chunk::Done { input_tokens: 0, output_tokens: 0, .. })), "{chunks:?}");
        assert!(silent.load(Ordering::Relaxed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_hangs_up_does_not_hold_the_answer_back() {
        let body = b"data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n";
        let open = split(body, &[]).chain(stream::pending());
        let mut chunks = decode("openai", "m", open, Arc::default(), None);
        assert_eq!(chunks.next().await, Some(Ok(Chunk::Text("x".to_owned()))));
        let start = tokio::time::Instant::now();
        assert!(matches!(chunks.next().await, Some(Ok(Chunk::Done { .. }))));
        assert_eq!(start.elapsed(), TRAILER_WAIT);
    }

    #[test]
    fn bytes_that_are_no_text_are_an_error() {
        let body = split(b"data: {\"choices\":[{\"delta\":{\"content\":\"\xff\"}}]}\n\n", &[]);
        let (_, error) = collect(decode("openai", "m", body, Arc::default(), None));
        assert!(matches!(error, Some(Error::Malformed { .. })), "{error:?}");
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(cuts in proptest::collection::vec(0..TEXT.len(), 0..40)) {
            prop_assert_eq!(run(TEXT, &cuts), run(TEXT, &[]));
            prop_assert_eq!(run(TOOLS, &cuts), run(TOOLS, &[]));
            prop_assert_eq!(run(ERROR, &cuts), run(ERROR, &[]));
            let windows = TEXT.replace('\n', "\r\n");
            prop_assert_eq!(run(&windows, &cuts), run(TEXT, &[]));
        }
    }
}
