//! A JSON body with the places of its strings, so that they can be changed and nothing else.
//!
//! Every member stays, also those of the same name: which of them a provider reads is not known here.

use super::patterns::{self, Patterns};
use crate::Error;
use serde::de::IgnoredAny;
use std::{borrow::Cow, ops::Range};

pub(super) struct Body<'a> {
    root: Node<'a>,
}

pub(super) struct Node<'a> {
    /// Of the JSON text, quotes included.
    pub(super) span: Range<usize>,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Vec<(Node<'a>, Node<'a>)>),
    Other,
}

/// As deep as the parsers of other dialects go.
const DEEPEST: usize = 128;

impl<'a> Body<'a> {
    /// # Errors
    /// [`Error::Uncheckable`] for what is no JSON.
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let no_json = || Error::Uncheckable { pointer: String::new(), what: "a body that is no JSON" };
        let text = std::str::from_utf8(body).map_err(|_| no_json())?;
        serde_json::from_str::<IgnoredAny>(text).map_err(|_| no_json())?;
        let mut reader = Reader { text, at: 0 };
        Ok(Self { root: reader.node(0).ok_or_else(no_json)? })
    }

    /// Keys and values in the order of the text.
    pub(super) fn strings(&self) -> Vec<&Node<'a>> {
        let mut strings = Vec::new();
        self.root.visit(&mut |node| {
            if matches!(node.kind, Kind::Text(_)) {
                strings.push(node);
            }
        });
        strings
    }

    /// Members whose value is a string.
    pub(super) fn members(&self) -> Vec<(&str, &Node<'a>)> {
        let mut members = Vec::new();
        self.root.visit(&mut |node| {
            if let Kind::Object(entries) = &node.kind {
                let texts = entries.iter().filter(|(_, value)| matches!(value.kind, Kind::Text(_)));
                members.extend(texts.map(|(key, value)| (key.text(), value)));
            }
        });
        members
    }

    /// The texts of neighbouring parts of a message: a model reads them as one.
    pub(super) fn adjacent_texts(&self) -> Vec<Vec<&Node<'a>>> {
        let mut runs = Vec::new();
        self.root.visit(&mut |node| {
            let Kind::List(list) = &node.kind else { return };
            let mut run = Vec::new();
            for part in list {
                match part.get("text") {
                    Some(text) if matches!(text.kind, Kind::Text(_)) => run.push(text),
                    _ => runs.push(std::mem::take(&mut run)),
                }
            }
            runs.push(run);
        });
        runs.retain(|run| run.len() > 1);
        runs
    }

    /// # Errors
    /// [`Error::Uncheckable`] for the first thing that is no text.
    pub(super) fn refuse_what_cannot_be_read(&self, patterns: &Patterns) -> Result<(), Error> {
        let mut refused = None;
        self.root.visit(&mut |node| {
            if refused.is_none()
                && let Some(what) = node.unreadable(patterns)
            {
                refused = Some(self.uncheckable(node, what));
            }
        });
        refused.map_or(Ok(()), Err)
    }

    pub(super) fn uncheckable(&self, node: &Node<'_>, what: &'static str) -> Error {
        let mut pointer = String::new();
        self.root.point_at(&node.span, &mut pointer);
        Error::Uncheckable { pointer, what }
    }
}

impl<'a> Node<'a> {
    /// Empty for what is no string.
    pub(super) fn text(&self) -> &str {
        if let Kind::Text(text) = &self.kind { text } else { "" }
    }

    /// The last one of that name.
    fn get(&self, name: &str) -> Option<&Self> {
        let Kind::Object(entries) = &self.kind else { return None };
        entries.iter().rev().find(|(key, _)| key.text() == name).map(|(_, value)| value)
    }

    fn all<'n>(&'n self, name: &'n str) -> impl Iterator<Item = &'n Self> {
        let entries = if let Kind::Object(entries) = &self.kind { entries.as_slice() } else { &[] };
        entries.iter().filter(move |(key, _)| key.text() == name).map(|(_, value)| value)
    }

    fn visit<'n>(&'n self, see: &mut impl FnMut(&'n Self)) {
        see(self);
        match &self.kind {
            Kind::List(list) => list.iter().for_each(|node| node.visit(see)),
            Kind::Object(entries) => entries.iter().for_each(|(key, value)| {
                key.visit(see);
                value.visit(see);
            }),
            Kind::Text(_) | Kind::Other => {}
        }
    }

    /// What this is, when its content cannot be read as text here. Thinking that only its provider can read is let off: it
    /// was written there.
    fn unreadable(&self, patterns: &Patterns) -> Option<&'static str> {
        match &self.kind {
            Kind::Object(entries) => self
                .all("type")
                .find_map(|kind| self.unreadable_part(kind.text()))
                .or_else(|| entries.iter().find_map(|(key, value)| unreadable_member(key.text(), value)))
                .or_else(|| {
                    let is_opaque = |name: &str| {
                        matches!(name, "signature" | "encrypted_content" | "thought_signature")
                            || name == "data" && self.all("type").any(|kind| kind.text() == "redacted_thinking")
                    };
                    entries
                        .iter()
                        .any(|(key, value)| !is_opaque(key.text()) && patterns::is_base64(value.text()))
                        .then_some("encoded data")
                }),
            Kind::List(list) if list.iter().any(|node| patterns::is_base64(node.text())) => Some("encoded data"),
            Kind::Text(text) if patterns.is_data_url(text) => Some("encoded data"),
            _ => None,
        }
    }

    /// Parts of messages, of every dialect.
    fn unreadable_part(&self, kind: &str) -> Option<&'static str> {
        match kind {
            "image" | "image_url" | "input_image" => Some("a picture"),
            "audio" | "input_audio" => Some("sound"),
            "video" | "video_url" | "input_video" => Some("a film"),
            "file" | "input_file" | "container_upload" | "base64" => Some("a file"),
            "document" => {
                let readable = |source: &Self| {
                    source.all("type").all(|kind| matches!(kind.text(), "text" | "content"))
                        && source.get("type").is_some()
                };
                let mut sources = self.all("source").peekable();
                (sources.peek().is_none() || !sources.all(readable)).then_some("a file")
            }
            _ => None,
        }
    }

    /// Appends the JSON pointer of the node at `span`.
    fn point_at(&self, span: &Range<usize>, pointer: &mut String) {
        let holds = |node: &Self| node.span.start <= span.start && span.end <= node.span.end;
        match &self.kind {
            Kind::List(list) => {
                if let Some((at, node)) = list.iter().enumerate().find(|(_, node)| holds(node)) {
                    pointer.push_str(&format!("/{at}"));
                    node.point_at(span, pointer);
                }
            }
            Kind::Object(entries) => {
                if let Some((key, value)) = entries.iter().find(|(key, value)| holds(key) || holds(value)) {
                    // A key may be a secret itself; the fields of the dialects are short words.
                    let name = key.text();
                    let plain = name.len() <= 24 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                    pointer.push('/');
                    pointer.push_str(if plain { name } else { "…" });
                    value.point_at(span, pointer);
                }
            }
            Kind::Text(_) | Kind::Other => {}
        }
    }
}

fn unreadable_member(key: &str, value: &Node<'_>) -> Option<&'static str> {
    match (key, &value.kind) {
        // Ollama's.
        ("images", Kind::List(list)) if list.iter().any(|node| matches!(node.kind, Kind::Text(_))) => Some("a picture"),
        ("file_data" | "file_id", Kind::Text(_)) => Some("a file"),
        // Base64 of an Anthropic source whose type was left out or is new.
        ("media_type", Kind::Text(media_type)) if !media_type.starts_with("text/") => Some("a file"),
        _ => None,
    }
}

/// Reads what is known to be JSON.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn node(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > DEEPEST {
            return None;
        }
        let first = self.peek()?;
        let start = self.at;
        let kind = match first {
            b'"' => return self.string(),
            b'[' => {
                self.at += 1;
                let mut list = Vec::new();
                while self.peek()? != b']' {
                    list.push(self.node(depth + 1)?);
                    self.skip(b',');
                }
                self.at += 1;
                Kind::List(list)
            }
            b'{' => {
                self.at += 1;
                let mut entries = Vec::new();
                while self.peek()? != b'}' {
                    let key = self.string()?;
                    self.skip(b':');
                    entries.push((key, self.node(depth + 1)?));
                    self.skip(b',');
                }
                self.at += 1;
                Kind::Object(entries)
            }
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                self.at += rest
                    .iter()
                    .take_while(|byte| !matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'))
                    .count();
                Kind::Other
            }
        };
        (self.at > start).then_some(Node { span: start..self.at, kind })
    }

    fn string(&mut self) -> Option<Node<'a>> {
        self.peek().filter(|byte| *byte == b'"')?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escapes = false;
        let mut end = start + 1;
        loop {
            match bytes.get(end)? {
                b'"' => break,
                b'\\' => {
                    escapes = true;
                    end += 2;
                }
                _ => end += 1,
            }
        }
        self.at = end + 1;
        let text = if escapes {
            // Fails for half of a surrogate pair: no text, so it cannot be looked through.
            Cow::Owned(serde_json::from_str::<String>(self.text.get(start..self.at)?).ok()?)
        } else {
            Cow::Borrowed(self.text.get(start + 1..end)?)
        };
        Some(Node { span: start..self.at, kind: Kind::Text(text) })
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, byte: u8) {
        if self.peek() == Some(byte) {
            self.at += 1;
        }
    }
}
