//! An answer that came as a stream, as the one body that was asked for: with all that has no words here.

use crate::{Error, Frame, json_object::Fields, sse};
use bytes::Bytes;
use serde_json::{Map, Value, json};

/// The frames' bytes as one message, and their events.
///
/// # Errors
/// What cannot be read has no place in a message.
pub(crate) fn one_body(frames: Vec<Frame>) -> Result<Frame, String> {
    let mut splitter = sse::Splitter::default();
    let mut message = Message::default();
    let mut events = Vec::new();
    for frame in frames {
        events.extend(frame.events);
        splitter.push(frame.raw.unwrap_or_default());
        while let Some(Ok(event)) = splitter.next() {
            if !event.data.is_empty() {
                let event = serde_json::from_slice(&event.data).map_err(|error| format!("{error} in an event"))?;
                message.add(event)?;
            }
        }
    }
    let raw = message.whole().map_err(|error| error.to_string())?;
    Ok(Frame { raw: Some(raw), events, ..Frame::default() })
}

#[derive(Default)]
struct Message {
    head: Map<String, Value>,
    blocks: Vec<Block>,
}

struct Block {
    index: Value,
    told: Value,
    /// The pieces of its input.
    input: String,
}

impl Message {
    fn add(&mut self, mut event: Value) -> Result<(), String> {
        let kind = event["type"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "message_start" => {
                if let Value::Object(head) = event["message"].take() {
                    self.head = head;
                }
            }
            "content_block_start" => {
                let (index, told) = (event["index"].take(), event["content_block"].take());
                self.blocks.push(Block { index, told, input: String::new() });
            }
            "content_block_delta" => {
                let index = event["index"].take();
                let block = self.blocks.iter_mut().rev().find(|block| block.index == index);
                let block = block.ok_or_else(|| format!("a delta of block {index}, which did not begin"))?;
                if let (Value::Object(told), Value::Object(delta)) = (&mut block.told, event["delta"].take()) {
                    merge(told, delta, &mut block.input);
                }
            }
            "message_delta" => {
                if let Value::Object(delta) = event["delta"].take() {
                    self.head.extend(delta);
                }
                if let Value::Object(counts) = event["usage"].take()
                    && let Some(usage) = self.head.entry("usage").or_insert_with(|| json!({})).as_object_mut()
                {
                    usage.extend(counts);
                }
            }
            "content_block_stop" | "message_stop" | "ping" => {}
            other => return Err(format!("an event `{other}`, which has no place in one body")),
        }
        Ok(())
    }

    /// Arguments stay as the model wrote them.
    fn whole(mut self) -> Result<Bytes, Error> {
        let mut content = Vec::with_capacity(self.blocks.len());
        for Block { told, input, .. } in self.blocks {
            let told = told.to_string();
            let input = (!input.is_empty()).then(|| super::input(&input));
            content.push(match input {
                Some(input) => {
                    let whole = Fields::of(told.as_bytes())?.with(&[("input", input.get())]);
                    String::from_utf8_lossy(&whole).into_owned()
                }
                None => told,
            });
        }
        self.head.insert("content".to_owned(), Value::Null);
        let head = Value::Object(self.head).to_string();
        Ok(Fields::of(head.as_bytes())?.with(&[("content", &format!("[{}]", content.join(",")))]))
    }
}

/// Texts go on, what is cited is one more, and everything else is as it was told last.
fn merge(block: &mut Map<String, Value>, delta: Map<String, Value>, input: &mut String) {
    for (name, value) in delta {
        match (name.as_str(), value) {
            ("type", _) => {}
            ("partial_json", Value::String(piece)) => input.push_str(&piece),
            ("citation", citation) => {
                let all = block.entry("citations").or_insert_with(|| json!([]));
                match all.as_array_mut() {
                    Some(all) => all.push(citation),
                    None => *all = json!([citation]),
                }
            }
            (name, Value::String(more)) => match block.get_mut(name) {
                Some(Value::String(text)) => text.push_str(&more),
                _ => {
                    block.insert(name.to_owned(), Value::String(more));
                }
            },
            (name, value) => {
                block.insert(name.to_owned(), value);
            }
        }
    }
}
