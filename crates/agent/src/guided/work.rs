//! Guided work as a fold over what the log holds. The live loop and a rebuild after a crash feed it the same facts, so both come
//! to the same next step.
//!
//! ```text
//!   Next::Begin(plan) ─▶ Next::Answer ─▶ Next::Write(1, 2 …) ─▶ Next::Check ─▶ passes: Next::Done
//!        ▲                    │                │                    └─▶ fails ──┐
//!        └────────────────────┴────────────────┴── nothing usable, nothing new ◀┴─▶ nothing left to try: Next::Keep
//! ```
//! Without a check a look at the form of what was written takes its place, where that can be had.

mod outcome;
mod replay;
mod told;

use super::{
    candidates::{self, Came, Plan, Score},
    files::Shown,
    read::{self, Ground},
    syntax,
};
use crate::{
    call_id::tool_call_id,
    check::{Check, Checks, Ended},
    conversation::{Answer, Call, Finished},
    tool::Action,
};
use protocol::{CheckOutcome, EditForm, FinishReason, GuidedFunction, ToolOutcome};
use std::collections::BTreeMap;

/// What has to happen now.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// Go to the files this try begins at, and begin it.
    Begin(Plan),
    /// A model's answer, for this turn.
    Answer {
        turn: u32,
    },
    /// One file, or a look at the form of them.
    Call(Call),
    Check,
    /// The last try is the work.
    Done,
    /// None is. Go to the files of this try, or to those of the start.
    Keep(Option<usize>),
    /// That was done.
    Over,
}

/// What a job's guided work is about; the same from its first event to its last.
pub(super) struct Terms {
    pub(super) task: String,
    pub(super) files: Vec<Shown>,
    /// Of all files of the repository.
    pub(super) names: Vec<String>,
    /// Functions the mistake may be in; none where no check could say that it is gone.
    pub(super) suspects: Vec<GuidedFunction>,
    pub(super) edits: EditForm,
    /// Most tokens of a prompt, where the model's context is known.
    pub(super) prompt_tokens: Option<u64>,
    /// The step it begins at.
    pub(super) start: String,
    /// Commands may run without asking, so that the form of files can be looked at.
    pub(super) runs_commands: bool,
}

struct CallState {
    call: Call,
    started: bool,
    finished: Option<Finished>,
}

struct Try {
    plan: Plan,
    turn: u32,
    answer: Option<String>,
    calls: Vec<CallState>,
    /// The look at the form was begun.
    is_looking: bool,
    problems: Vec<String>,
    /// The files it comes to are those of an earlier one.
    is_again: bool,
    /// The step it left, or began at.
    commit: String,
    ended: Option<Ended>,
}

pub(super) struct Work {
    terms: Terms,
    checks: Checks,
    tries: Vec<Try>,
    next_turn: u32,
    is_over: bool,
    kept: Option<usize>,
}

impl Work {
    pub(super) fn new(terms: Terms, checks: Checks, first_turn: u32) -> Self {
        Self { terms, checks, tries: Vec::new(), next_turn: first_turn, is_over: false, kept: None }
    }

    /// How many candidates are tried at most.
    pub(super) fn candidates(&self) -> u32 {
        candidates::count(self.terms.suspects.len())
    }

    /// The function a plan is about.
    pub(super) fn suspect(&self, plan: &Plan) -> Option<&GuidedFunction> {
        self.terms.suspects.get(plan.suspect?)
    }

    pub(super) fn checks(&self) -> &Checks {
        &self.checks
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        self.tries.last().map(|last| &last.plan)
    }

    pub(super) fn next(&self) -> Next {
        if self.is_over {
            return Next::Over;
        }
        let Some(last) = self.tries.last() else { return self.next_try() };
        if last.answer.is_none() {
            return Next::Answer { turn: self.next_turn };
        }
        if let Some(state) = last.calls.iter().find(|state| state.finished.is_none()) {
            return Next::Call(state.call.clone());
        }
        match (last.wrote_any(), &last.ended) {
            (false, _) => self.next_try(),
            (true, Some(ended)) if ended.outcome == CheckOutcome::Passed => Next::Done,
            (true, Some(_)) => self.next_try(),
            (true, None) if self.checks.is_usable() => Next::Check,
            (true, None) => match self.look_at_form(last) {
                Some(call) => Next::Call(call),
                None => Next::Done,
            },
        }
    }

    fn next_try(&self) -> Next {
        match candidates::next(&self.came(), self.score_before(), self.terms.suspects.len()) {
            Some(plan) => Next::Begin(plan),
            None => Next::Keep(self.best()),
        }
    }

    fn came(&self) -> Vec<(Plan, Came)> {
        let came = |tried: &Try| match &tried.ended {
            Some(ended) => Came::Fails(self.score(ended)),
            None if tried.is_again => Came::Again,
            None => Came::Nothing,
        };
        self.tries.iter().map(|tried| (tried.plan.clone(), came(tried))).collect()
    }

    fn score_before(&self) -> Option<Score> {
        self.checks.before().filter(|before| before.outcome != CheckOutcome::Unusable).map(|ended| self.score(ended))
    }

    fn score(&self, ended: &Ended) -> Score {
        let ran = |ended: &Ended| Some(ended.passed? + ended.failed?);
        // Tests that cannot be loaded any more do not fail one by one.
        let are_fewer = self.checks.before().and_then(ran).zip(ran(ended)).is_some_and(|(before, now)| now < before);
        Score::of(ended.outcome, ended.passed, ended.failed.filter(|_| !are_fewer))
    }

    /// Where a plan begins.
    pub(super) fn commit_of(&self, parent: Option<usize>) -> &str {
        parent.and_then(|at| self.tries.get(at)).map_or(self.terms.start.as_str(), |tried| &tried.commit)
    }

    /// A try begins, at this step.
    pub(super) fn begun(&mut self, plan: Plan, commit: String) {
        self.tries.push(Try {
            plan,
            turn: 0,
            answer: None,
            calls: Vec::new(),
            is_looking: false,
            problems: Vec::new(),
            is_again: false,
            commit,
            ended: None,
        });
    }

    /// The workspace was left at this step.
    pub(super) fn stepped(&mut self, commit: String) {
        if let Some(last) = self.tries.last_mut().filter(|_| !self.is_over) {
            last.commit = commit;
        }
    }

    /// A model answered.
    pub(super) fn answered(&mut self, turn: u32, answer: &Answer) {
        self.next_turn = self.next_turn.max(turn + 1);
        let Some(at) = self.tries.len().checked_sub(1) else { return };
        // The log may hold an answer that never reached the agent, which then asked again: the newer one counts.
        if self.tries[at].calls.iter().any(|state| state.started) {
            return;
        }
        let (is_cut, is_held_back) =
            (answer.finish_reason == FinishReason::Length, answer.finish_reason == FinishReason::ContentFilter);
        let changes = match is_held_back {
            true => read::Changes {
                problems: vec!["your answer was held back by a content filter".into()],
                ..Default::default()
            },
            false => read::changes(&answer.content, is_cut, &self.ground(&self.tries[at].plan)),
        };
        let mut after = self.overlay(self.tries[at].plan.parent);
        after.extend(changes.files.iter().cloned());
        let is_again = !changes.files.is_empty() && self.is_known(at, &after);
        let tried = &mut self.tries[at];
        tried.turn = turn;
        tried.answer = Some(answer.content.clone());
        tried.problems = changes.problems;
        tried.is_again = is_again;
        let calls = changes.files.into_iter().enumerate().map(|(index, (path, content))| CallState {
            call: Call { id: tool_call_id(turn, index + 1), action: Action::WriteFile { path, content } },
            started: false,
            finished: None,
        });
        tried.calls = if is_again { Vec::new() } else { calls.collect() };
    }

    /// Whether these files were tried already, or are those of the start.
    fn is_known(&self, at: usize, after: &BTreeMap<String, String>) -> bool {
        let start = |path: &String| self.terms.files.iter().find(|file| file.path == *path).map(|file| &file.text);
        let is_start = after.iter().all(|(path, text)| start(path) == Some(text));
        is_start || (0..at).any(|other| self.tries[other].ended.is_some() && self.overlay(Some(other)) == *after)
    }

    /// What tries up to this one wrote, by path.
    fn overlay(&self, at: Option<usize>) -> BTreeMap<String, String> {
        let mut written = BTreeMap::new();
        for tried in self.chain(at) {
            for state in tried.calls.iter().filter(|state| state.succeeded()) {
                if let Action::WriteFile { path, content } = &state.call.action {
                    written.insert(path.clone(), content.clone());
                }
            }
        }
        written
    }

    /// A try and those it goes on from, the first one first.
    fn chain(&self, at: Option<usize>) -> Vec<&Try> {
        let mut chain: Vec<&Try> =
            std::iter::successors(at.and_then(|at| self.tries.get(at)), |tried| self.tries.get(tried.plan.parent?))
                .collect();
        chain.reverse();
        chain
    }

    fn ground(&self, plan: &Plan) -> Ground {
        let shown = self.terms.files.iter().filter(|file| file.may_change);
        let mut files: BTreeMap<String, String> = shown.map(|file| (file.path.clone(), file.text.clone())).collect();
        files.extend(self.overlay(plan.parent));
        Ground {
            files,
            names: self.terms.names.clone(),
            named_in: self.named_in(),
            suspect: self.suspect(plan).cloned(),
        }
    }

    fn named_in(&self) -> String {
        let said = self.checks.before().map(|before| before.output.as_str()).unwrap_or_default();
        format!("{}\n{said}", self.terms.task)
    }

    /// A call begins.
    pub(super) fn started(&mut self, call_id: &str) {
        let Some(last) = self.tries.last_mut() else { return };
        match last.calls.iter_mut().find(|state| state.call.id == call_id) {
            Some(state) => state.started = true,
            None => last.is_looking |= call_id == last.look_id(),
        }
    }

    /// A call ended. One whose agent died is made again: a whole file is written, or only looked at.
    pub(super) fn finished(&mut self, call_id: &str, finished: Finished) {
        let Some(last) = self.tries.last_mut() else { return };
        let is_interrupted = finished.outcome == ToolOutcome::Interrupted;
        let is_look = call_id == last.look_id();
        match last.calls.iter_mut().find(|state| state.call.id == call_id) {
            Some(state) if is_interrupted => state.started = false,
            Some(state) => {
                if finished.outcome != ToolOutcome::Succeeded {
                    last.problems.push(finished.output.trim().to_owned());
                }
                state.finished = Some(finished);
            }
            None if is_look && is_interrupted => last.is_looking = false,
            None if is_look => last.looked(finished),
            None => {}
        }
    }

    /// The call that was begun and has no result: after a rebuild, one whose agent died.
    pub(super) fn interrupted(&self) -> Option<Call> {
        let last = self.tries.last()?;
        let written = last.calls.iter().find(|state| state.started && state.finished.is_none());
        let looked = || self.look_at_form(last).filter(|_| last.is_looking && last.ended.is_none());
        written.map(|state| state.call.clone()).or_else(looked)
    }

    fn look_at_form(&self, last: &Try) -> Option<Call> {
        let command = syntax::command(last.written()).filter(|_| self.terms.runs_commands)?;
        Some(Call { id: last.look_id(), action: Action::Run { command } })
    }

    pub(super) fn check_started(&mut self, check: Check) {
        self.checks.started(check);
    }

    /// The check ran on what the last try left.
    pub(super) fn checked(&mut self, ended: Ended) {
        if let Some(last) = self.tries.last_mut() {
            last.ended = Some(ended.clone());
        }
        self.checks.ended(ended);
    }

    /// A prompt did not fit: shows one file less. `false` when there is none to leave away.
    pub(super) fn shrink(&mut self) -> bool {
        let more = self.terms.files.len() > 1;
        if more {
            self.terms.files.remove(0);
        }
        more
    }
}

impl CallState {
    fn succeeded(&self) -> bool {
        self.finished.as_ref().is_some_and(|finished| finished.outcome == ToolOutcome::Succeeded)
    }
}

impl Try {
    fn wrote_any(&self) -> bool {
        self.calls.iter().any(CallState::succeeded)
    }

    fn written(&self) -> impl Iterator<Item = &str> {
        self.calls.iter().filter(|state| state.succeeded()).filter_map(|state| match &state.call.action {
            Action::WriteFile { path, .. } => Some(path.as_str()),
            _ => None,
        })
    }

    fn look_id(&self) -> String {
        tool_call_id(self.turn, self.calls.len() + 1)
    }

    /// The form of what was written was looked at.
    fn looked(&mut self, finished: Finished) {
        let outcome = match finished.exit_code {
            // A program that is not here says nothing.
            Some(0 | 126 | 127) => CheckOutcome::Passed,
            _ => CheckOutcome::Failed,
        };
        let (exit_code, output) = (finished.exit_code, finished.output);
        self.ended =
            Some(Ended { commit: self.commit.clone(), outcome, exit_code, passed: None, failed: None, output });
    }
}

#[cfg(test)]
mod tests;
