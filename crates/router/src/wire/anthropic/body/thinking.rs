//! How much a model is told to think, and when it must not be told to.

use super::super::{
    provider::capabilities::{Capabilities, ThinkingStyle},
    sealed,
};
use crate::{
    Conversation,
    conversation::{Message, Part, Thinking, ToolChoice},
    wire::effort,
};
use protocol::Role;
use serde::Serialize;

/// The least that the vendor accepts.
const LEAST_TOKENS: u32 = 1024;

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Config {
    Enabled { budget_tokens: u32 },
    Adaptive,
    Disabled,
}

impl Config {
    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::Disabled)
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) config: Option<Config>,
    pub(crate) effort: Option<&'static str>,
}

/// A limit that the caller did not set is raised by the budget, which counts as part of it.
pub(crate) fn choose(conversation: &Conversation, capabilities: Capabilities, max_tokens: &mut u32) -> Chosen {
    let on = !matches!(conversation.thinking, Thinking::Default | Thinking::Off);
    match capabilities.thinking {
        _ if conversation.thinking == Thinking::Default => Chosen::default(),
        ThinkingStyle::Never => Chosen::default(),
        ThinkingStyle::Budget if !on || forbidden(conversation) => Chosen::default(),
        ThinkingStyle::Budget => {
            let wanted = match &conversation.thinking {
                Thinking::BudgetTokens(tokens) => *tokens,
                Thinking::Effort(effort) => match effort.as_str() {
                    "minimal" | "none" => LEAST_TOKENS,
                    "low" => 2 * LEAST_TOKENS,
                    "medium" => 8 * LEAST_TOKENS,
                    _ => 16 * LEAST_TOKENS,
                },
                _ => 4 * LEAST_TOKENS,
            }
            .max(LEAST_TOKENS);
            if conversation.max_output_tokens.is_none() {
                *max_tokens = max_tokens.saturating_add(wanted);
            }
            // Something must be left for the answer.
            let budget_tokens = wanted.min(max_tokens.saturating_sub(1));
            let config = (budget_tokens >= LEAST_TOKENS).then_some(Config::Enabled { budget_tokens });
            Chosen { config, effort: None }
        }
        ThinkingStyle::Adaptive if !on || forbidden(conversation) => {
            Chosen { config: capabilities.thinking_off.then_some(Config::Disabled), effort: None }
        }
        ThinkingStyle::Adaptive => {
            let effort = match &conversation.thinking {
                Thinking::Effort(effort) => effort::nearest(effort, capabilities.efforts),
                _ => None,
            };
            Chosen { config: Some(Config::Adaptive), effort }
        }
    }
}

/// The vendor refuses thinking together with a forced tool, with an answer to go on with, and while tools are being used
/// whose calls came without thought (as those of another vendor's model did).
fn forbidden(conversation: &Conversation) -> bool {
    let forced = matches!(conversation.tool_choice, ToolChoice::Required | ToolChoice::Named(_));
    let said = conversation.messages.iter().filter(|message| message.role != Role::System);
    let goes_on = said.clone().next_back().is_some_and(|message| message.role == Role::Assistant);
    let thoughtless = said
        .rev()
        .take_while(|message| message.role != Role::User)
        .find(|message| message.role == Role::Assistant)
        .is_some_and(|message| has(message, |part| matches!(part, Part::ToolCall { .. })) && !has(message, is_thought));
    (forced && !conversation.tools.is_empty()) || goes_on || thoughtless
}

fn has(message: &Message, is: impl Fn(&Part) -> bool) -> bool {
    message.parts.iter().any(is)
}

fn is_thought(part: &Part) -> bool {
    match part {
        Part::Thinking { signature: Some(seal), .. } | Part::RedactedThinking { data: seal } => sealed::is_own(seal),
        _ => false,
    }
}
