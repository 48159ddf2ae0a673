//! Messages as the vendor wants them: users and assistants in turn, results of tools together and first.

use crate::{
    Conversation,
    conversation::{Document, Image, Part},
    wire::anthropic::{input, sealed},
};
use protocol::Role;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Serialize)]
pub(crate) struct Said<'a> {
    role: &'static str,
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Content<'a> {
    Text(Cow<'a, str>),
    Blocks(Vec<Block<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Block<'a> {
    Text {
        text: Cow<'a, str>,
    },
    Image {
        source: Source<'a>,
    },
    Document {
        source: Source<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Box<RawValue>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        content: Option<Content<'a>>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Text { media_type: &'static str, data: &'a str },
    Url { url: &'a str },
}

/// What the vendor has no place for, in words for people: pictures and documents belong to users.
pub(crate) fn unfit(conversation: &Conversation) -> Option<String> {
    conversation.shown_by(&[Role::Assistant, Role::System])
}

/// All system messages, and what this request adds to them.
pub(crate) fn system(conversation: &Conversation, added: Option<String>) -> Option<Content<'_>> {
    let messages = conversation.messages.iter().filter(|message| message.role == Role::System);
    let texts = messages.flat_map(|message| &message.parts).filter_map(|part| match part {
        Part::Text(text) if !text.trim().is_empty() => Some(Cow::Borrowed(text.as_str())),
        _ => None,
    });
    content(texts.chain(added.map(Cow::Owned)).map(|text| Block::Text { text }).collect())
}

/// The messages, and the white space taken from the end of an answer that is to be gone on with.
pub(crate) fn of(conversation: &Conversation) -> (Vec<Said<'_>>, String) {
    let mut turns: Vec<(&'static str, Vec<Block<'_>>)> = Vec::new();
    for message in &conversation.messages {
        let role = match message.role {
            Role::System => continue,
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        };
        let blocks = message.parts.iter().filter_map(|part| block(part, role == "assistant"));
        match turns.last_mut() {
            Some((last, turn)) if *last == role => turn.extend(blocks),
            _ => turns.push((role, blocks.collect())),
        }
    }
    for (_, blocks) in &mut turns {
        // Stable: only results of tools move, to where the calls before them want them.
        blocks.sort_by_key(|block| !matches!(block, Block::ToolResult { .. }));
    }
    let held_back = match turns.last_mut() {
        Some(("assistant", blocks)) => hold_back(blocks),
        _ => String::new(),
    };
    let said = turns.into_iter().filter_map(|(role, blocks)| Some(Said { role, content: content(blocks)? }));
    (said.collect(), held_back)
}

fn hold_back(blocks: &mut Vec<Block<'_>>) -> String {
    let Some(Block::Text { text }) = blocks.last_mut() else { return String::new() };
    let kept = text.trim_end().len();
    let held_back = text[kept..].to_owned();
    if !held_back.is_empty() {
        text.to_mut().truncate(kept);
    }
    held_back
}

/// A single text needs no list. `None` when there is nothing, which the vendor refuses.
fn content(mut blocks: Vec<Block<'_>>) -> Option<Content<'_>> {
    match blocks.as_mut_slice() {
        [] => None,
        [Block::Text { text }] => Some(Content::Text(std::mem::take(text))),
        _ => Some(Content::Blocks(blocks)),
    }
}

/// `None` for what the vendor refuses: texts without a visible character, thoughts that it did not seal because another
/// model had them, and what [`unfit`] names.
fn block(part: &Part, assistant: bool) -> Option<Block<'_>> {
    Some(match part {
        Part::Text(text) if text.trim().is_empty() => return None,
        Part::Text(text) => Block::Text { text: text.as_str().into() },
        Part::Image(_) | Part::Document { .. } if assistant => return None,
        Part::Image(Image::Base64 { media_type, data }) => Block::Image { source: Source::Base64 { media_type, data } },
        Part::Image(Image::Url(url)) => Block::Image { source: Source::Url { url } },
        Part::Document { name, media_type, content } => Block::Document {
            source: match content {
                Document::Text(text) => Source::Text { media_type: "text/plain", data: text },
                Document::Base64(data) => Source::Base64 { media_type, data },
                Document::Url(url) => Source::Url { url },
            },
            title: name.as_deref(),
        },
        Part::Thinking { text, signature } => {
            let signature = signature.as_deref().filter(|seal| sealed::is_own(seal))?;
            Block::Thinking { thinking: text, signature }
        }
        Part::RedactedThinking { data } => {
            return sealed::is_own(data).then_some(Block::RedactedThinking { data });
        }
        Part::ToolCall { id, name, arguments } => Block::ToolUse { id: self::id(id), name, input: input(arguments) },
        Part::ToolResult { call_id, parts, is_error } => Block::ToolResult {
            tool_use_id: id(call_id),
            content: content(parts.iter().filter_map(|part| block(part, false)).collect()),
            is_error: *is_error,
        },
    })
}

/// The vendor's ids have letters, digits, `_` and `-`; others' have dots and colons, too.
fn id(id: &str) -> Cow<'_, str> {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    if !id.is_empty() && id.chars().all(fits) {
        return id.into();
    }
    let mut fitting: String = id.chars().map(|character| if fits(character) { character } else { '_' }).collect();
    if fitting.is_empty() {
        fitting.push('_');
    }
    fitting.into()
}
