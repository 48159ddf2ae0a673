//! An answer as it comes, in the router's own words.

use crate::wire::{anthropic, openai_responses};
use bytes::Bytes;
use protocol::FinishReason;

/// Bytes of text that make about one token where nobody counted: prose has more of them, code and other scripts fewer.
const BYTES_PER_TOKEN: u64 = 4;

pub(crate) fn estimated_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(BYTES_PER_TOKEN)
}

/// What a provider sent at once: its bytes, and what they mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The provider's own bytes of this frame, separators included (one SSE event, one NDJSON line, or a whole JSON body),
    /// when the provider speaks a dialect callers speak. Absent for what has no bytes of its own.
    pub raw: Option<Bytes>,
    /// Empty for a frame that only shows life, such as a ping.
    pub events: Vec<Event>,
    /// What stands in the bytes beside the events, as the reader saw it: nobody reads the bytes a second time.
    pub mark: Option<Mark>,
}

impl Frame {
    pub fn new(raw: Option<Bytes>, events: Vec<Event>) -> Self {
        Self { raw, events, mark: None }
    }

    /// Whether a caller who gets this gets something of the answer.
    pub(crate) fn has_content(&self) -> bool {
        self.events.iter().any(|event| event.is_content() && !self.is_left_out(event))
    }

    /// Whether an event has no words here, and no bytes that could pass.
    pub(crate) fn is_left_out(&self, event: &Event) -> bool {
        self.raw.is_none() && matches!(event, Event::Opaque(_))
    }
}

/// What stands in a frame's bytes beside its events, by their wire.
#[derive(Clone, Debug, PartialEq)]
pub enum Mark {
    Anthropic(anthropic::Mark),
    /// A chunk of a chat or a completion.
    Chunk {
        /// It tells why the model stopped.
        finished: bool,
        /// It tells the token counts of the whole answer.
        counted: bool,
    },
    Responses(Box<openai_responses::Seen>),
}

impl From<Event> for Frame {
    fn from(event: Event) -> Self {
        Self::new(None, vec![event])
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The provider took the request. Said at most once, before everything else; some never say it.
    Started {
        id: Option<String>,
        model: Option<String>,
        usage: Usage,
    },
    Text(String),
    Thinking(String),
    /// Seals the thinking before it; opaque, byte for byte.
    ThinkingSignature(String),
    RedactedThinking(String),
    /// A tool call begins. `index` counts the answer's tool calls from 0; never reused.
    ToolCall {
        index: usize,
        id: String,
        name: String,
    },
    /// More of that call's arguments: a piece of JSON text.
    ToolArguments {
        index: usize,
        fragment: String,
    },
    /// Content this router has no words for: a picture, a tool of the vendor's, something newer than this code. It passes on
    /// in the vendor's own bytes where those pass, and nobody judges, keeps or goes on with an answer that has it. Says what
    /// it was, for people.
    Opaque(String),
    /// The answer is whole. Exactly one, last. A stream that ends without it was cut.
    Finished(Finish),
}

impl Event {
    /// Of the words in it, and of what a tool is called.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Text(text)
            | Self::Thinking(text)
            | Self::ThinkingSignature(text)
            | Self::RedactedThinking(text)
            | Self::Opaque(text) => text.len(),
            Self::ToolCall { id, name, .. } => id.len() + name.len(),
            Self::ToolArguments { fragment, .. } => fragment.len(),
            Self::Started { .. } | Self::Finished(_) => 0,
        }
    }

    /// Whether a caller who got this has got something of the answer: from here on a second model cannot simply begin.
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(text) | Self::Thinking(text) => !text.is_empty(),
            Self::ThinkingSignature(_)
            | Self::RedactedThinking(_)
            | Self::ToolCall { .. }
            | Self::ToolArguments { .. }
            | Self::Opaque(_) => true,
            Self::Started { .. } | Self::Finished(_) => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Finish {
    pub reason: FinishReason,
    /// Which of the request's stop texts was met, where the provider tells.
    pub stop_sequence: Option<String>,
    pub usage: Usage,
    /// The model says in words that it will not do what it was asked, and not in the form it was asked for.
    pub is_refusal: bool,
    /// How long the provider loaded the model before it began, where it tells.
    pub load_ms: Option<u64>,
}

impl Finish {
    pub fn new(reason: FinishReason, usage: Usage) -> Self {
        Self { reason, stop_sequence: None, usage, is_refusal: false, load_ms: None }
    }
}

/// Tokens as the provider counts them; 0 where it does not tell: nothing is estimated here. A real prompt has at least one
/// token, so 0 is unmistakable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the whole prompt, cached parts included (OpenAI counts so; Anthropic's `input_tokens` leaves them out).
    pub input_tokens: u64,
    /// Of it, read from the provider's prompt cache.
    pub cached_input_tokens: u64,
    /// Of it, written to the provider's prompt cache.
    pub cache_write_tokens: u64,
    /// Of those, kept there for an hour, which costs more.
    pub cache_write_1h_tokens: u64,
    /// Of the answer, thinking included.
    pub output_tokens: u64,
    /// Of it, thinking.
    pub reasoning_tokens: u64,
}

/// A whole answer, gathered from its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Whole {
    pub id: Option<String>,
    pub model: Option<String>,
    pub blocks: Vec<Block>,
    /// Present once the answer is whole.
    pub finish: Option<Finish>,
    /// It holds something that was not understood and passes on as it came.
    pub opaque: bool,
}

/// In the order in which the model made them.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    Text(String),
    Thinking { text: String, signature: Option<String> },
    RedactedThinking(String),
    ToolCall { index: usize, id: String, name: String, arguments: String },
}

impl Block {
    /// Of what the model wrote.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Thinking { text, .. } => text.len(),
            Self::RedactedThinking(_) => 0,
            Self::ToolCall { name, arguments, .. } => name.len() + arguments.len(),
        }
    }
}

impl Whole {
    pub fn add(&mut self, event: &Event) {
        match event {
            Event::Started { id, model, .. } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
            }
            Event::Text(more) => match self.blocks.last_mut() {
                Some(Block::Text(text)) => text.push_str(more),
                _ => self.blocks.push(Block::Text(more.clone())),
            },
            Event::Thinking(more) => match self.blocks.last_mut() {
                Some(Block::Thinking { text, signature: None }) => text.push_str(more),
                _ => self.blocks.push(Block::Thinking { text: more.clone(), signature: None }),
            },
            Event::ThinkingSignature(more) => match self.blocks.last_mut() {
                Some(Block::Thinking { signature, .. }) => signature.get_or_insert_default().push_str(more),
                _ => self.blocks.push(Block::Thinking { text: String::new(), signature: Some(more.clone()) }),
            },
            Event::RedactedThinking(data) => self.blocks.push(Block::RedactedThinking(data.clone())),
            Event::ToolCall { index, id, name } => self.blocks.push(Block::ToolCall {
                index: *index,
                id: id.clone(),
                name: name.clone(),
                arguments: String::new(),
            }),
            Event::ToolArguments { index, fragment } => {
                let call = self.blocks.iter_mut().rev().find_map(|block| match block {
                    Block::ToolCall { index: at, arguments, .. } if at == index => Some(arguments),
                    _ => None,
                });
                if let Some(arguments) = call {
                    arguments.push_str(fragment);
                }
            }
            Event::Opaque(_) => self.opaque = true,
            Event::Finished(finish) => self.finish = Some(finish.clone()),
        }
    }

    /// The answer's text without thinking.
    pub fn text(&self) -> String {
        self.blocks
            .iter()
            .filter_map(|block| if let Block::Text(text) = block { Some(text.as_str()) } else { None })
            .collect()
    }

    pub fn usage(&self) -> Usage {
        self.finish.as_ref().map(|finish| finish.usage).unwrap_or_default()
    }
}
