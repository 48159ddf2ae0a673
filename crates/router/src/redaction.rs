//! Secrets stay here although the request leaves.
//!
//! ```text
//!   body ──Redactor──▶ secrets became placeholders ──▶ provider
//!   caller ◀──Restorer── placeholders became secrets ◀── answer, in whatever pieces
//! ```
//!
//! One [`Redactor`] serves all attempts of one model call: the same secret has the same placeholder in each of them, and the
//! placeholders of one call mean nothing in another. [`Guard`] puts it between an endpoint and the wire.
//!
//! It fails closed: what cannot be looked through (pictures, sound, files, encoded data, a body that is no JSON, a secret cut
//! in two by the parts of a message) is refused, never sent on a guess. What it cannot see it cannot keep: a secret that
//! looks like any other word, or one that the caller has written in a code of their own.

mod body;
mod guard;
mod patterns;
mod restore;
mod vault;

use crate::Error;
use body::{Body, Node};
use bytes::{Bytes, BytesMut};
pub use guard::{Departure, Guard, Record};
pub use patterns::Patterns;
pub use restore::Restorer;
use std::{collections::BTreeMap, fmt, ops::Range, sync::Arc};
use vault::Vault;

pub struct Redactor {
    patterns: Arc<Patterns>,
    vault: Arc<Vault>,
}

/// A body that may leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redacted {
    pub body: Bytes,
    /// How many places were replaced.
    pub count: usize,
}

impl Redactor {
    pub fn new(patterns: Arc<Patterns>) -> Self {
        Self { patterns, vault: Arc::new(Vault::default()) }
    }

    /// The body without its secrets. Every byte that is not part of a string with a secret stays as it was. Takes time linear
    /// in the body; big ones belong on a thread that may block.
    ///
    /// # Errors
    /// [`Error::Uncheckable`] with the place.
    pub fn redact(&self, body: &Bytes) -> Result<Redacted, Error> {
        let parsed = Body::parse(body)?;
        parsed.refuse_what_cannot_be_read(&self.patterns)?;
        let strings = parsed.strings();
        self.vault.draw_nonce(&strings)?;
        let mut secrets = self.find(&parsed, &strings)?;
        self.find_again(&strings, &mut secrets)?;
        self.replace(body, &parsed, &strings, &secrets)
    }

    /// For the answer to what was redacted, one per attempt.
    pub fn restorer(&self) -> Restorer {
        Restorer::new(self.vault.clone())
    }

    /// Where secrets are, by string; sorted and not overlapping.
    fn find(&self, body: &Body<'_>, strings: &[&Node<'_>]) -> Result<Found, Error> {
        let mut found = Found::new();
        let mut add = |node: &Node<'_>, spans: Vec<Range<usize>>| {
            if !spans.is_empty() {
                found.entry(node.span.start).or_default().extend(spans);
            }
        };
        for node in strings {
            add(node, self.patterns.find(node.text()));
        }
        for (key, node) in body.members() {
            if self.patterns.names_a_secret(key, node.text()) {
                add(node, std::iter::once(0..node.text().len()).collect());
            }
        }
        for parts in body.adjacent_texts() {
            let joined: String = parts.iter().map(|node| node.text()).collect();
            for span in self.patterns.find(&joined) {
                let mut start = 0;
                for node in &parts {
                    let part = start..start + node.text().len();
                    start = part.end;
                    if span.start >= part.start && span.end <= part.end {
                        add(node, std::iter::once(span.start - part.start..span.end - part.start).collect());
                    } else if span.start < part.end && span.end > part.start {
                        return Err(body.uncheckable(node, "a secret that is spread over several parts"));
                    }
                }
            }
        }
        for spans in found.values_mut() {
            merge(spans);
        }
        Ok(found)
    }

    /// A secret that was told by what stands before it is one wherever else it stands.
    fn find_again(&self, strings: &[&Node<'_>], found: &mut Found) -> Result<(), Error> {
        let known: Vec<&str> = {
            let mut known: Vec<&str> = strings
                .iter()
                .filter_map(|node| found.get(&node.span.start).map(|spans| (node, spans)))
                .flat_map(|(node, spans)| spans.iter().filter_map(|span| node.text().get(span.clone())))
                .filter(|secret| KNOWN_ANYWHERE_BYTES.contains(&secret.len()))
                .collect();
            known.sort_unstable();
            known.dedup();
            known
        };
        if known.is_empty() {
            return Ok(());
        }
        let too_many = || Error::Uncheckable { pointer: String::new(), what: "a great number of secrets" };
        if known.len() > MOST_KNOWN {
            return Err(too_many());
        }
        let everywhere = aho_corasick::AhoCorasick::builder()
            .match_kind(aho_corasick::MatchKind::LeftmostLongest)
            .build(&known)
            .map_err(|_| too_many())?;
        for node in strings {
            let again: Vec<_> = everywhere.find_iter(node.text()).map(|found| found.range()).collect();
            if !again.is_empty() {
                let spans = found.entry(node.span.start).or_default();
                spans.extend(again);
                merge(spans);
            }
        }
        Ok(())
    }

    fn replace(
        &self,
        body: &Bytes,
        parsed: &Body<'_>,
        strings: &[&Node<'_>],
        found: &Found,
    ) -> Result<Redacted, Error> {
        if found.is_empty() {
            return Ok(Redacted { body: body.clone(), count: 0 });
        }
        let mut out = BytesMut::with_capacity(body.len() + 1024);
        let (mut from, mut count) = (0, 0);
        for node in strings {
            let Some(spans) = found.get(&node.span.start) else { continue };
            let text = node.text();
            let mut replaced = String::with_capacity(text.len());
            let mut at = 0;
            for span in spans {
                let (Some(before), Some(secret)) = (text.get(at..span.start), text.get(span.clone())) else {
                    return Err(parsed.uncheckable(node, "a secret that is no whole characters"));
                };
                replaced.push_str(before);
                at = span.end;
                // The router sends an answer's beginning back to have it gone on with: then ours are in it already.
                if self.vault.is_placeholder(secret) {
                    replaced.push_str(secret);
                } else {
                    replaced.push_str(&self.vault.placeholder(secret));
                    count += 1;
                }
            }
            replaced.push_str(text.get(at..).unwrap_or_default());
            out.extend_from_slice(&body[from..node.span.start]);
            out.extend_from_slice(serde_json::Value::from(replaced).to_string().as_bytes());
            from = node.span.end;
        }
        out.extend_from_slice(&body[from..]);
        Ok(Redacted { body: out.freeze(), count })
    }
}

/// Secrets by where their string begins in the body.
type Found = BTreeMap<usize, Vec<Range<usize>>>;

/// Shorter ones are words as well, and replacing them everywhere would hide the text. Longer ones have a shape of their own.
const KNOWN_ANYWHERE_BYTES: std::ops::RangeInclusive<usize> = 8..=512;
/// Together with their length this bounds the automaton that looks for all of them to some tens of MiB.
const MOST_KNOWN: usize = 10_000;

/// Sorted, and those that overlap made one.
fn merge(spans: &mut Vec<Range<usize>>) {
    spans.retain(|span| !span.is_empty());
    spans.sort_unstable_by_key(|span| (span.start, span.end));
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans.drain(..) {
        match merged.last_mut() {
            Some(last) if span.start < last.end => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    *spans = merged;
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor([hidden])")
    }
}

#[cfg(test)]
mod tests;
