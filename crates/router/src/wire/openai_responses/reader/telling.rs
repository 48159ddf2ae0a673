//! What is told of an item: its text once, its call once, and that there are no words for it once.

use super::{
    ResponsesReader,
    items::{Channel, Item, Place},
    place_of,
};
use crate::{
    Event,
    wire::{
        lenient::{self, Members},
        openai_responses::{
            OWN_SEAL,
            seen::{Kind, What},
            tools,
        },
    },
};
use serde_json::json;

/// What an item counts against the limit on an answer, besides its text: there are some thousand in an answer at most.
pub(super) const ITEM_BYTES: usize = 4096;

impl ResponsesReader {
    /// An item in full: what was not told of it yet.
    pub(super) fn whole_item(&mut self, place: Place, item: &Members<'_>, events: &mut Vec<Event>) {
        let name = item.text("type").unwrap_or_default();
        let kind = self.kind_of(&name);
        let said = if kind == Kind::Message { one_text(item) } else { None };
        let known = self.items.known(kind, &place);
        let known = known.or_else(|| self.items.saying(kind, said.as_deref()?));
        match kind {
            Kind::Message => {
                let at = known.unwrap_or_else(|| self.begin(kind, place));
                if let Some(text) = item.text("content") {
                    self.rest(at, Channel::Content, 0, &text, events);
                }
                for (index, part) in item.list("content").into_iter().enumerate() {
                    self.whole_part(at, index as u64, &Members::of(Some(part)), events);
                }
            }
            Kind::Reasoning => {
                let at = known.unwrap_or_else(|| self.begin(kind, place));
                for (channel, name) in [(Channel::Summary, "summary"), (Channel::Content, "content")] {
                    for (index, part) in item.list(name).into_iter().enumerate() {
                        let text = Members::of(Some(part)).text("text").unwrap_or_default();
                        self.thought(at, channel, index as u64, |item| item.rest(channel, index as u64, &text), events);
                    }
                }
                let seal = item.text("encrypted_content").filter(|_| self.keeps_seals);
                if let Some(seal) = seal.filter(|_| !std::mem::replace(&mut self.items.get(at).is_opaque, true)) {
                    events.push(Event::ThinkingSignature(OWN_SEAL.to_owned() + &seal));
                }
            }
            Kind::Call => {
                let at = known.unwrap_or_else(|| self.call(place, item, events));
                self.whole_arguments(at, &all_arguments(item), events);
            }
            Kind::Foreign => {
                let at = known.unwrap_or_else(|| self.begin(kind, place));
                self.opaque(at, &name, events);
            }
        }
    }

    pub(super) fn whole_part(&mut self, at: usize, index: u64, part: &Members<'_>, events: &mut Vec<Event>) {
        let kind = part.text("type").unwrap_or_default();
        self.refuses |= kind == "refusal";
        let text = match kind.as_str() {
            "refusal" => part.text("refusal"),
            "output_text" | "text" | "" => part.text("text"),
            _ => None,
        };
        match text {
            Some(text) => self.rest(at, Channel::Content, index, &text, events),
            None => self.opaque(at, &kind, events),
        }
        if !part.list("annotations").is_empty() {
            self.opaque(at, "annotations", events);
        }
    }

    pub(super) fn kind_of(&self, name: &str) -> Kind {
        match name {
            // Where bytes do not pass, a tool with a text for input is a function with one argument.
            "custom_tool_call" if !self.raw => Kind::Call,
            name => Kind::of(name),
        }
    }

    pub(super) fn begin(&mut self, kind: Kind, place: Place) -> usize {
        self.bytes += ITEM_BYTES;
        let call = self.calls;
        self.calls += usize::from(kind == Kind::Call);
        self.items.begin(kind, place, call)
    }

    pub(super) fn call(&mut self, place: Place, item: &Members<'_>, events: &mut Vec<Event>) -> usize {
        let id = item.id("call_id").or_else(|| item.id("id")).unwrap_or_default();
        let name = tools::flat(item.text("namespace").as_deref(), &item.text("name").unwrap_or_default());
        let at = self.begin(Kind::Call, place);
        events.push(Event::ToolCall { index: self.items.get(at).call, id, name });
        at
    }

    /// Once for an item, whatever else of it comes.
    pub(super) fn opaque(&mut self, at: usize, what: &str, events: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.items.get(at).is_opaque, true) {
            let what = if what.is_empty() { "an item without a type" } else { what };
            events.push(Event::Opaque(what.to_owned()));
        }
    }

    pub(super) fn rest(&mut self, at: usize, channel: Channel, index: u64, whole: &str, events: &mut Vec<Event>) {
        let rest = self.items.get(at).rest(channel, index, whole);
        events.extend(Some(rest).filter(|rest| !rest.is_empty()).map(Event::Text));
    }

    /// More of a thought; a line between it and the thought before.
    pub(super) fn thought(
        &mut self,
        at: usize,
        channel: Channel,
        index: u64,
        more: impl FnOnce(&mut Item) -> String,
        events: &mut Vec<Event>,
    ) {
        let item = self.items.get(at);
        let goes_on = item.goes_on_in(channel, index);
        let text = more(item);
        if !text.is_empty() {
            events.extend(goes_on.then(|| Event::Thinking("\n\n".to_owned())));
            events.push(Event::Thinking(text));
        }
    }

    /// All arguments of a call: what was not told of them yet.
    pub(super) fn whole_arguments(&mut self, at: usize, arguments: &str, events: &mut Vec<Event>) {
        let item = self.items.get(at);
        let nothing = item.told(Channel::Arguments, 0).trim().is_empty() && arguments.trim().is_empty();
        let fragment = item.rest(Channel::Arguments, 0, if nothing { "{}" } else { arguments });
        if !fragment.is_empty() {
            events.push(Event::ToolArguments { index: item.call, fragment });
        }
    }

    pub(super) fn added(&mut self, fields: &Members<'_>, events: &mut Vec<Event>) -> What {
        let item = fields.object("item");
        let name = item.text("type").unwrap_or_default();
        let place = place_of(fields.count("output_index"), &item);
        let kind = self.kind_of(&name);
        match kind {
            Kind::Call => {
                self.call(place, &item, events);
            }
            Kind::Foreign => {
                let at = self.items.known(kind, &place).unwrap_or_else(|| self.begin(kind, place));
                self.opaque(at, &name, events);
            }
            Kind::Message | Kind::Reasoning => {
                self.begin(kind, place);
            }
        }
        What::Item { kind: Kind::of(&name), id: item.id("id").unwrap_or_default() }
    }
}

/// All text of a message.
fn one_text(item: &Members<'_>) -> Option<String> {
    item.text("content").or_else(|| {
        let parts = item.list("content").into_iter().map(|part| Members::of(Some(part)));
        Some(parts.filter_map(|part| part.text("text").or_else(|| part.text("refusal"))).collect())
    })
}

/// Of a call, as JSON text: a text, the object itself as some servers send it, or what a custom tool is given.
pub(super) fn all_arguments(item: &Members<'_>) -> String {
    if let Some(input) = item.get("input") {
        return json!({"input": lenient::text(input).unwrap_or_else(|| input.get().to_owned())}).to_string();
    }
    let Some(arguments) = item.get("arguments") else { return String::new() };
    lenient::text(arguments).unwrap_or_else(|| arguments.get().to_owned())
}
