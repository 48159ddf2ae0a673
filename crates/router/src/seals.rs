//! Who thought what. A seal is opened by who made it and by nobody else, and two vendors of one API make seals that look alike.
//! The API of chat completions has no seals: there a thought's own words tell whose it is.
//!
//! ```text
//!   an answer is whole ─▶ its seals and ─▶ the caller sends them back ─▶ to who made them: as they are
//!                         thoughts noted                             ├▶ to another provider: seals under that one's name
//!                                                                    └▶                      thoughts without seals not at all
//! ```
//! What a provider without seals thought is sealed here with its name alone, because clients keep no thought without a seal.
//! Kept in memory: after a restart seals and thoughts pass as they did before they were known.

use crate::{
    Event,
    answer::{Block, Whole},
    dialect::{Asked, Dialect},
    json_object::Fields,
    wire::{
        lenient::{Members, text},
        openai_chat::thoughts as chat_thoughts,
        openai_responses::{FOREIGN_SEAL, OWN_SEAL},
    },
};
use bytes::Bytes;
use memchr::memmem;
use quick_cache::sync::Cache;
use serde_json::{Value, value::RawValue};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// Begins a seal that only says whose thought it is. No vendor takes it for one of its own.
pub(crate) const NAMED: &str = "devmesh-thought.";

/// Seals and thoughts that are remembered: some thousand conversations of many turns each.
const REMEMBERED: usize = 64 * 1024;

/// The seal of a thought whose provider makes none.
pub(crate) fn named(provider: &str) -> String {
    format!("{NAMED}{provider}")
}

/// What shows who made it.
#[derive(Hash)]
enum Made<'a> {
    Seal(&'a str),
    Thought(&'a str),
}

pub(crate) struct Seals {
    hasher: RandomState,
    /// The provider by the hash of what it made.
    makers: Cache<u64, Arc<str>>,
}

impl Default for Seals {
    fn default() -> Self {
        Self { hasher: RandomState::new(), makers: Cache::new(REMEMBERED) }
    }
}

impl Seals {
    /// Those of an answer that this provider gave, and all of its thoughts as one text.
    pub(crate) fn note(&self, whole: &Whole, provider: &str) {
        for block in &whole.blocks {
            let (Block::Thinking { signature: Some(seal), .. } | Block::RedactedThinking(seal)) = block else {
                continue;
            };
            if !seal.starts_with(NAMED) {
                self.makers.insert(self.hash(&Made::Seal(bare(seal))), provider.into());
            }
        }
        let thoughts = whole.blocks.iter().filter_map(|block| match block {
            Block::Thinking { text, .. } => Some(text.as_str()),
            _ => None,
        });
        let thoughts: String = thoughts.collect();
        if !thoughts.trim().is_empty() {
            self.makers.insert(self.hash(&Made::Thought(thoughts.trim())), provider.into());
        }
    }

    fn hash(&self, made: &Made<'_>) -> u64 {
        self.hasher.hash_one(made)
    }

    /// Another provider that made it.
    fn other_maker(&self, made: &Made<'_>, provider: &str) -> Option<Arc<str>> {
        self.makers.get(&self.hash(made)).filter(|maker| **maker != *provider)
    }

    /// The request as this provider may be told it: seals of others are their names, and thoughts of others are left out.
    pub(crate) fn told_to(&self, provider: &str, asked: &Arc<Asked>) -> Arc<Asked> {
        let changed = || {
            let body = match asked.dialect {
                _ if self.makers.is_empty() => None,
                Dialect::OpenAiResponses | Dialect::Anthropic => self.renamed(provider, asked),
                Dialect::OpenAiChat => self.without_thoughts(provider, asked),
                _ => None,
            }?;
            Asked::new(asked.dialect, body, asked.headers.clone()).ok()
        };
        changed().map_or_else(|| asked.clone(), Arc::new)
    }

    fn renamed(&self, provider: &str, asked: &Asked) -> Option<Bytes> {
        let fields = Fields::of(&asked.body).ok()?;
        let mut seals: Vec<(&str, String)> = Vec::new();
        for seal in seals_in(asked.dialect, &fields) {
            let Some(maker) = text(seal).and_then(|seal| self.other_maker(&Made::Seal(bare(&seal)), provider)) else {
                continue;
            };
            let named = match asked.dialect {
                Dialect::OpenAiResponses => format!("{FOREIGN_SEAL}{NAMED}{maker}"),
                _ => named(&maker),
            };
            seals.push((seal.get(), Value::from(named).to_string()));
        }
        if seals.is_empty() {
            return None;
        }
        let mut body = std::str::from_utf8(&asked.body).ok()?.to_owned();
        for (seal, named) in seals {
            body = body.replace(seal, &named);
        }
        Some(body.into())
    }

    /// A chat's request in which assistants' messages that others made have no thoughts.
    fn without_thoughts(&self, provider: &str, asked: &Asked) -> Option<Bytes> {
        if ["\"reasoning", "\"thinking"].iter().all(|name| memmem::find(&asked.body, name.as_bytes()).is_none()) {
            return None;
        }
        let fields = Fields::of(&asked.body).ok()?;
        let mut has_changed = false;
        let messages = fields.read::<Vec<&RawValue>>("messages")?.into_iter().map(|message| {
            let told = chat_thoughts::of(message)
                .filter(|thought| self.other_maker(&Made::Thought(thought.trim()), provider).is_some())
                .and_then(|_| chat_thoughts::without(message));
            has_changed |= told.is_some();
            told.unwrap_or_else(|| message.get().to_owned())
        });
        let messages = messages.collect::<Vec<_>>().join(",");
        has_changed.then(|| fields.with(&[("messages", &format!("[{messages}]"))]))
    }
}

/// Without what marks whose it is between wires.
fn bare(seal: &str) -> &str {
    seal.strip_prefix(OWN_SEAL).or_else(|| seal.strip_prefix(FOREIGN_SEAL)).unwrap_or(seal)
}

fn seals_in<'a>(dialect: Dialect, fields: &Fields<'a>) -> Vec<&'a RawValue> {
    let list = |name: &str| fields.read::<Vec<&'a RawValue>>(name).unwrap_or_default();
    match dialect {
        Dialect::OpenAiResponses => {
            list("input").into_iter().filter_map(|item| Members::of(Some(item)).get("encrypted_content")).collect()
        }
        Dialect::Anthropic => {
            let blocks = list("messages").into_iter().flat_map(|message| Members::of(Some(message)).list("content"));
            let seal = |block: &'a RawValue| {
                let block = Members::of(Some(block));
                match block.text("type").as_deref() {
                    Some("thinking") => block.get("signature"),
                    Some("redacted_thinking") => block.get("data"),
                    _ => None,
                }
            };
            blocks.filter_map(seal).collect()
        }
        _ => Vec::new(),
    }
}

/// Seals what a provider without seals thought, as soon as something else follows.
#[derive(Debug, Default)]
pub(crate) struct Sealing {
    is_open: bool,
}

impl Sealing {
    pub(crate) fn sealed(&mut self, events: Vec<Event>, provider: &str) -> Vec<Event> {
        let ends = |event: &Event| {
            event.is_content() && !matches!(event, Event::Thinking(_)) || matches!(event, Event::Finished(_))
        };
        if !self.is_open && !events.iter().any(|event| matches!(event, Event::Thinking(_))) {
            return events;
        }
        let mut sealed = Vec::with_capacity(events.len() + 1);
        for event in events {
            match &event {
                Event::Thinking(text) if !text.is_empty() => self.is_open = true,
                Event::ThinkingSignature(_) => self.is_open = false,
                event if ends(event) && std::mem::take(&mut self.is_open) => {
                    sealed.push(Event::ThinkingSignature(named(provider)));
                }
                _ => {}
            }
            sealed.push(event);
        }
        sealed
    }
}
