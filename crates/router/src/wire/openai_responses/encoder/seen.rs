//! What the provider's own events say, so that the encoder can go on after any of them.

use super::{Call, Done, Item, ResponsesEncoder};
use crate::{
    Event,
    wire::openai_responses::seen::{Kind, Seen, What},
};

impl ResponsesEncoder {
    pub(crate) fn see(&mut self, seen: Seen, events: &[Event]) {
        let Seen { sequence, output_index, what } = seen;
        self.sequence = sequence.unwrap_or(self.sequence).saturating_add(1);
        if let Some(output_index) = output_index {
            self.next_output = self.next_output.max(output_index.saturating_add(1));
        }
        match what {
            What::Begun(id) => {
                self.begun = true;
                if let Some(id) = id {
                    self.id = id;
                }
            }
            What::Item { kind, id } => self.see_item(kind, id, output_index, events),
            What::Part => {
                if let Some(item) = self.current_at(output_index) {
                    item.parts.push(String::new());
                    item.part_open = true;
                }
            }
            What::Delta => self.see_more(output_index, events),
            What::PartDone => {
                self.see_more(output_index, events);
                if let Some(item) = self.current_at(output_index) {
                    item.part_open = false;
                }
            }
            What::ItemDone(item) => {
                let Some(output_index) = output_index else { return };
                self.done.push((output_index, Done::Theirs(item)));
                if self.current_at(Some(output_index)).is_some() {
                    self.current = None;
                }
                for call in self.calls.iter_mut().filter(|call| call.output_index == output_index) {
                    call.open = false;
                }
            }
            What::End => self.ended = true,
            What::Body | What::Other => {}
        }
    }

    fn current_at(&mut self, output_index: Option<usize>) -> Option<&mut Item> {
        self.current.as_mut().filter(|item| Some(item.output_index) == output_index)
    }

    fn see_more(&mut self, output_index: Option<usize>, events: &[Event]) {
        // What stands before the last one parts it from another thought.
        match events.last() {
            Some(Event::Text(text) | Event::Thinking(text)) => {
                if let Some(item) = self.current_at(output_index) {
                    if item.parts.is_empty() {
                        item.parts.push(String::new());
                        item.part_open = true;
                    }
                    if let Some(part) = item.parts.last_mut() {
                        part.push_str(text);
                    }
                }
            }
            Some(Event::ToolArguments { index, fragment }) => {
                if let Some(call) = self.calls.iter_mut().find(|call| call.index == *index) {
                    call.arguments.push_str(fragment);
                }
            }
            _ => {}
        }
    }

    fn see_item(&mut self, kind: Kind, id: String, output_index: Option<usize>, events: &[Event]) {
        let output_index = output_index.unwrap_or(self.next_output);
        if kind != Kind::Call {
            self.current = Some(Item { output_index, id, kind, parts: Vec::new(), part_open: false, sealed: None });
            return;
        }
        for event in events {
            if let Event::ToolCall { index, id: call_id, name } = event {
                let called = self.called(name);
                self.calls.push(Call {
                    index: *index,
                    output_index,
                    id: id.clone(),
                    call_id: call_id.clone(),
                    called,
                    arguments: String::new(),
                    open: true,
                });
            }
        }
    }
}
