//! What was found out about a model, so that an agent asks it in the form it keeps best.

use domain::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How to work with a model. An exam's findings replace those of its family as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelProfile {
    pub source: ProfileSource,
    /// The family that the model's name belongs to: `qwen2.5-coder`, `gpt-oss`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    pub calls: Calls,
    pub edits: EditForm,
    pub mode: WorkMode,
    /// Longest answer to ask for, in tokens. Absent: as long as its context allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub answer_tokens: Option<u32>,
    /// How much chance there is in its words. Absent: the agent's own choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 2)]
    pub temperature: Option<f32>,
    /// When the exam was taken. Absent for what is known of a family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub examined_at: Option<Timestamp>,
}

/// Where a profile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProfileSource {
    /// This very model was examined.
    Exam,
    /// Shipped: what is known of models of its name.
    Family,
}

impl ProfileSource {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exam => "exam",
            Self::Family => "family",
        }
    }
}

/// How a model asks for actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Calls {
    /// It is given tools and calls them. Only where its provider carries tools.
    Native,
    /// Actions are described in the prompt and read from its words.
    Text,
}

impl Calls {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Text => "text",
        }
    }
}

/// How a model changes a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EditForm {
    /// The edit tool with the lines that stand there and those that replace them.
    Tool,
    /// A search and replace block in its words.
    Blocks,
    /// The whole file anew.
    WholeFile,
}

impl EditForm {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Blocks => "blocks",
            Self::WholeFile => "whole_file",
        }
    }
}

/// Who decides what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkMode {
    /// The model, in a loop of turns.
    Free,
    /// The agent: it asks for one small thing after the other.
    Guided,
}

impl WorkMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Guided => "guided",
        }
    }
}
