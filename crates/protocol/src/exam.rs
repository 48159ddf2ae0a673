//! What an exam asked of a model and what came of it.

use crate::ModelProfile;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One examination. Its questions are few and small: it tells how to work with a model, not how clever it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Exam {
    /// Of the questions. Findings of different versions do not compare.
    pub version: u32,
    pub answers: Vec<ExamAnswer>,
    /// Answers that ran into their limit, because the model did not come to an end.
    #[serde(default)]
    pub cut_answers: u32,
    /// The longest prompt of which it kept a fact, in tokens as it counted them. Absent: none was kept, or none was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_tokens: Option<u64>,
    /// How fast it reads. Absent where no prompt was long enough to tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens_per_second: Option<f64>,
    /// How fast it writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_tokens_per_second: Option<f64>,
    pub total_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ExamAnswer {
    pub question: ExamQuestion,
    pub outcome: ExamOutcome,
    /// In one sentence, what was seen.
    pub why: String,
    pub ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExamQuestion {
    /// Calls a tool it is given.
    NativeCall,
    /// Answers in a JSON schema.
    Schema,
    /// Edits a file with the edit tool.
    EditTool,
    /// Edits a file with a search and replace block.
    EditBlocks,
    /// Writes a whole file anew.
    WholeFile,
    /// Changes one file by what another says.
    TwoFiles,
    /// Finishes when the work is done.
    Stops,
    /// Keeps a fact from the beginning of a long prompt.
    Context,
}

impl ExamQuestion {
    /// In the order in which they are asked.
    pub const ALL: [Self; 8] = [
        Self::NativeCall,
        Self::Schema,
        Self::EditTool,
        Self::EditBlocks,
        Self::WholeFile,
        Self::TwoFiles,
        Self::Stops,
        Self::Context,
    ];

    /// What the model is to do, for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NativeCall => "calls a tool by itself",
            Self::Schema => "answers in a JSON schema",
            Self::EditTool => "edits with the edit tool",
            Self::EditBlocks => "edits with a search and replace block",
            Self::WholeFile => "writes a whole file anew",
            Self::TwoFiles => "changes one file by what another says",
            Self::Stops => "finishes when the work is done",
            Self::Context => "keeps a fact in a long prompt",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExamOutcome {
    Passed,
    Failed,
    /// Not asked, or the answer told nothing.
    Skipped,
}

impl ExamOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Exam {
    /// What became of a question; one that is not in here was skipped.
    pub fn outcome(&self, question: ExamQuestion) -> ExamOutcome {
        let answer = self.answers.iter().find(|answer| answer.question == question);
        answer.map_or(ExamOutcome::Skipped, |answer| answer.outcome)
    }
}

/// Keeps what an exam found out about a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutModelProfile {
    /// Of the model that was examined. Refused where the model has another one by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 200)]
    pub digest: Option<String>,
    /// Its `source` becomes `exam`, and its time the one at which it is stored.
    pub profile: ModelProfile,
    pub exam: Exam,
}

/// How to work with a model, and how that is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FoundModelProfile {
    /// `provider/name`.
    pub model: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    pub known_by: KnownBy,
    pub profile: ModelProfile,
    /// Absent where the profile is that of a family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exam: Option<Exam>,
}

/// What a profile holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KnownBy {
    /// The weights with this digest, under whatever name.
    Digest,
    /// The name: the provider tells no digest, so another model under this name would be taken for the one examined.
    Name,
    /// All models of its family.
    Family,
}
