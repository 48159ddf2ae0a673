//! Who sealed which thoughts. A seal is opened by who made it and by nobody else, and two vendors of one API make seals that
//! look alike.
//!
//! ```text
//!   an answer is whole ─▶ its seals are noted ─▶ the caller sends them back ─▶ to who made them: as they are
//!                                                                          └▶ to another provider: under that one's name
//! ```
//! What a provider without seals thought is sealed here with its name alone, because clients keep no thought without a seal.
//! Kept in memory: after a restart a seal passes as it did before it was known.

use crate::{
    Event,
    answer::{Block, Whole},
    dialect::{Asked, Dialect},
    json_object::Fields,
    wire::{
        lenient::{Members, text},
        openai_responses::{FOREIGN_SEAL, OWN_SEAL},
    },
};
use bytes::Bytes;
use quick_cache::sync::Cache;
use serde_json::{Value, value::RawValue};
use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// Begins a seal that only says whose thought it is. No vendor takes it for one of its own.
pub(crate) const NAMED: &str = "devmesh-thought.";

/// Seals that are remembered: some thousand conversations of many turns each.
const REMEMBERED: usize = 64 * 1024;

/// The seal of a thought whose provider makes none.
pub(crate) fn named(provider: &str) -> String {
    format!("{NAMED}{provider}")
}

pub(crate) struct Seals {
    hasher: RandomState,
    /// The provider by its seal's hash.
    makers: Cache<u64, Arc<str>>,
}

impl Default for Seals {
    fn default() -> Self {
        Self { hasher: RandomState::new(), makers: Cache::new(REMEMBERED) }
    }
}

impl Seals {
    /// Those of an answer that this provider gave.
    pub(crate) fn note(&self, whole: &Whole, provider: &str) {
        for block in &whole.blocks {
            let (Block::Thinking { signature: Some(seal), .. } | Block::RedactedThinking(seal)) = block else {
                continue;
            };
            if !seal.starts_with(NAMED) {
                self.makers.insert(self.hasher.hash_one(bare(seal)), provider.into());
            }
        }
    }

    /// Another provider that made it.
    fn other_maker(&self, seal: &str, provider: &str) -> Option<Arc<str>> {
        self.makers.get(&self.hasher.hash_one(bare(seal))).filter(|maker| **maker != *provider)
    }

    /// The request as this provider may be told it: seals of others are their names.
    pub(crate) fn told_to(&self, provider: &str, asked: &Arc<Asked>) -> Arc<Asked> {
        let changed = || {
            let body = self.renamed(provider, asked)?;
            Asked::new(asked.dialect, body, asked.headers.clone()).ok()
        };
        changed().map_or_else(|| asked.clone(), Arc::new)
    }

    fn renamed(&self, provider: &str, asked: &Asked) -> Option<Bytes> {
        let has_seals = matches!(asked.dialect, Dialect::OpenAiResponses | Dialect::Anthropic);
        if !has_seals || self.makers.is_empty() {
            return None;
        }
        let fields = Fields::of(&asked.body).ok()?;
        let mut seals: Vec<(&str, String)> = Vec::new();
        for seal in seals_in(asked.dialect, &fields) {
            let Some(maker) = text(seal).and_then(|seal| self.other_maker(&seal, provider)) else { continue };
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
