//! A sound answer before any dialect, and the pieces dialects cut it into.

use super::{
    FaultyModel, Wire, anthropic, ollama, openai_chat, openai_completions, openai_responses,
    reply::{BETWEEN, Refusal, Reply},
};
use bytes::Bytes;
use protocol::FinishReason;
use serde_json::Value;

/// Seconds since 1970 at which every answer was made.
pub(super) const CREATED_S: u64 = 1_767_323_045;

/// Of an argument's JSON, in characters: about what a token holds.
const FRAGMENT_CHARACTERS: usize = 8;

/// What is sent at once.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) kind: Kind,
    pub(super) bytes: Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing of the answer itself.
    Metadata,
    Token,
    /// Says that and why the answer ends.
    Finish,
    /// The dialect's last word.
    Done,
}

impl Piece {
    pub(super) fn new(kind: Kind, bytes: impl Into<Bytes>) -> Self {
        Self { kind, bytes: bytes.into() }
    }

    /// A server-sent event without a name.
    pub(super) fn data(kind: Kind, data: &Value) -> Self {
        Self::new(kind, format!("data: {data}\n\n"))
    }

    /// A server-sent event with the name that its data has as `type`.
    pub(super) fn event(kind: Kind, data: &Value) -> Self {
        let name = data["type"].as_str().expect("an event's type");
        Self::new(kind, format!("event: {name}\ndata: {data}\n\n"))
    }

    pub(super) fn line(kind: Kind, line: &Value) -> Self {
        Self::new(kind, format!("{line}\n"))
    }
}

/// What a dialect writes an answer from.
#[derive(Debug)]
pub(super) struct Answer<'a> {
    pub(super) reply: &'a Reply,
    pub(super) request: &'a Value,
    /// Without query.
    pub(super) path: &'a str,
    pub(super) model: &'a str,
    /// Counts the requests from 0, so that ids differ.
    pub(super) number: usize,
}

impl Answer<'_> {
    pub(super) fn id(&self, prefix: &str) -> String {
        format!("{prefix}faulty{:08}", self.number)
    }

    pub(super) fn call_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}faulty{:08}{index:02}", self.number)
    }

    pub(super) fn finish(&self) -> FinishReason {
        let natural = if self.reply.tools.is_empty() { FinishReason::Stop } else { FinishReason::ToolCalls };
        self.reply.finish.unwrap_or(natural)
    }

    pub(super) fn thinking_tokens(&self) -> u64 {
        words(&self.reply.thinking).count() as u64
    }

    pub(super) fn usage(&self) -> (u64, u64) {
        let counted = || {
            let calls: usize = self.reply.tools.iter().map(|(_, arguments)| 1 + fragments(arguments).len()).sum();
            self.thinking_tokens() + (words(&self.reply.text).count() + calls) as u64
        };
        self.reply.usage.unwrap_or_else(|| (FaultyModel::INPUT_TOKENS, counted()))
    }
}

/// Each with the white space after it, so that together they are the text; what was repeated letter by letter, in letters.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(char::is_whitespace).flat_map(|word| word.split(BETWEEN)).filter(|piece| !piece.is_empty())
}

pub(super) fn fragments(arguments: &Value) -> Vec<String> {
    let text: Vec<char> = arguments.to_string().chars().collect();
    text.chunks(FRAGMENT_CHARACTERS).map(|piece| piece.iter().collect()).collect()
}

impl Wire {
    pub(super) fn stream(self, answer: &Answer<'_>) -> Vec<Piece> {
        match self {
            Self::OpenAiChat if openai_completions::is_asked_for(answer.path) => openai_completions::stream(answer),
            Self::OpenAiChat => openai_chat::stream(answer),
            Self::OpenAiResponses => openai_responses::stream(answer),
            Self::Anthropic => anthropic::stream(answer),
            Self::Ollama => ollama::stream(answer),
        }
    }

    /// One body. `done` says whether it tells that it is whole.
    pub(super) fn whole(self, answer: &Answer<'_>, done: bool) -> Value {
        match self {
            Self::OpenAiChat if openai_completions::is_asked_for(answer.path) => {
                openai_completions::whole(answer, done)
            }
            Self::OpenAiChat => openai_chat::whole(answer, done),
            Self::OpenAiResponses => openai_responses::whole(answer, done),
            Self::Anthropic => anthropic::whole(answer, done),
            Self::Ollama => ollama::whole(answer, done),
        }
    }

    /// The dialect's way to say within a stream that the answer failed; `sent` pieces came before.
    pub(super) fn failure(self, answer: &Answer<'_>, sent: usize, message: &str) -> Vec<Piece> {
        match self {
            Self::OpenAiChat => openai_chat::failure(message),
            Self::OpenAiResponses => openai_responses::failure(answer, sent, message),
            Self::Anthropic => anthropic::failure(message),
            Self::Ollama => ollama::failure(message),
        }
    }

    /// A frame that ends as frames of the dialect do and holds half a JSON text.
    pub(super) fn garbage(self) -> Piece {
        let bytes = match self {
            Self::OpenAiChat => "data: {\"id\":\"chatcmpl-faulty\",\"choices\":[{\"index\":0,\"delta\":{\"cont\n\n",
            Self::OpenAiResponses => {
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"del\n\n"
            }
            Self::Anthropic => "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"ind\n\n",
            Self::Ollama => "{\"model\":\"faulty\",\"message\":{\"role\":\"assist\n",
        };
        Piece::new(Kind::Metadata, bytes)
    }

    /// Status and body. `window` is the model's.
    pub(super) fn refuse(self, refusal: &Refusal, model: &str, window: u64) -> (u16, Value) {
        match self {
            Self::OpenAiChat => openai_chat::refuse(refusal, model, window),
            Self::OpenAiResponses => openai_responses::refuse(refusal, model, window),
            Self::Anthropic => anthropic::refuse(refusal, model, window),
            Self::Ollama => ollama::refuse(refusal, model, window),
        }
    }

    pub(super) fn stream_media_type(self) -> &'static str {
        if self == Self::Ollama { "application/x-ndjson" } else { "text/event-stream; charset=utf-8" }
    }
}
