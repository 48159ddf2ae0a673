//! One answer of a model and what came of it.

use crate::{call_id::tool_call_id, check::Told, stuck::Pattern, tool::Action};
use protocol::{ToolCall, ToolOutcome};

/// One thing to do, by the name it has in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) action: Action,
}

pub(super) struct CallState {
    pub(super) call: Call,
    pub(super) started: bool,
    pub(super) result: Option<Observation>,
    /// Of the whole result, whatever of it is shown.
    pub(super) full_result: u64,
}

pub(super) struct Observation {
    pub(super) text: String,
    pub(super) outcome: ToolOutcome,
    pub(super) dropped: bool,
}

/// Why nothing in an answer could be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// What was asked for cannot be done, and why.
    Malformed(String),
    /// Words alone.
    OnlyWords,
}

pub(super) struct Turn {
    pub(super) number: u32,
    /// What the model wrote.
    pub(super) content: String,
    /// The calls it made natively, under our ids.
    pub(super) native: Vec<ToolCall>,
    pub(super) calls: Vec<CallState>,
    /// Why the rest of the answer is not among the calls.
    pub(super) left_out: Option<String>,
    pub(super) refused: Option<Refusal>,
    /// What the model is told after this turn.
    pub(super) nudge: Option<Pattern>,
    /// What it is told of the check that ran after it.
    pub(super) told: Option<Told>,
    /// Only what it asked for is shown, without its words and without the files it wrote.
    pub(super) is_compact: bool,
}

impl Turn {
    pub(super) fn new(number: u32, content: String) -> Self {
        Self {
            number,
            content,
            native: Vec::new(),
            calls: Vec::new(),
            left_out: None,
            refused: None,
            nudge: None,
            told: None,
            is_compact: false,
        }
    }

    pub(super) fn take(&mut self, actions: Vec<Action>) {
        let alone = actions.len() == 1;
        let calls = actions.into_iter().enumerate().map(|(index, action)| {
            // Whoever finishes beside other calls has not seen what came of them.
            let hasty = !alone && matches!(action, Action::Finish { .. });
            let result = hasty.then(|| Observation {
                text: "Not yet: look at the results of your other calls first, then call finish alone.".into(),
                outcome: ToolOutcome::Failed,
                dropped: false,
            });
            CallState {
                call: Call { id: tool_call_id(self.number, index + 1), action },
                started: false,
                result,
                full_result: 0,
            }
        });
        self.calls = calls.collect();
    }

    /// Whether anything it asks for was begun.
    pub(super) fn has_begun(&self) -> bool {
        self.calls.iter().any(|state| state.started)
    }

    pub(super) fn open_call(&self) -> Option<&Call> {
        self.calls.iter().find(|state| state.result.is_none()).map(|state| &state.call)
    }

    pub(super) fn call_mut(&mut self, id: &str) -> Option<&mut CallState> {
        self.calls.iter_mut().find(|state| state.call.id == id)
    }
}
