//! An answer in one body.

use super::{Counts, input, stop_reason};
use crate::{
    answer::{Block, Whole},
    dialect::Envelope,
};
use serde_json::{Value, json};

pub(crate) fn whole(envelope: &Envelope, whole: &Whole) -> Value {
    let content: Vec<Value> = whole.blocks.iter().filter_map(block).collect();
    let finish = whole.finish.as_ref();
    let stop_sequence = finish.and_then(|finish| finish.stop_sequence.as_deref());
    json!({
        "id": format!("msg_{}", envelope.id),
        "type": "message",
        "role": "assistant",
        "model": envelope.model,
        "content": content,
        "stop_reason": finish.map(|finish| stop_reason(finish.reason, stop_sequence)),
        "stop_sequence": stop_sequence,
        "usage": Counts::of(&whole.usage()).or_estimated(envelope.estimated_input_tokens),
    })
}

/// `None` for text without a character, which clients that send it back would be refused for.
fn block(block: &Block) -> Option<Value> {
    Some(match block {
        Block::Text(text) if text.is_empty() => return None,
        Block::Text(text) => json!({ "type": "text", "text": text }),
        Block::Thinking { text, signature } => {
            json!({ "type": "thinking", "thinking": text, "signature": signature.as_deref().unwrap_or("") })
        }
        Block::RedactedThinking(data) => json!({ "type": "redacted_thinking", "data": data }),
        Block::ToolCall { id, name, arguments, .. } => {
            json!({ "type": "tool_use", "id": id, "name": name, "input": input(arguments) })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Event,
        answer::{Finish, Usage},
        testing::envelope,
    };
    use protocol::FinishReason;

    #[test]
    fn a_gathered_answer_is_a_message() {
        let mut answer = Whole::default();
        let usage = Usage {
            input_tokens: 30,
            cached_input_tokens: 10,
            cache_write_tokens: 5,
            cache_write_1h_tokens: 0,
            output_tokens: 7,
            reasoning_tokens: 2,
        };
        for event in [
            Event::Started { id: None, model: None, usage: Usage::default() },
            Event::Thinking("hm".into()),
            Event::ThinkingSignature("c2ln+/=".into()),
            Event::RedactedThinking("ZGF0YQ".into()),
            Event::Text("Look".into()),
            Event::ToolCall { index: 0, id: "toolu_1".into(), name: "read".into() },
            Event::ToolArguments { index: 0, fragment: r#"{"path":"a"}"#.into() },
            Event::Finished(Finish::new(FinishReason::ToolCalls, usage)),
        ] {
            answer.add(&event);
        }
        let body = whole(&envelope(), &answer);
        assert_eq!(
            body,
            json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "fast",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "c2ln+/="},
                    {"type": "redacted_thinking", "data": "ZGF0YQ"},
                    {"type": "text", "text": "Look"},
                    {"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"path": "a"}},
                ],
                "stop_reason": "tool_use", "stop_sequence": null,
                "usage": {"input_tokens": 15, "cache_creation_input_tokens": 5, "cache_read_input_tokens": 10, "output_tokens": 7,
                    "output_tokens_details": {"thinking_tokens": 2}},
            })
        );
    }

    #[test]
    fn a_stop_text_is_named_and_an_uncounted_prompt_is_estimated() {
        let mut finish = Finish::new(FinishReason::Stop, Usage::default());
        finish.stop_sequence = Some("END".into());
        let body = whole(&envelope(), &Whole { finish: Some(finish), ..Whole::default() });
        assert_eq!((&body["stop_reason"], &body["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
        assert_eq!(body["usage"]["input_tokens"], 42);
    }
}
