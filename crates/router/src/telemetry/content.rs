//! Prompts and answers as the GenAI conventions write them, for those who asked for it. What looks like a secret is left
//! out, and what is long is cut: the last messages are kept, as they are what the answer speaks of.

use super::attributes::finish_reason;
use crate::{
    answer::{Block, Whole},
    conversation::{Image, Message, Part},
    dialect::Asked,
    redaction::Patterns,
};
use opentelemetry::KeyValue;
use serde_json::{Value, json};

/// Of text on each side of a call.
const TEXT_BYTES: usize = 32 * 1024;
/// A secret that begins within what is kept is seen as one up to this length: a private key has some 3 KiB.
const SECRET_BYTES: usize = 4096;
const SECRET: &str = "[secret]";

pub(super) fn attributes(asked: &Asked, answer: &Whole, patterns: &Patterns) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    let mut input = Kept { left: TEXT_BYTES, cut: false, patterns };
    if let Ok(conversation) = asked.conversation() {
        let messages = input.messages(&conversation.messages);
        attributes.push(KeyValue::new("gen_ai.input.messages", Value::from(messages).to_string()));
    }
    let mut output = Kept { left: TEXT_BYTES, cut: false, patterns };
    let parts: Vec<Value> = answer.blocks.iter().filter_map(|block| output.block(block)).collect();
    if !parts.is_empty() {
        let mut message = json!({"role": "assistant", "parts": parts});
        if let Some(finish) = &answer.finish {
            message["finish_reason"] = finish_reason(finish.reason).into();
        }
        attributes.push(KeyValue::new("gen_ai.output.messages", Value::from(vec![message]).to_string()));
    }
    if input.cut || output.cut {
        attributes.push(KeyValue::new("devmesh.content_cut", true));
    }
    attributes
}

struct Kept<'a> {
    /// Of text, in bytes.
    left: usize,
    /// Something did not fit.
    cut: bool,
    patterns: &'a Patterns,
}

impl Kept<'_> {
    fn messages(&mut self, messages: &[Message]) -> Vec<Value> {
        let mut kept = Vec::new();
        for message in messages.iter().rev() {
            if self.left == 0 {
                self.cut = true;
                break;
            }
            let parts: Vec<Value> = message.parts.iter().filter_map(|part| self.part(part)).collect();
            kept.push(json!({"role": message.role.as_str(), "parts": parts}));
        }
        kept.reverse();
        kept
    }

    fn part(&mut self, part: &Part) -> Option<Value> {
        Some(match part {
            Part::Text(text) => json!({"type": "text", "content": self.text(text)}),
            Part::Thinking { text, .. } => json!({"type": "reasoning", "content": self.text(text)}),
            Part::ToolCall { id, name, arguments } => self.tool_call(id, name, arguments),
            Part::ToolResult { call_id, parts, .. } => {
                let said: String = parts
                    .iter()
                    .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
                    .collect();
                json!({"type": "tool_call_response", "id": call_id, "response": self.text(&said)})
            }
            // That there was one is told, and not what is on it.
            Part::Image(Image::Base64 { media_type, .. }) => {
                json!({"type": "blob", "modality": "image", "mime_type": media_type, "content": ""})
            }
            Part::Image(Image::Url(_)) => json!({"type": "uri", "modality": "image", "uri": ""}),
            Part::Document { media_type, .. } => {
                json!({"type": "blob", "modality": "document", "mime_type": media_type, "content": ""})
            }
            Part::RedactedThinking { .. } => return None,
        })
    }

    fn block(&mut self, block: &Block) -> Option<Value> {
        Some(match block {
            Block::Text(text) => json!({"type": "text", "content": self.text(text)}),
            Block::Thinking { text, .. } => json!({"type": "reasoning", "content": self.text(text)}),
            Block::ToolCall { id, name, arguments, .. } => self.tool_call(id, name, arguments),
            Block::RedactedThinking(_) => return None,
        })
    }

    fn tool_call(&mut self, id: &str, name: &str, arguments: &str) -> Value {
        json!({"type": "tool_call", "id": id, "name": name, "arguments": self.text(arguments)})
    }

    fn text(&mut self, text: &str) -> String {
        let looked_at = &text[..text.floor_char_boundary(self.left.saturating_add(SECRET_BYTES))];
        let without = self.patterns.without_secrets(looked_at, SECRET);
        let kept = &without[..without.floor_char_boundary(self.left)];
        self.cut |= kept.len() < without.len() || looked_at.len() < text.len();
        self.left -= kept.len();
        kept.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Conversation, Event,
        answer::{Finish, Usage},
    };
    use protocol::{FinishReason, Role};
    use std::collections::BTreeMap;

    fn told(messages: Vec<Message>, events: &[Event]) -> BTreeMap<String, Value> {
        let conversation = Conversation { messages, ..Conversation::default() };
        let asked = Asked::own("m".to_owned(), conversation, 0);
        let mut answer = Whole::default();
        events.iter().for_each(|event| answer.add(event));
        let patterns = Patterns::built_in().unwrap();
        let value = |said: KeyValue| {
            let text = said.value.as_str().into_owned();
            (said.key.to_string(), serde_json::from_str(&text).unwrap_or(Value::Null))
        };
        attributes(&asked, &answer, &patterns).into_iter().map(value).collect()
    }

    #[test]
    fn both_sides_are_told_in_the_words_of_the_conventions() {
        let call =
            |arguments: &str| Part::ToolCall { id: "c1".into(), name: "look".into(), arguments: arguments.into() };
        let result = Part::ToolResult { call_id: "c1".into(), parts: vec![Part::Text("rain".into())], is_error: false };
        let image = Part::Image(Image::Base64 { media_type: "image/png".into(), data: "AAAA".into() });
        let told = told(
            vec![
                Message::text(Role::System, "Be brief."),
                Message { role: Role::User, parts: vec![Part::Text("How is it?".into()), image] },
                Message { role: Role::Assistant, parts: vec![call("{\"a\":1}")] },
                Message { role: Role::Tool, parts: vec![result] },
            ],
            &[
                Event::Thinking("Hm.".into()),
                Event::Text("It rains.".into()),
                Event::Finished(Finish::new(FinishReason::Stop, Usage::default())),
            ],
        );
        assert_eq!(
            told["gen_ai.input.messages"],
            json!([
                {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
                {"role": "user", "parts": [
                    {"type": "text", "content": "How is it?"},
                    {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""},
                ]},
                {"role": "assistant", "parts": [
                    {"type": "tool_call", "id": "c1", "name": "look", "arguments": "{\"a\":1}"},
                ]},
                {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rain"}]},
            ])
        );
        let parts = json!([{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "It rains."}]);
        assert_eq!(
            told["gen_ai.output.messages"],
            json!([{"role": "assistant", "parts": parts, "finish_reason": "stop"}])
        );
    }

    #[test]
    fn secrets_are_left_out_of_every_part() {
        let secret = "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH";
        let arguments = format!("{{\"header\":\"{secret}\"}}");
        let told = told(
            vec![
                Message::text(Role::User, format!("My key is {secret}.")),
                Message {
                    role: Role::Assistant,
                    parts: vec![Part::ToolCall { id: "c".into(), name: "n".into(), arguments }],
                },
            ],
            &[Event::Text(format!("Yours is {secret}."))],
        );
        let all = format!("{told:?}");
        assert!(!all.contains("abcdefghijklm"), "{all}");
        assert_eq!(all.matches(SECRET).count(), 3, "{all}");
    }

    #[test]
    fn long_prompts_keep_their_end_and_say_that_they_were_cut() {
        let messages: Vec<Message> =
            (0..10).map(|number| Message::text(Role::User, format!("{number}{}", "ä".repeat(5_000)))).collect();
        let told = told(messages, &[Event::Text("ok".into())]);
        let kept = told["gen_ai.input.messages"].as_array().unwrap();
        let firsts: Vec<&str> =
            kept.iter().map(|message| &message["parts"][0]["content"].as_str().unwrap()[..1]).collect();
        assert_eq!(firsts, ["6", "7", "8", "9"]);
        let bytes: usize = kept.iter().map(|message| message["parts"][0]["content"].as_str().unwrap().len()).sum();
        assert!((TEXT_BYTES - 1..=TEXT_BYTES).contains(&bytes), "{bytes}");
        assert!(told.contains_key("devmesh.content_cut"));
        assert!(!self::told(Vec::new(), &[Event::Text("ok".into())]).contains_key("devmesh.content_cut"));
    }
}
