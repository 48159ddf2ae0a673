//! What the provider's own events say, so that the encoder can go on after any of them.

use super::{Call, Item, Kind, ResponsesEncoder};
use crate::wire::openai::sse;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    sequence_number: Option<u64>,
    output_index: Option<usize>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    item: Option<&'a RawValue>,
    response: Option<Identified>,
}

#[derive(Deserialize)]
struct Identified {
    id: Option<String>,
}

#[derive(Deserialize)]
struct Added {
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    call_id: Option<String>,
    name: Option<String>,
}

impl ResponsesEncoder {
    /// Whether `raw` is an event of this dialect, or a comment. What is neither must not pass: it could not be gone on from.
    pub(crate) fn see(&mut self, raw: &[u8]) -> bool {
        let Some(data) = sse::data_of(raw) else {
            return raw.starts_with(b":");
        };
        let Ok(seen) = serde_json::from_str::<Seen<'_>>(&data) else { return false };
        self.sequence = seen.sequence_number.unwrap_or(self.sequence).saturating_add(1);
        if let Some(output_index) = seen.output_index {
            self.next_output = self.next_output.max(output_index.saturating_add(1));
        }
        match &*seen.kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.begun = true;
                if let Some(id) = seen.response.and_then(|response| response.id) {
                    self.id = id;
                }
            }
            "response.output_item.added" => self.see_item(&seen),
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                if let Some(item) = self.current_at(seen.output_index) {
                    item.parts.push(String::new());
                    item.part_open = true;
                }
            }
            "response.output_text.delta" | "response.reasoning_summary_text.delta" => {
                let text = text_of(seen.delta);
                if let Some(part) = self.current_at(seen.output_index).and_then(|item| item.parts.last_mut()) {
                    part.push_str(&text);
                }
            }
            "response.output_text.done"
            | "response.content_part.done"
            | "response.reasoning_summary_text.done"
            | "response.reasoning_summary_part.done" => {
                if let Some(item) = self.current_at(seen.output_index) {
                    item.part_open = false;
                }
            }
            "response.function_call_arguments.delta" => {
                let text = text_of(seen.delta);
                if let Some(call) = self.calls.iter_mut().find(|call| Some(call.output_index) == seen.output_index) {
                    call.arguments.push_str(&text);
                }
            }
            "response.output_item.done" => self.see_item_done(&seen),
            "response.completed" | "response.incomplete" | "response.failed" => self.ended = true,
            _ => {}
        }
        true
    }

    fn current_at(&mut self, output_index: Option<usize>) -> Option<&mut Item> {
        self.current.as_mut().filter(|item| Some(item.output_index) == output_index)
    }

    fn see_item(&mut self, seen: &Seen<'_>) {
        let Some(added) = seen.item.and_then(|item| serde_json::from_str::<Added>(item.get()).ok()) else { return };
        let output_index = seen.output_index.unwrap_or(self.next_output);
        let id = added.id.unwrap_or_default();
        let kind = match added.kind.as_str() {
            "function_call" => {
                self.calls.push(Call {
                    index: self.calls.len(),
                    output_index,
                    id,
                    call_id: added.call_id.unwrap_or_default(),
                    name: added.name.unwrap_or_default(),
                    arguments: String::new(),
                    open: true,
                });
                return;
            }
            "message" => Kind::Message,
            "reasoning" => Kind::Reasoning,
            _ => Kind::Foreign,
        };
        self.current = Some(Item { output_index, id, kind, parts: Vec::new(), part_open: false, sealed: None });
    }

    fn see_item_done(&mut self, seen: &Seen<'_>) {
        let (Some(output_index), Some(item)) = (seen.output_index, seen.item) else { return };
        if let Ok(item) = serde_json::from_str(item.get()) {
            self.done.push((output_index, item));
        }
        if self.current_at(Some(output_index)).is_some() {
            self.current = None;
        }
        for call in self.calls.iter_mut().filter(|call| call.output_index == output_index) {
            call.open = false;
        }
    }
}

fn text_of(delta: Option<&RawValue>) -> String {
    delta.and_then(|delta| serde_json::from_str(delta.get()).ok()).unwrap_or_default()
}
