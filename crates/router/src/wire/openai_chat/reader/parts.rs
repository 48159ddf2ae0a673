//! What a message consists of: text, thoughts, and what only its vendor's clients understand.

use super::ChatReader;
use crate::{
    Event,
    http::failure::short,
    wire::{
        lenient::{Members, says_nothing},
        stream::Trouble,
    },
};
use serde_json::value::RawValue;

/// Fields of a message with content that is no text.
const FOREIGN: [&str; 5] = ["images", "audio", "video", "annotations", "citations"];

/// Content that there are no words for here; empty fields are none.
pub(super) fn foreign(delta: &Members<'_>) -> impl Iterator<Item = Event> {
    let there = |name: &&str| delta.get(name).is_some_and(|value| !says_nothing(value) && !is_transcript_alone(value));
    FOREIGN.into_iter().filter(there).map(|name| Event::Opaque(name.to_owned()))
}

/// Sound of which only the words came here, or what the sound is called.
fn is_transcript_alone(value: &RawValue) -> bool {
    let audio = Members::of(Some(value));
    let told = |name: &str| audio.get(name).is_some_and(|value| !says_nothing(value));
    audio.is_object() && told("transcript") && !told("data")
}

impl ChatReader {
    /// A text; nothing of anything else.
    pub(super) fn say(&mut self, text: &RawValue, events: &mut Vec<Event>) {
        let text = self.text.read(text);
        if !text.is_empty() {
            self.has_text = true;
            events.push(Event::Text(text));
        }
    }

    /// What is spoken, in words.
    pub(super) fn transcript(&mut self, delta: &Members<'_>, events: &mut Vec<Event>) {
        if let Some(text) = delta.object("audio").get("transcript").filter(|text| text.get().starts_with('"')) {
            self.say(text, events);
        }
    }

    fn thought(&mut self, text: &RawValue, events: &mut Vec<Event>) {
        let thought = self.thought.read(text);
        if !thought.is_empty() {
            self.has_thought = true;
            events.push(Event::Thinking(thought));
        }
    }

    /// Names of one thing: servers that send two of them send the same text.
    pub(super) fn think(&mut self, delta: &Members<'_>, events: &mut Vec<Event>) {
        let named = ["reasoning_content", "reasoning"].iter().filter_map(|name| delta.get(name));
        if let Some(text) = named.into_iter().find(|value| value.get().starts_with('"') && !says_nothing(value)) {
            return self.thought(text, events);
        }
        for detail in delta.list("reasoning_details") {
            let detail = Members::of(Some(detail));
            if let Some(text) = ["text", "summary"].iter().find_map(|name| detail.get(name)) {
                self.thought(text, events);
            }
        }
    }

    /// Text, or parts of which some are thoughts.
    pub(super) fn parts(&mut self, content: &RawValue, events: &mut Vec<Event>) -> Result<(), Trouble> {
        match content.get().as_bytes().first() {
            Some(b'"') => self.say(content, events),
            Some(b'[') => {
                let parts: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
                for part in parts {
                    self.part(part, events)?;
                }
            }
            _ if says_nothing(content) => {}
            Some(b'{') => self.part(content, events)?,
            _ => self.unread("content", content, events)?,
        }
        Ok(())
    }

    /// Mistral's thinking models answer in parts: `text`, and `thinking` with parts of its own.
    fn part(&mut self, value: &RawValue, events: &mut Vec<Event>) -> Result<(), Trouble> {
        if value.get().starts_with('"') {
            self.say(value, events);
            return Ok(());
        }
        let part = Members::of(Some(value));
        if !part.is_object() {
            return if says_nothing(value) { Ok(()) } else { self.unread("a part", value, events) };
        }
        let kind = part.text("type").unwrap_or_default();
        let text = part.get("text").or_else(|| part.get("refusal")).filter(|text| text.get().starts_with('"'));
        self.refuses |= kind == "refusal" && text.is_some();
        match (kind.as_str(), text) {
            ("text" | "output_text" | "refusal" | "", Some(text)) => self.say(text, events),
            ("text" | "output_text" | "refusal", None) if part.get("text").is_none() => {}
            ("thinking" | "reasoning", _) => {
                let Some(thinking) = part.get("thinking").or_else(|| part.get("text")) else { return Ok(()) };
                if thinking.get().starts_with('"') {
                    self.thought(thinking, events);
                }
                for inner in part.list("thinking") {
                    if let Some(text) = Members::of(Some(inner)).get("text") {
                        self.thought(text, events);
                    }
                }
            }
            ("", None) => return self.unread("a part", value, events),
            ("text" | "output_text" | "refusal", None) => return self.unread("a part", value, events),
            _ => events.push(Event::Opaque(format!("a part of the type `{}`", short(&kind)))),
        }
        events.extend(foreign(&part));
        Ok(())
    }
}
