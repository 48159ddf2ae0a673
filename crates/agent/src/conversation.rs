//! The turns of a `code` job as a fold over what the log holds. The live loop and a rebuild after a crash feed it the
//! same facts, so both come to the same next step and show the model the same words.
//!
//! ```text
//!           ┌────────────── malformed: the model is told why ─────────────┐
//!           ▼                                                             │
//!   Next::Answer ── answered ──▶ an action without body ─▶ Next::Body ────┤
//!           ▲          │                                       │          │
//!           │          ▼                                       ▼          │
//!           └─────── all finished ◀── finished ── Next::Call(1, 2 …) ─────┘
//!                                                   │
//!                                                   └─▶ Next::Finish
//!   any answer or result the stuck detector gives up on ─▶ Next::Stuck
//! ```

mod check;
mod render;
mod turn;

pub(crate) use turn::Call;

use crate::{
    call_id::{Part, tool_call_id},
    check::{Checks, Told},
    envelope::{self, Reading},
    prompt::{self, Dialect},
    stuck::{Detector, Pattern, Verdict},
    tool::{Action, Tool},
};
use protocol::{FinishReason, ToolCall, ToolOutcome};
use turn::{Observation, Turn};

/// Most tool calls taken from one answer. A model that asks for more in one go is not looking at results.
const CALLS_PER_ANSWER: usize = 8;
/// How often outputs are dropped to make room before the job fails: the first time all but the newest three results,
/// the second time all but the newest.
const KEPT_WHEN_SHRINKING: [usize; 2] = [3, 1];

/// What has to happen now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A model's answer, for this turn.
    Answer { turn: u32 },
    /// The body of the action this turn asked for.
    Body { turn: u32 },
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

/// What came of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) outcome: ToolOutcome,
    pub(crate) exit_code: Option<i32>,
    pub(crate) output: String,
}

pub(crate) struct Conversation {
    dialect: Dialect,
    offered: Vec<Tool>,
    /// The user's task with the list of files.
    task: String,
    turns: Vec<Turn>,
    first_turn: u32,
    detector: Detector,
    stuck: Option<Pattern>,
    shrunk: usize,
    checks: Checks,
    /// Of the check before the work.
    told_first: Option<Told>,
}

impl Conversation {
    /// `first_turn` is above every turn the log already holds, so no call id is used twice.
    pub(crate) fn new(dialect: Dialect, offered: Vec<Tool>, task: String, first_turn: u32) -> Self {
        Self {
            dialect,
            offered,
            task,
            turns: Vec::new(),
            first_turn,
            detector: Detector::default(),
            stuck: None,
            shrunk: 0,
            checks: Checks::default(),
            told_first: None,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn offered(&self) -> &[Tool] {
        &self.offered
    }

    pub(crate) fn next(&self) -> Next {
        if let Some(pattern) = self.stuck {
            return Next::Stuck(pattern);
        }
        let Some(turn) = self.turns.last() else { return Next::Answer { turn: self.first_turn } };
        if turn.bodiless.is_some() {
            return Next::Body { turn: turn.number };
        }
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
    pub(crate) fn answered(&mut self, turn: u32, part: Part, answer: Answer) -> Option<Pattern> {
        match part {
            Part::Action => self.action_answered(turn, answer),
            Part::Body => self.body_answered(turn, answer),
        }
    }

    fn action_answered(&mut self, number: u32, answer: Answer) -> Option<Pattern> {
        // The log may hold an answer that never reached the agent, which then asked again: the newer one counts.
        self.turns.pop_if(|turn| turn.number == number && !turn.has_begun());
        // It was asked again after a finish, so the finish was refused.
        self.refuse_finish();
        let mut turn = Turn::new(number, answer.content);
        let outcome = match unusable(answer.finish_reason) {
            Some(reason) => Err(reason.to_owned()),
            None if answer.tool_calls.is_empty() => match envelope::read(&turn.content) {
                Reading::Action(action) => Ok(vec![action]),
                Reading::NeedsBody(bodiless) => {
                    let allowed = self.allowed(bodiless.tool());
                    turn.bodiless = Some(bodiless);
                    allowed.map(|()| Vec::new())
                }
                Reading::Malformed(reason) => Err(reason),
            },
            None => native_actions(&answer.tool_calls),
        };
        let outcome = outcome.and_then(|actions| {
            actions.iter().try_for_each(|action| self.allowed(action.tool()))?;
            Ok(actions)
        });
        let numbered = answer.tool_calls.into_iter().enumerate().map(|(index, call)| ToolCall {
            // Ids that models choose repeat from turn to turn; ours are unique in the job.
            id: tool_call_id(number, index + 1),
            ..call
        });
        turn.native = numbered.collect();
        let verdict = match outcome {
            Ok(actions) => {
                turn.take(actions);
                Verdict::Fine
            }
            Err(reason) => {
                turn.refuse(reason);
                self.detector.malformed()
            }
        };
        self.turns.push(turn);
        self.judge(verdict)
    }

    fn body_answered(&mut self, number: u32, answer: Answer) -> Option<Pattern> {
        let turn = self.turns.last_mut().filter(|turn| turn.number == number && !turn.has_begun())?;
        // The second is a body that was asked for again, as above.
        let bodiless = turn.bodiless.take().or_else(|| turn.body.take().map(|(bodiless, _)| bodiless))?;
        turn.malformed = None;
        let unusable = unusable(answer.finish_reason).map(str::to_owned);
        turn.body = Some((bodiless.clone(), answer.content.clone()));
        let verdict = match (unusable, bodiless.with_body(&answer.content)) {
            (None, Some(action)) => {
                turn.take(vec![action]);
                Verdict::Fine
            }
            (reason, _) => {
                turn.refuse(reason.unwrap_or_else(|| "there is no command in your answer".into()));
                self.detector.malformed()
            }
        };
        self.judge(verdict)
    }

    fn allowed(&self, tool: Tool) -> Result<(), String> {
        match self.offered.contains(&tool) {
            true => Ok(()),
            false => Err(format!("`{}` is not allowed in this job", tool.as_str())),
        }
    }

    /// A tool call begins.
    pub(crate) fn started(&mut self, call_id: &str) {
        if let Some(state) = self.turns.iter_mut().rev().find_map(|turn| turn.call_mut(call_id)) {
            state.started = true;
        }
    }

    /// A tool call ended. Returns the circle the model was found in, when it is to be told for the first time.
    pub(crate) fn finished(&mut self, call_id: &str, finished: &Finished) -> Option<Pattern> {
        let state = self.turns.iter_mut().rev().find_map(|turn| turn.call_mut(call_id))?;
        let text = prompt::result(finished.outcome, finished.exit_code, &finished.output);
        let verdict = self.detector.called(&state.call.action, &text);
        state.result = Some(Observation { text, dropped: false });
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

    /// The prompt did not fit: replaces the oldest outputs by a note. Returns how many; 0 when there is nothing left to
    /// drop and the job has to fail.
    pub(crate) fn shrink(&mut self) -> usize {
        let Some(kept) = KEPT_WHEN_SHRINKING.get(self.shrunk) else { return 0 };
        self.shrunk += 1;
        let forgotten = self.forget_checks();
        let results = self.turns.iter_mut().flat_map(|turn| &mut turn.calls).filter_map(|state| state.result.as_mut());
        let mut results: Vec<&mut Observation> = results.collect();
        let droppable = results.len().saturating_sub(*kept);
        let mut dropped = forgotten;
        for result in &mut results[..droppable] {
            if !result.dropped && result.text.len() > prompt::DROPPED.len() {
                result.text = prompt::DROPPED.into();
                result.dropped = true;
                dropped += 1;
            }
        }
        match dropped {
            // Nothing old enough this time; the next time keeps less.
            0 if self.shrunk < KEPT_WHEN_SHRINKING.len() => self.shrink(),
            dropped => dropped,
        }
    }
}

/// Why an answer that is not whole is not used, in words for the model.
fn unusable(reason: FinishReason) -> Option<&'static str> {
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls => None,
        FinishReason::Length => Some("your answer was cut off because it was too long; do less in one step"),
        FinishReason::ContentFilter => Some("your answer was held back by a content filter"),
    }
}

fn native_actions(calls: &[ToolCall]) -> Result<Vec<Action>, String> {
    if calls.len() > CALLS_PER_ANSWER {
        return Err(format!("{} calls in one answer; at most {CALLS_PER_ANSWER} are taken", calls.len()));
    }
    calls
        .iter()
        .map(|call| match Tool::parse(&call.name) {
            Some(tool) => Action::from_arguments(tool, &call.arguments),
            None => Err(format!("`{}` is not one of the tools", call.name.chars().take(40).collect::<String>())),
        })
        .collect()
}

#[cfg(test)]
mod tests;
