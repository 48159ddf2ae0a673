//! A request in the router's own words, whatever dialect it came in and whatever dialect it leaves in.
//!
//! Dialects parse into this and providers write from it, so n dialects and m providers need n + m translations. Where both
//! speak the same, the original bytes are forwarded and this is not even made: see [`crate::dialect::Asked`].

use protocol::Role;
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversation {
    /// System messages stand where they stood; a dialect with one system prompt gathers them.
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub tool_choice: ToolChoice,
    /// `None`: the provider's default.
    pub parallel_tool_calls: Option<bool>,
    pub format: Format,
    pub thinking: Thinking,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f32>,
    pub top_p: Option<f32>,
    pub top_k: Option<u32>,
    pub frequency_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub seed: Option<u64>,
    /// Texts at which the model stops; they are not part of the answer.
    pub stop: Vec<String>,
    /// Whom the caller serves, for the provider's abuse watch. Never sent elsewhere.
    pub user: Option<String>,
    /// Fields of the request that have no place here, by JSON pointer: a translated request loses them, and the answer
    /// says so.
    pub lost: Vec<String>,
    /// Content that only the vendor of the caller's wire understands, each as its place and what it is. Such a request goes
    /// to a server of that wire as it is, and is translated for nobody: content is not left out.
    pub foreign: Vec<String>,
    /// Tools that the caller declared as something else than a function of that name.
    pub renamed: Vec<Renamed>,
}

/// A tool that has another name here than the caller gave it, or another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Among [`Conversation::tools`].
    pub name: String,
    pub called: Called,
}

/// A tool as the caller declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    pub name: String,
    pub namespace: Option<String>,
    /// Its input is a text and no JSON.
    pub is_custom: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub role: Role,
    pub parts: Vec<Part>,
}

impl Conversation {
    /// A picture or a document in a message of one of these, in words for people: for wires that have a place for it only in
    /// what users say.
    pub(crate) fn shown_by(&self, roles: &[Role]) -> Option<String> {
        let is_shown = |part: &&Part| matches!(part, Part::Image(_) | Part::Document { .. });
        let theirs = self.messages.iter().filter(|message| roles.contains(&message.role));
        let found = theirs.flat_map(|message| &message.parts).find(is_shown)?;
        let what = if matches!(found, Part::Image(_)) { "an image" } else { "a document" };
        let roles: Vec<_> = roles.iter().map(|role| format!("the {}", role.as_str())).collect();
        Some(format!("{what} stands in a message of {}, and belongs in one of the user", roles.join(" or ")))
    }
}

impl Message {
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::Text(text.into())] }
    }

    /// All text of it, without what stands between.
    pub fn plain(&self) -> String {
        self.parts
            .iter()
            .filter_map(|part| if let Part::Text(text) = part { Some(text.as_str()) } else { None })
            .collect()
    }
}

/// Tool results are messages of [`Role::Tool`] with one [`Part::ToolResult`] each; tool calls are parts of assistants'
/// messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(String),
    Image(Image),
    /// A file to be read, such as a PDF.
    Document {
        name: Option<String>,
        media_type: String,
        content: Document,
    },
    /// What a model thought before it spoke. `signature` is opaque and travels byte for byte.
    Thinking {
        text: String,
        signature: Option<String>,
    },
    /// Thought that only its provider can read.
    RedactedThinking {
        data: String,
    },
    /// `arguments` is the JSON text the model wrote; it may be wrong, and is sent back as it was.
    ToolCall {
        id: String,
        name: String,
        arguments: String,
    },
    ToolResult {
        call_id: String,
        parts: Vec<Part>,
        is_error: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    Base64 {
        media_type: String,
        data: String,
    },
    /// Fetched by the provider, never by us.
    Url(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    Base64(String),
    Text(String),
    /// Fetched by the provider, never by us.
    Url(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: String,
    /// JSON Schema of the arguments.
    pub parameters: Value,
    /// Whether the caller asked for arguments that keep to the schema strictly.
    pub strict: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    #[default]
    Auto,
    None,
    /// Some tool, whichever.
    Required,
    Named(String),
}

/// What the answer's text must be.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Format {
    #[default]
    Text,
    /// Any JSON object.
    Json,
    Schema {
        name: String,
        schema: Value,
        strict: Option<bool>,
    },
    /// A grammar in llguidance's Lark form, for providers whose model can be held to one. The others leave it away: whoever
    /// sends it reads plain text as well.
    Grammar(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Thinking {
    #[default]
    Default,
    Off,
    On,
    /// `minimal`, `low`, `medium`, `high`: as providers name them.
    Effort(String),
    BudgetTokens(u32),
}
