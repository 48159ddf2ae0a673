//! The answer of `/api/chat`: one JSON object per line, the last one with `done: true`.

use crate::{
    ChatStream, Chunk, Error,
    http::{
        failure::{in_band, short},
        frame::{ANSWER_BYTES, Lines},
    },
    provider::new_call_id,
};
use bytes::Bytes;
use futures_util::{Stream, stream};
use protocol::{FinishReason, ToolCall};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::VecDeque;

#[derive(Deserialize)]
struct Line {
    error: Option<Value>,
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    done_reason: Option<String>,
    /// Absent when the whole prompt was in the cache, in older versions.
    prompt_eval_count: Option<u64>,
    eval_count: Option<u64>,
}

#[derive(Deserialize, Default)]
struct Message {
    content: Option<String>,
    thinking: Option<String>,
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Value,
}

pub(super) fn decode(
    provider: &str,
    model: &str,
    body: impl Stream<Item = Result<Bytes, Error>> + Send + 'static,
) -> ChatStream {
    let decoder = Decoder {
        provider: provider.to_owned(),
        model: model.to_owned(),
        lines: Lines::new(provider, body),
        ready: VecDeque::new(),
        tool_calls: Vec::new(),
        bytes: 0,
        ended: false,
    };
    Box::pin(stream::unfold(decoder, |mut decoder| async move { Some((decoder.next().await?, decoder)) }))
}

struct Decoder<S> {
    provider: String,
    model: String,
    lines: Lines<S>,
    ready: VecDeque<Chunk>,
    tool_calls: Vec<ToolCall>,
    /// Of text, thoughts and tool calls so far.
    bytes: usize,
    ended: bool,
}

impl<S: Stream<Item = Result<Bytes, Error>>> Decoder<S> {
    async fn next(&mut self) -> Option<Result<Chunk, Error>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Some(Ok(chunk));
            }
            if self.ended {
                return None;
            }
            let line = match self.lines.next().await {
                Some(Ok(line)) => line,
                Some(Err(error)) => return self.fail(error),
                None => {
                    let message = "the connection closed before `done`".to_owned();
                    return self.fail(Error::Cut { provider: self.provider.clone(), message });
                }
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            if let Err(error) = self.line(&line) {
                return self.fail(error);
            }
        }
    }

    fn fail(&mut self, error: Error) -> Option<Result<Chunk, Error>> {
        self.ended = true;
        Some(Err(error))
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Error> {
        let line: Line = serde_json::from_slice(line).map_err(|error| {
            // A last line without its end is a cut, and so is half a JSON object.
            let message = format!("{error} in the line {}", short(&String::from_utf8_lossy(line)));
            if error.is_eof() {
                Error::Cut { provider: self.provider.clone(), message }
            } else {
                Error::Malformed { provider: self.provider.clone(), message }
            }
        })?;
        if let Some(error) = line.error {
            return Err(in_band(&self.provider, &self.model, &error));
        }
        let message = line.message.unwrap_or_default();
        let text = message.content.unwrap_or_default();
        self.bytes += text.len() + message.thinking.map_or(0, |thinking| thinking.len());
        for call in message.tool_calls.unwrap_or_default() {
            let call = tool_call(call);
            self.bytes += call.arguments.to_string().len();
            self.tool_calls.push(call);
        }
        if self.bytes > ANSWER_BYTES {
            return Err(Error::TooLarge {
                provider: self.provider.clone(),
                what: "an answer",
                limit_bytes: ANSWER_BYTES,
            });
        }
        if !text.is_empty() {
            self.ready.push_back(Chunk::Text(text));
        } else if !line.done {
            self.ready.push_back(Chunk::Progress);
        }
        if line.done {
            self.ended = true;
            let cut_by_limit = line.done_reason.as_deref() == Some("length");
            let tool_calls = if cut_by_limit { Vec::new() } else { std::mem::take(&mut self.tool_calls) };
            self.ready.push_back(Chunk::Done {
                finish_reason: match (cut_by_limit, tool_calls.is_empty()) {
                    (true, _) => FinishReason::Length,
                    (false, true) => FinishReason::Stop,
                    (false, false) => FinishReason::ToolCalls,
                },
                tool_calls,
                input_tokens: line.prompt_eval_count.unwrap_or(0),
                output_tokens: line.eval_count.unwrap_or(0),
            });
        }
        Ok(())
    }
}

/// Arguments are an object here, but for models whose templates give a string of JSON.
fn tool_call(call: Call) -> ToolCall {
    let arguments = match call.function.arguments {
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Value::Null => json!({}),
        arguments => arguments,
    };
    let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(new_call_id);
    ToolCall { id, name: call.function.name, arguments }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::testing::{collect, split};
    use proptest::prelude::*;

    const TEXT: &str = include_str!("golden/text.ndjson");
    const TOOLS: &str = include_str!("golden/tools.ndjson");
    const ERROR: &str = include_str!("golden/error.ndjson");

    fn run(text: &str, cuts: &[usize]) -> (Vec<Chunk>, Option<Error>) {
        collect(decode("ollama", "m", split(text.as_bytes(), cuts)))
    }

    fn text_of(chunks: &[Chunk]) -> String {
        chunks
            .iter()
            .filter_map(|chunk| if let Chunk::Text(text) = chunk { Some(text.as_str()) } else { None })
            .collect()
    }

    #[test]
    fn text_thoughts_and_counts() {
        let (chunks, error) = run(TEXT, &[]);
        assert_eq!(error, None);
        assert_eq!(text_of(&chunks), "Grüße, 🌍!");
        assert_eq!(chunks[0], Chunk::Progress, "a thought is progress");
        let done =
            Chunk::Done { tool_calls: vec![], finish_reason: FinishReason::Stop, input_tokens: 26, output_tokens: 282 };
        assert_eq!(chunks.last(), Some(&done));
    }

    #[test]
    fn tool_calls_come_whole_and_get_ids_where_they_have_none() {
        let (chunks, error) = run(TOOLS, &[]);
        assert_eq!(error, None);
        let Some(Chunk::Done { tool_calls, finish_reason, .. }) = chunks.last() else { panic!("{chunks:?}") };
        assert_eq!(*finish_reason, FinishReason::ToolCalls);
        assert_eq!(tool_calls[0].arguments, json!({"command": "ls -l"}));
        assert!(tool_calls[0].id.starts_with("call_") && tool_calls[0].id != tool_calls[1].id, "{tool_calls:?}");
        assert_eq!((tool_calls[1].id.as_str(), &tool_calls[1].arguments), ("call_given", &json!({"path": "a.py"})));
    }

    #[test]
    fn an_error_in_the_stream_is_an_error() {
        let (chunks, error) = run(ERROR, &[]);
        assert_eq!(text_of(&chunks), "It begins");
        assert!(matches!(error, Some(Error::Failed { message, .. }) if message.contains("model runner")));
        let (_, error) = run("{\"error\":\"the input length exceeds the context length\"}\n", &[]);
        assert!(matches!(error, Some(Error::ContextLengthExceeded { .. })));
    }

    #[test]
    fn an_end_without_done_is_a_cut_wherever_it_comes() {
        for end in 0..TEXT.trim_end().len() {
            if TEXT.is_char_boundary(end) {
                let (chunks, error) = run(&TEXT[..end], &[]);
                assert!(matches!(error, Some(Error::Cut { .. })), "cut at {end}: {error:?}");
                assert!(!matches!(chunks.last(), Some(Chunk::Done { .. })));
            }
        }
        assert_eq!(run(TEXT.trim_end(), &[]).1, None, "the last line needs no line end");
    }

    #[test]
    fn a_length_limit_leaves_no_half_tool_call() {
        let (chunks, _) = run(&TOOLS.replace(r#""done_reason":"stop""#, r#""done_reason":"length""#), &[]);
        let Some(Chunk::Done { tool_calls, finish_reason, .. }) = chunks.last() else { panic!("{chunks:?}") };
        assert_eq!((tool_calls.len(), *finish_reason), (0, FinishReason::Length));
    }

    proptest! {
        #[test]
        fn where_the_network_cuts_makes_no_difference(cuts in proptest::collection::vec(0..TEXT.len(), 0..40)) {
            prop_assert_eq!(run(TEXT, &cuts), run(TEXT, &[]));
            prop_assert_eq!(run(ERROR, &cuts), run(ERROR, &[]));
        }
    }
}
