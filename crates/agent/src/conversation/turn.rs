//! One answer of a model and what came of it.

use crate::{call_id::tool_call_id, check::Told, envelope::Bodiless, stuck::Pattern, tool::Action};
use protocol::ToolCall;

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
}

pub(super) struct Observation {
    pub(super) text: String,
    pub(super) dropped: bool,
}

pub(super) struct Turn {
    pub(super) number: u32,
    /// What the model wrote.
    pub(super) content: String,
    /// The calls it made natively, under our ids.
    pub(super) native: Vec<ToolCall>,
    /// An action that still waits for its body.
    pub(super) bodiless: Option<Bodiless>,
    /// The action that came without a body, and the answer that should hold it.
    pub(super) body: Option<(Bodiless, String)>,
    pub(super) calls: Vec<CallState>,
    /// Why nothing in the answer could be done.
    pub(super) malformed: Option<String>,
    /// What the model is told after this turn.
    pub(super) nudge: Option<Pattern>,
    /// What it is told of the check that ran after it.
    pub(super) told: Option<Told>,
}

impl Turn {
    pub(super) fn new(number: u32, content: String) -> Self {
        Self {
            number,
            content,
            native: Vec::new(),
            bodiless: None,
            body: None,
            calls: Vec::new(),
            malformed: None,
            nudge: None,
            told: None,
        }
    }

    pub(super) fn take(&mut self, actions: Vec<Action>) {
        let alone = actions.len() == 1;
        let calls = actions.into_iter().enumerate().map(|(index, action)| {
            // Whoever finishes beside other calls has not seen what came of them.
            let hasty = !alone && matches!(action, Action::Finish { .. });
            let result = hasty.then(|| Observation {
                text: "Not yet: look at the results of your other calls first, then call finish alone.".into(),
                dropped: false,
            });
            CallState { call: Call { id: tool_call_id(self.number, index + 1), action }, started: false, result }
        });
        self.calls = calls.collect();
    }

    pub(super) fn refuse(&mut self, reason: String) {
        self.bodiless = None;
        self.malformed = Some(reason);
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
