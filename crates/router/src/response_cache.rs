//! Whole answers kept for exactly the same request, for routes that ask for it.
//!
//! The same means: the same principal, route, egress policy, dialect, headers for the provider, and JSON body but for how
//! the answer is delivered (`stream`, `stream_options`) and whom it is for (`user`). Spelling of the JSON (order of keys,
//! white space, escapes) does not matter. Numbers must be spelt alike: taking two of them for one would be a wrong answer,
//! taking one for two costs a call. Only good answers are kept, and none is handed out past its age.

use crate::{Event, answer::Finish, answer::Usage, dialect::Dialect, quality::Flaw};
use bytes::Bytes;
use http::HeaderMap;
use protocol::FinishReason;
use quick_cache::{Weighter, unsync::Cache};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What a request is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

/// Who asks for what by which way.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub principal: &'a str,
    pub route: &'a str,
    pub egress: &'a str,
    pub dialect: Dialect,
    /// Those a provider of the same dialect is told.
    pub headers: &'a HeaderMap,
    /// JSON.
    pub body: &'a [u8],
}

impl Key {
    /// `None` for a body that is not a JSON object: then nothing is kept.
    pub fn of(question: &Question<'_>) -> Option<Self> {
        let Value::Object(mut request) = serde_json::from_slice(question.body).ok()? else { return None };
        for delivery in ["stream", "stream_options", "user"] {
            request.remove(delivery);
        }
        let request = serde_json::to_string(&sorted(Value::Object(request))).ok()?;
        let mut headers: Vec<_> =
            question.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        headers.sort_unstable();
        let mut digest = Sha256::new();
        // Lengths first, so that no two lists of fields look alike.
        let mut field = |bytes: &[u8]| {
            digest.update((bytes.len() as u64).to_be_bytes());
            digest.update(bytes);
        };
        field(question.principal.as_bytes());
        field(question.route.as_bytes());
        field(question.egress.as_bytes());
        field(format!("{:?}", question.dialect).as_bytes());
        field(request.as_bytes());
        for (name, value) in headers {
            field(name.as_bytes());
            field(value);
        }
        Some(Self(digest.finalize().into()))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2])
    }
}

/// Recursion is safe: the parser lets nothing deeper than 128 through. (RFC 8785 would do, but rounds whole numbers.)
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(String, Value)> = object.into_iter().collect();
            entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A whole answer and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub events: Vec<Event>,
    /// The provider's own whole body, where it came as one in the caller's dialect.
    pub body: Option<Bytes>,
    /// The events tell all of it, so that it may be told anew: as a stream, or without its body.
    pub is_told_whole: bool,
    pub provider: String,
    pub model: String,
    pub usage: Usage,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub answer: Arc<Answer>,
    /// For the answer's `Age`.
    pub age_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What all answers together may take. 64 MiB: some ten thousand answers of a page.
    pub limit_bytes: u64,
    /// How long an answer is handed out.
    pub longest_age: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit_bytes: 64 * 1024 * 1024, longest_age: Duration::from_secs(3600) }
    }
}

pub struct ResponseCache {
    options: Options,
    answers: Mutex<Cache<Key, Kept, ByBytes>>,
}

#[derive(Clone)]
struct Kept {
    answer: Arc<Answer>,
    since: Instant,
    bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, _key: &Key, kept: &Kept) -> u64 {
        kept.bytes
    }
}

impl ResponseCache {
    pub fn new(options: Options) -> Self {
        // A guess of how many there will be; it only sizes the first table.
        let answers = Cache::with_weighter(1024, options.limit_bytes, ByBytes);
        Self { options, answers: Mutex::new(answers) }
    }

    pub fn get(&self, key: &Key) -> Option<Hit> {
        let mut answers = self.lock();
        let kept = answers.get(key)?;
        let age = kept.since.elapsed();
        if age >= self.options.longest_age {
            answers.remove(key);
            return None;
        }
        Some(Hit { answer: kept.answer.clone(), age_s: age.as_secs() })
    }

    /// Keeps `answer` when it is whole, ended by the model's own will and has none of `flaws`.
    /// Says whether it did.
    pub fn put(&self, key: Key, answer: Answer, flaws: &[Flaw]) -> bool {
        let good = flaws.is_empty()
            && matches!(
                answer.events.last(),
                Some(Event::Finished(Finish { reason: FinishReason::Stop | FinishReason::ToolCalls, .. }))
            );
        if !good {
            return false;
        }
        let answer = Answer { events: joined(answer.events), ..answer };
        let bytes = bytes_of(&answer);
        // One answer must not push everything else out.
        if bytes > self.options.limit_bytes / 8 {
            return false;
        }
        self.lock().insert(key, Kept { answer: Arc::new(answer), since: Instant::now(), bytes });
        true
    }

    /// Forgets everything: after a change of routes or prices nobody knows what still holds.
    pub fn clear(&self) {
        self.lock().clear();
    }

    pub fn bytes(&self) -> u64 {
        self.lock().weight()
    }

    fn lock(&self) -> MutexGuard<'_, Cache<Key, Kept, ByBytes>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ResponseCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseCache({} of {} bytes)", self.bytes(), self.options.limit_bytes)
    }
}

/// The same answer in as few events as possible: a token each would weigh many times its text.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut few: Vec<Event> = Vec::new();
    for event in events {
        match (few.last_mut(), event) {
            (Some(Event::Text(text)), Event::Text(more))
            | (Some(Event::Thinking(text)), Event::Thinking(more))
            | (Some(Event::ThinkingSignature(text)), Event::ThinkingSignature(more)) => text.push_str(&more),
            (Some(Event::ToolArguments { index, fragment }), Event::ToolArguments { index: at, fragment: more })
                if *index == at =>
            {
                fragment.push_str(&more);
            }
            (_, event) => few.push(event),
        }
    }
    few.shrink_to_fit();
    few
}

/// About what it takes in memory.
fn bytes_of(answer: &Answer) -> u64 {
    let texts: usize = answer
        .events
        .iter()
        .map(|event| match event {
            Event::Started { id, model, .. } => {
                id.as_ref().map_or(0, String::len) + model.as_ref().map_or(0, String::len)
            }
            Event::Finished(finish) => finish.stop_sequence.as_ref().map_or(0, String::len),
            event => event.text_bytes(),
        })
        .sum();
    let texts = texts + answer.body.as_ref().map_or(0, Bytes::len);
    let frame = size_of::<Answer>() + size_of::<Kept>() + size_of::<Key>() + answer.events.len() * size_of::<Event>();
    (texts + frame + answer.provider.len() + answer.model.len()) as u64
}

#[cfg(test)]
mod tests;
