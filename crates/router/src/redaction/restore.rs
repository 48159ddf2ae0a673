//! Placeholders become secrets again, in an answer that comes in pieces.
//!
//! Only what may be the beginning of a placeholder is held back, and only until the next piece decides. Text and each tool
//! call's arguments are read apart from each other.

use super::vault::{Begins, PREFIX, Vault};
use crate::Event;
use std::{collections::BTreeMap, fmt, sync::Arc};

/// For the answer of one attempt. Thinking keeps its placeholders: what its provider has signed must come back to it letter by
/// letter.
pub struct Restorer {
    text: Channel,
    arguments: BTreeMap<usize, Channel>,
    vault: Arc<Vault>,
}

/// One run of text.
struct Channel {
    held: String,
    writes: Writes,
}

#[derive(Clone, Copy)]
enum Writes {
    Text,
    /// The inside of a JSON string.
    Json,
}

impl Restorer {
    pub(super) fn new(vault: Arc<Vault>) -> Self {
        Self { text: Channel::new(Writes::Text), arguments: BTreeMap::new(), vault }
    }

    /// One run of plain text: what can be said for sure of it up to here. Not to be mixed with [`Self::restore_events`].
    pub fn push(&mut self, more: &str) -> String {
        self.text.push(&self.vault, more)
    }

    /// What was held back of the run of plain text: it is over.
    pub fn finish(&mut self) -> String {
        self.text.finish()
    }

    /// The events with secrets back in them. Held text comes out before its block ends.
    pub fn restore_events(&mut self, events: Vec<Event>) -> Vec<Event> {
        let mut out = Vec::with_capacity(events.len());
        for event in events {
            self.restore_event(event, &mut out);
        }
        out
    }

    /// What is still held when the answer ends without [`Event::Finished`].
    pub fn finish_events(&mut self) -> Vec<Event> {
        let mut out = Vec::new();
        self.end_text(&mut out);
        self.end_arguments(&mut out);
        out
    }

    fn restore_event(&mut self, event: Event, out: &mut Vec<Event>) {
        match event {
            Event::Text(more) => {
                out.extend(spoken(self.text.push(&self.vault, &more)).map(Event::Text));
            }
            // Pieces of several calls may alternate, so a piece of another one ends none.
            Event::ToolArguments { index, fragment } => {
                let channel = self.arguments.entry(index).or_insert_with(|| Channel::new(Writes::Json));
                let fragment = channel.push(&self.vault, &fragment);
                out.extend(spoken(fragment).map(|fragment| Event::ToolArguments { index, fragment }));
            }
            Event::Started { .. } => out.push(event),
            Event::Thinking(_)
            | Event::ThinkingSignature(_)
            | Event::RedactedThinking(_)
            | Event::ToolCall { .. }
            | Event::Opaque(_) => {
                self.end_text(out);
                out.push(event);
            }
            Event::Finished(mut finish) => {
                out.append(&mut self.finish_events());
                finish.stop_sequence = finish.stop_sequence.map(|text| self.vault.restored(&text));
                out.push(Event::Finished(finish));
            }
        }
    }

    fn end_text(&mut self, out: &mut Vec<Event>) {
        out.extend(spoken(self.text.finish()).map(Event::Text));
    }

    fn end_arguments(&mut self, out: &mut Vec<Event>) {
        for (index, mut channel) in std::mem::take(&mut self.arguments) {
            out.extend(spoken(channel.finish()).map(|fragment| Event::ToolArguments { index, fragment }));
        }
    }
}

fn spoken(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

impl Channel {
    fn new(writes: Writes) -> Self {
        Self { held: String::new(), writes }
    }

    fn push(&mut self, vault: &Vault, more: &str) -> String {
        let joined = if self.held.is_empty() {
            more.to_owned()
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.push_str(more);
            held
        };
        let first = &PREFIX[..1];
        let mut out = String::with_capacity(joined.len());
        let mut rest = joined.as_str();
        while let Some(at) = rest.find(first) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            match vault.begins(rest) {
                Begins::With { length, secret } => {
                    self.writes.append(&secret, &mut out);
                    rest = &rest[length..];
                }
                Begins::Perhaps => {
                    self.held = rest.to_owned();
                    return out;
                }
                Begins::Not => {
                    out.push_str(first);
                    rest = &rest[first.len()..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

impl Writes {
    fn append(self, secret: &str, out: &mut String) {
        match self {
            Self::Text => out.push_str(secret),
            Self::Json => {
                let json = serde_json::Value::from(secret).to_string();
                out.push_str(json.get(1..json.len() - 1).unwrap_or_default());
            }
        }
    }
}

impl fmt::Debug for Restorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Restorer([hidden])")
    }
}
