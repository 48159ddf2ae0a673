//! The turns of a `code` job as a fold over what the log holds. The live loop and a rebuild after a crash feed it the
//! same facts, so both come to the same next step and show the model the same words.
//!
//! ```text
//!           ┌── nothing in it can be done: the model is told why ──┐
//!           ▼                                                      │
//!   Next::Answer ── answered ──────────────────────────────────────┤
//!           ▲                                                      ▼
//!           └─────── all finished ◀── finished ◀── Next::Call(1, 2 …)
//!                                                      │
//!                                                      └─▶ Next::Finish
//!   words alone, twice, after the work was done ─▶ Next::Finish
//!   any answer or result the stuck detector gives up on ─▶ Next::Stuck
//! ```

mod check;
mod opening;
mod render;
mod room;
mod turn;

pub(crate) use opening::Opening;
pub(crate) use turn::Call;

use crate::{
    answer::{self, CALLS_PER_ANSWER, Reading},
    call_id::tool_call_id,
    check::{Checks, Told},
    prompt::{self, Dialect},
    stuck::{self, Detector, Pattern, Verdict},
    tool::{self, Action, Tool},
};
use protocol::{FinishReason, ModelAnswer, ToolCall, ToolOutcome};
use turn::{Observation, Refusal, Turn};

/// What has to happen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A model's answer, for this turn.
    Answer { turn: u32 },
    /// This tool call.
    Call(Call),
    /// The model says it is done.
    Finish { summary: String },
    /// It went in circles once too often.
    Stuck(Pattern),
}

/// A whole answer of a model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) content: String,
    pub(crate) tool_calls: Vec<ToolCall>,
    pub(crate) finish_reason: FinishReason,
}

impl From<ModelAnswer> for Answer {
    fn from(ModelAnswer { content, tool_calls, finish_reason, .. }: ModelAnswer) -> Self {
        Self { content, tool_calls, finish_reason }
    }
}

/// What came of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) outcome: ToolOutcome,
    pub(crate) exit_code: Option<i32>,
    pub(crate) output: String,
}

/// How a model is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    pub(crate) dialect: Dialect,
    pub(crate) offered: Vec<Tool>,
    /// Most tokens of a prompt, where the model's context is known.
    pub(crate) prompt_tokens: Option<u64>,
    /// A failure comes with a word on what to do about it: for models that do not know by themselves.
    pub(crate) gives_hints: bool,
}

pub(crate) struct Conversation {
    manner: Manner,
    opening: Opening,
    turns: Vec<Turn>,
    first_turn: u32,
    detector: Detector,
    stuck: Option<Pattern>,
    checks: Checks,
    /// Of the check before the work.
    told_first: Option<Told>,
}

impl Conversation {
    /// `first_turn` is above every turn the log already holds, so no call id is used twice.
    pub(crate) fn new(manner: Manner, opening: Opening, first_turn: u32) -> Self {
        Self {
            manner,
            opening,
            turns: Vec::new(),
            first_turn,
            detector: Detector::default(),
            stuck: None,
            checks: Checks::default(),
            told_first: None,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.manner.dialect
    }

    pub(crate) fn offered(&self) -> &[Tool] {
        &self.manner.offered
    }

    pub(crate) fn next(&self) -> Next {
        if let Some(pattern) = self.stuck {
            return Next::Stuck(pattern);
        }
        let Some(turn) = self.turns.last() else { return Next::Answer { turn: self.first_turn } };
        match turn.open_call() {
            Some(Call { action: Action::Finish { summary }, .. }) => Next::Finish { summary: summary.clone() },
            Some(call) => Next::Call(call.clone()),
            None => Next::Answer { turn: turn.number + 1 },
        }
    }

    /// The call that was begun and has no result: after a rebuild, one whose agent died.
    pub(crate) fn interrupted(&self) -> Option<&Call> {
        let turn = self.turns.last()?;
        turn.calls.iter().find(|state| state.started && state.result.is_none()).map(|state| &state.call)
    }

    /// A model answered. Returns the circle it was found in, when it is to be told for the first time.
    pub(crate) fn answered(&mut self, number: u32, answer: Answer) -> Option<Pattern> {
        // The log may hold an answer that never reached the agent, which then asked again: the newer one counts.
        self.turns.pop_if(|turn| turn.number == number && !turn.has_begun());
        // It was asked again after a finish, so the finish was refused.
        self.refuse_finish();
        // As before the call, where this is a rebuild.
        self.make_room();
        let mut turn = Turn::new(number, answer.content);
        let reading = match unusable(answer.finish_reason) {
            Some(reason) => Reading::Malformed(reason.to_owned()),
            None if answer.tool_calls.is_empty() => answer::read(&turn.content),
            None => native(&answer.tool_calls),
        };
        let numbered = answer.tool_calls.into_iter().enumerate().map(|(index, call)| ToolCall {
            // Ids that models choose repeat from turn to turn; ours are unique in the job.
            id: tool_call_id(number, index + 1),
            ..call
        });
        turn.native = numbered.collect();
        let verdict = match self.only_offered(reading) {
            Reading::Actions { actions, .. } if self.is_not_done(&actions) => {
                turn.refused = Some(Refusal::Malformed(prompt::NOT_DONE.into()));
                self.detector.malformed()
            }
            Reading::Actions { actions, left_out } => {
                turn.take(actions);
                turn.left_out = left_out;
                Verdict::Fine
            }
            Reading::Prose if self.is_done_and_reminded() => {
                turn.take(vec![Action::Finish { summary: answer::words(&turn.content).to_owned() }]);
                Verdict::Fine
            }
            Reading::Prose => {
                turn.refused = Some(Refusal::OnlyWords);
                self.detector.malformed()
            }
            Reading::Malformed(reason) => {
                turn.refused = Some(Refusal::Malformed(reason));
                self.detector.malformed()
            }
        };
        self.turns.push(turn);
        self.judge(verdict)
    }

    fn only_offered(&self, reading: Reading) -> Reading {
        let Reading::Actions { mut actions, left_out } = reading else { return reading };
        let Some(at) = actions.iter().position(|action| !self.offered().contains(&action.tool())) else {
            return Reading::Actions { actions, left_out };
        };
        let refused = format!("`{}` is not allowed in this job", actions[at].tool().as_str());
        // Each native call needs its own result, so there all go or none.
        if at == 0 || self.dialect() == Dialect::Native {
            return Reading::Malformed(refused);
        }
        actions.truncate(at);
        Reading::Actions { actions, left_out: Some(refused) }
    }

    /// A small model ends its work after a failure, without having changed a file, and was not asked about it yet.
    fn is_not_done(&self, actions: &[Action]) -> bool {
        let asked = Refusal::Malformed(prompt::NOT_DONE.into());
        let failed = |outcome| matches!(outcome, ToolOutcome::Failed | ToolOutcome::TimedOut);
        self.manner.gives_hints
            && matches!(actions, [Action::Finish { .. }])
            && self.turns.iter().all(|turn| turn.refused.as_ref() != Some(&asked))
            && self.results().next().is_some_and(|(_, outcome)| failed(outcome))
            && !self.results().any(|(tool, outcome)| changes_files(tool) && outcome == ToolOutcome::Succeeded)
    }

    /// What was done and how it ended, the newest first.
    fn results(&self) -> impl Iterator<Item = (Tool, ToolOutcome)> {
        let calls = self.turns.iter().rev().flat_map(|turn| turn.calls.iter().rev());
        calls.filter_map(|state| Some((state.call.action.tool(), state.result.as_ref()?.outcome)))
    }

    /// Files were changed, the last thing that was done succeeded, and the model was asked once to finish or go on.
    fn is_done_and_reminded(&self) -> bool {
        let succeeded = |outcome| outcome == ToolOutcome::Succeeded;
        self.turns.last().is_some_and(|turn| turn.refused == Some(Refusal::OnlyWords))
            && self.results().next().is_some_and(|(_, outcome)| succeeded(outcome))
            && self.results().any(|(tool, outcome)| changes_files(tool) && succeeded(outcome))
    }

    /// A tool call begins.
    pub(crate) fn started(&mut self, call_id: &str) {
        if let Some(state) = self.turns.iter_mut().rev().find_map(|turn| turn.call_mut(call_id)) {
            state.started = true;
        }
    }

    /// A tool call ended. Returns the circle the model was found in, when it is to be told for the first time.
    pub(crate) fn finished(&mut self, call_id: &str, finished: &Finished) -> Option<Pattern> {
        let gives_hints = self.manner.gives_hints;
        let newest = self.turns.iter().flat_map(|turn| &turn.calls).rfind(|state| state.result.is_some());
        let before = newest.map(|state| (state.call.action.clone(), state.full_result));
        let state = self.turns.iter_mut().rev().find_map(|turn| turn.call_mut(call_id))?;
        let action = &state.call.action;
        let mut text = prompt::result(finished.outcome, finished.exit_code, &finished.output);
        let changed = changes_files(action.tool()) && finished.outcome == ToolOutcome::Succeeded;
        let verdict = self.detector.called(action, &text, changed);
        let hash = stuck::hash(&text);
        if gives_hints && let Some(hint) = prompt::hint(action, finished) {
            text.truncate(text.trim_end().len());
            text.push_str(&format!("\n\n{hint}"));
        }
        state.full_result = hash;
        if gives_hints && before == Some((state.call.action.clone(), hash)) {
            text = prompt::SAME_AGAIN.into();
        }
        state.result = Some(Observation { text, outcome: finished.outcome, dropped: false });
        self.judge(verdict)
    }

    fn judge(&mut self, verdict: Verdict) -> Option<Pattern> {
        match verdict {
            Verdict::Fine => None,
            Verdict::Nudge(pattern) => {
                if let Some(turn) = self.turns.last_mut() {
                    turn.nudge = Some(pattern);
                }
                Some(pattern)
            }
            Verdict::Stuck(pattern) => {
                self.stuck = Some(pattern);
                None
            }
        }
    }
}

fn changes_files(tool: Tool) -> bool {
    matches!(tool, Tool::EditFile | Tool::WriteFile)
}

/// Why an answer that is not whole is not used, in words for the model.
fn unusable(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => None,
        FinishReason::Length => Some("your answer was cut off because it was too long; do less in one step"),
        FinishReason::ContentFilter => Some("your answer was held back by a content filter"),
    }
}

fn native(calls: &[ToolCall]) -> Reading {
    if calls.len() > CALLS_PER_ANSWER {
        return Reading::Malformed(answer::too_many(calls.len()));
    }
    let actions: Result<Vec<Action>, String> = calls
        .iter()
        .map(|call| match Tool::parse(&call.name) {
            Some(tool) => Action::from_arguments(tool, &call.arguments),
            None => Err(tool::unknown(&call.name)),
        })
        .collect();
    match actions {
        Ok(actions) => Reading::Actions { actions, left_out: None },
        Err(reason) => Reading::Malformed(reason),
    }
}

#[cfg(test)]
mod tests;
