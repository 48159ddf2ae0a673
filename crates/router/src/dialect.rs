//! The dialects callers speak.
//!
//! ```text
//!   body ──peek──▶ what routing needs          ──conversation──▶ only when something must be translated
//!   frames ──encoder──▶ bytes of a stream      whole answer ──▶ one body      error ──▶ the vendor's shape
//! ```
//! Each dialect has the same functions in its module under `wire/`, beside what is read of providers that speak it; this is the
//! switch between them.

use crate::{
    Conversation, Error, Frame,
    answer::{Whole, estimated_tokens},
    conversation::Format,
    json_object::{Fields, whole_characters},
};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use std::sync::{Arc, OnceLock};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `POST /v1/chat/completions`
    OpenAiChat,
    /// `POST /v1/completions`
    OpenAiCompletions,
    /// `POST /v1/responses`
    OpenAiResponses,
    /// `POST /v1/messages`
    Anthropic,
    /// `POST /api/chat`
    OllamaChat,
    /// `POST /api/generate`
    OllamaGenerate,
    /// devmesh's own model calls, which come as a [`Conversation`] and leave as events.
    Own,
}

/// What routing needs to know of a request. Cheap to get: no message is looked into.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peek {
    pub model: String,
    pub stream: bool,
    /// The caller asked for token counts in its stream (OpenAI's `stream_options.include_usage`).
    pub wants_usage: bool,
    pub max_output_tokens: Option<u32>,
    pub has_tools: bool,
    pub has_schema: bool,
    pub has_images: bool,
    /// Answers made at once (OpenAI's `n` and `best_of`); 1 where nothing is said. More than one is never translated.
    pub choices: u32,
    /// Of everything the model will read, roughly: what time limits scale with.
    pub prompt_bytes: usize,
}

/// What an image counts for in [`Peek::prompt_bytes`], however large its file is: about the 1,500 tokens that models make of one
/// in full.
pub(crate) const IMAGE_PROMPT_BYTES: usize = 6 * 1024;

impl Peek {
    /// Of the prompt, where nobody counts.
    pub(crate) fn estimated_tokens(&self) -> u64 {
        estimated_tokens(self.prompt_bytes).max(1)
    }
}

/// A request as it came, and its translation once somebody needs it.
#[derive(Debug)]
pub struct Asked {
    pub dialect: Dialect,
    pub body: Bytes,
    /// The caller's headers that a provider of the same dialect is told: `anthropic-beta`, `openai-beta` and their like.
    pub headers: HeaderMap,
    pub peek: Peek,
    conversation: OnceLock<Result<Conversation, Error>>,
}

impl Asked {
    /// # Errors
    /// [`Error::Invalid`] when the body is not JSON of this dialect.
    pub fn new(dialect: Dialect, body: Bytes, headers: HeaderMap) -> Result<Self, Error> {
        let peek = dialect.peek(&body)?;
        Ok(Self { dialect, body, headers, peek, conversation: OnceLock::new() })
    }

    /// devmesh's own.
    pub fn own(model: String, conversation: Conversation, prompt_bytes: usize) -> Self {
        let peek = Peek {
            model,
            stream: true,
            wants_usage: true,
            max_output_tokens: conversation.max_output_tokens,
            has_tools: !conversation.tools.is_empty(),
            has_schema: matches!(conversation.format, Format::Json | Format::Schema { .. }),
            has_images: false,
            choices: 1,
            prompt_bytes,
        };
        let translated = OnceLock::new();
        let _ = translated.set(Ok(conversation));
        Self { dialect: Dialect::Own, body: Bytes::new(), headers: HeaderMap::new(), peek, conversation: translated }
    }

    /// # Errors
    /// [`Error::Invalid`] with the place and what is wrong there.
    pub fn conversation(&self) -> Result<&Conversation, Error> {
        self.conversation
            .get_or_init(|| self.dialect.conversation(&whole_characters(&self.body)))
            .as_ref()
            .map_err(Clone::clone)
    }

    /// Read where it stands: a request that no other API has words for has one, too.
    pub(crate) fn temperature(&self) -> Option<f32> {
        let Ok(fields) = Fields::of(&self.body) else {
            return self.conversation().ok().and_then(|conversation| conversation.temperature);
        };
        match self.dialect {
            Dialect::OllamaChat | Dialect::OllamaGenerate => {
                Fields::of(fields.get("options")?.get().as_bytes()).ok()?.read("temperature")
            }
            _ => fields.read("temperature"),
        }
    }
}

/// What the words around an answer need.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Of the answer, without a vendor's prefix: the model call's id.
    pub id: String,
    /// The name that the caller asked for.
    pub model: String,
    /// Seconds since 1970.
    pub created_s: i64,
    pub wants_usage: bool,
    /// For dialects that tell the prompt's size before the answer (Anthropic's `message_start`) while the provider tells it
    /// after: the router's estimate.
    pub estimated_input_tokens: u64,
    /// What is answered, for dialects whose answers use the words of the request.
    pub asked: Option<Arc<Asked>>,
}

/// Turns the frames of one answer into a stream's bytes. Frames of the same dialect pass as they are while the encoder keeps
/// count of what they say, so that another provider can go on in the middle of an answer.
pub trait Encoder: Send {
    /// Appends the caller's bytes for `frame`. The frame with [`crate::Event::Finished`] is the last one and brings the
    /// dialect's own end with it.
    fn frame(&mut self, frame: Frame, out: &mut BytesMut);

    /// Appends the dialect's in-band error and its end, whatever came before.
    fn fail(&mut self, error: &Error, out: &mut BytesMut);

    /// Appends something that says "still there" and that every client of the dialect ignores.
    fn heartbeat(&mut self, out: &mut BytesMut);

    /// Appends what would be headers if the head were not gone, by name, where clients that do not look for them ignore
    /// them: in server-sent events as comments. Each is one line.
    fn notes(&mut self, notes: &[(&str, &str)], out: &mut BytesMut) {
        for (name, text) in notes {
            for part in [": ", name, ": ", text, "\n\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
}

impl Dialect {
    /// Those of foreign clients.
    pub const FOREIGN: [Self; 6] = [
        Self::OpenAiChat,
        Self::OpenAiCompletions,
        Self::OpenAiResponses,
        Self::Anthropic,
        Self::OllamaChat,
        Self::OllamaGenerate,
    ];

    /// As records and metrics call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenAiChat => "openai_chat",
            Self::OpenAiCompletions => "openai_completions",
            Self::OpenAiResponses => "openai_responses",
            Self::Anthropic => "anthropic",
            Self::OllamaChat => "ollama_chat",
            Self::OllamaGenerate => "ollama_generate",
            Self::Own => "devmesh",
        }
    }

    /// Of a streamed answer.
    pub fn stream_media_type(self) -> &'static str {
        match self {
            Self::OllamaChat | Self::OllamaGenerate => "application/x-ndjson",
            _ => "text/event-stream",
        }
    }
}

/// The functions every dialect's module has. (`peek` and `conversation` fail with [`Error::Invalid`].)
macro_rules! dialects {
    ($($dialect:ident => $($module:ident)::+),+ $(,)?) => {
        impl Dialect {
            pub(crate) fn peek(self, body: &Bytes) -> Result<Peek, Error> {
                match self { $(Self::$dialect => $($module)::+::peek(body),)+ Self::Own => Ok(Peek::default()) }
            }

            pub(crate) fn conversation(self, body: &Bytes) -> Result<Conversation, Error> {
                match self { $(Self::$dialect => $($module)::+::conversation(body),)+ Self::Own => Ok(Conversation::default()) }
            }

            pub(crate) fn encoder(self, envelope: Envelope) -> Box<dyn Encoder> {
                match self { $(Self::$dialect => $($module)::+::encoder(envelope),)+ Self::Own => Box::new(Silent) }
            }

            /// One body for an answer that was gathered.
            pub(crate) fn whole(self, envelope: &Envelope, whole: &Whole) -> Value {
                match self { $(Self::$dialect => $($module)::+::whole(envelope, whole),)+ Self::Own => Value::Null }
            }

            /// The vendor's status and body for an error. `Retry-After` and the like are the edge's.
            pub fn error(self, error: &Error, request_id: &str) -> (StatusCode, Value) {
                match self { $(Self::$dialect => $($module)::+::error(error, request_id),)+ Self::Own => (StatusCode::BAD_GATEWAY, Value::Null) }
            }
        }
    };
}

dialects! {
    OpenAiChat => crate::wire::openai_chat,
    OpenAiCompletions => crate::wire::openai_completions,
    OpenAiResponses => crate::wire::openai_responses,
    Anthropic => crate::wire::anthropic,
    OllamaChat => crate::wire::ollama::chat,
    OllamaGenerate => crate::wire::ollama::generate,
}

/// Of callers that take events and not bytes.
struct Silent;

impl Encoder for Silent {
    fn frame(&mut self, _: Frame, _: &mut BytesMut) {}
    fn fail(&mut self, _: &Error, _: &mut BytesMut) {}
    fn heartbeat(&mut self, _: &mut BytesMut) {}
    fn notes(&mut self, _: &[(&str, &str)], _: &mut BytesMut) {}
}
