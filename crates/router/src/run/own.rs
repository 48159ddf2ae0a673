//! A run as devmesh's own agents read it.

use super::{Committed, Step, trace::millis};
use crate::{
    Error, Event, Frame,
    answer::{Block, Whole},
};
use domain::i_json;
use futures_util::{Stream, StreamExt, stream};
use protocol::{Fallback, FinishReason, Model, ModelAnswer, ModelStreamItem, ToolCall};
use serde_json::Value;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::Instant;

struct Items<S> {
    steps: S,
    ready: VecDeque<ModelStreamItem>,
    whole: Whole,
    answering: Option<Committed>,
    cost_microusd: Option<u64>,
    fallbacks: Vec<Fallback>,
    trying: Option<Arc<Model>>,
    started: Instant,
    first_token: Option<Duration>,
    over: bool,
}

/// The last item is `finished` or `failed`, always exactly one of them.
pub(crate) fn items(
    steps: impl Stream<Item = Step> + Send + Unpin + 'static,
) -> impl Stream<Item = ModelStreamItem> + Send + Unpin + 'static {
    let items = Items {
        steps,
        ready: VecDeque::new(),
        whole: Whole::default(),
        answering: None,
        cost_microusd: None,
        fallbacks: Vec::new(),
        trying: None,
        started: Instant::now(),
        first_token: None,
        over: false,
    };
    Box::pin(stream::unfold(items, |mut items| async move { Some((items.next().await?, items)) }))
}

impl<S: Stream<Item = Step> + Unpin> Items<S> {
    async fn next(&mut self) -> Option<ModelStreamItem> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(item);
            }
            if self.over {
                return None;
            }
            match self.steps.next().await {
                Some(Step::Accepted { model, why }) => {
                    let (provider, name) = (model.provider.clone(), model.name.clone());
                    self.trying = Some(model);
                    return Some(ModelStreamItem::Started { provider, model: name, why: why.into_owned() });
                }
                Some(Step::Gave(fallback)) => self.fallbacks.push(fallback),
                Some(Step::Committed(committed)) => self.answering = Some(*committed),
                Some(Step::Frame(frame)) => self.frame(frame),
                Some(Step::Finished { frame, cost_microusd, .. }) => {
                    self.cost_microusd = cost_microusd;
                    self.frame(frame);
                }
                Some(Step::Failed { error, fallbacks }) => {
                    self.fallbacks.extend(fallbacks);
                    self.failed(&error);
                }
                None => self.failed(&Error::Cancelled),
            }
        }
    }

    fn frame(&mut self, frame: Frame) {
        for event in frame.events {
            self.whole.add(&event);
            match event {
                Event::Text(text) if !text.is_empty() => {
                    self.first_token.get_or_insert_with(|| self.started.elapsed());
                    self.ready.push_back(ModelStreamItem::Delta { text });
                }
                Event::Finished(finish) => {
                    self.over = true;
                    let answer = self.answer(finish.reason);
                    self.ready.push_back(ModelStreamItem::Finished { answer });
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, finish_reason: FinishReason) -> ModelAnswer {
        let usage = self.whole.usage();
        let total = self.started.elapsed();
        let answering = self.trying.take().or_else(|| self.answering.as_ref().map(|committed| committed.model.clone()));
        let (provider, model) = answering.map(|model| (model.provider.clone(), model.name.clone())).unwrap_or_default();
        ModelAnswer {
            provider,
            model,
            content: self.whole.text(),
            // A call that a length limit cut is not handed on.
            tool_calls: if matches!(finish_reason, FinishReason::Length) { Vec::new() } else { self.tool_calls() },
            finish_reason,
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cost_microusd: self.cost_microusd.unwrap_or(0),
            first_token_ms: millis(self.first_token.unwrap_or(total)),
            total_ms: millis(total),
            fallbacks: std::mem::take(&mut self.fallbacks),
        }
    }

    fn tool_calls(&mut self) -> Vec<ToolCall> {
        let blocks = std::mem::take(&mut self.whole.blocks);
        blocks
            .into_iter()
            .filter_map(|block| match block {
                Block::ToolCall { id, name, arguments, .. } => {
                    Some(ToolCall { id, name, arguments: arguments_of(arguments) })
                }
                _ => None,
            })
            .collect()
    }

    fn failed(&mut self, error: &Error) {
        self.over = true;
        self.ready.push_back(ModelStreamItem::Failed {
            code: error.code().to_string(),
            message: error.to_string(),
            fallbacks: std::mem::take(&mut self.fallbacks),
        });
    }
}

/// What is not JSON, or is JSON that not every reader would keep as it is, is handed on as the text it is: so the model can be
/// told, and the log and whoever approves the call see what was said.
fn arguments_of(text: String) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    let exact = i_json::check_text(&text).is_ok();
    let parsed = exact.then(|| serde_json::from_str(&text).ok()).flatten();
    parsed.unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn arguments_that_would_be_changed_stay_text() {
        assert_eq!(arguments_of(" ".into()), json!({}));
        assert_eq!(
            arguments_of(r#"{"command":"ls","n":9007199254740991}"#.into()),
            json!({"command": "ls", "n": 9007199254740991_u64})
        );
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        for text in ["{\"command\"", r#"{"id":12345678901234567890}"#, r#"{"id":9007199254740993}"#, &deep] {
            assert_eq!(arguments_of(text.into()), json!(text), "{text}");
        }
    }
}
