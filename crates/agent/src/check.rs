//! The check of a `code` job: the command that tells whether its work is right. Nobody takes a model's word for that.
//!
//! ```text
//!   named, or found in the workspace ─▶ before the work ──┬─ found, and cannot run here ─▶ no check
//!                                                         ▼
//!            ┌──────────────── the model's turns ◀────────┴──────────────┐
//!            ▼                                                           │
//!   files changed ─▶ check ─▶ fails: the model is told where ────────────┤
//!                      └────▶ passes and had failed: it is told to finish, and a turn without changes ends the job
//!   finish ─▶ passes ─▶ succeeded
//!        └──▶ fails ──▶ refused once for the same files, then `check_failed`
//! ```
//! `find` knows which command; `run` runs it and undoes what it changed; `counts` and `excerpt` read what it printed; `words`
//! has what a model and people are told. [`Checks`] is a fold over what the log holds, as the conversation is that has it.

mod counts;
mod excerpt;
mod find;
mod run;
mod words;

pub(crate) use words::{Told, counted, not_yet, told};

use protocol::{CheckOutcome, CheckResult};

/// Finishes that are refused because the check fails. Each is a model call; a model that mends a little each time has its steps.
const REFUSALS: u32 = 3;

/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) command: String,
    /// Who named it, or what it was found by.
    pub(crate) why: String,
}

/// How it ended, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The step it was about.
    pub(crate) commit: String,
    pub(crate) outcome: CheckOutcome,
    pub(crate) exit_code: Option<i32>,
    pub(crate) passed: Option<u64>,
    pub(crate) failed: Option<u64>,
    /// Where its first failure begins, and its end.
    pub(crate) output: String,
}

impl Ended {
    /// Whether it fails as it did another time, as far as that can be told.
    fn fails_like(&self, other: &Self) -> bool {
        let same = (self.outcome, self.exit_code, self.failed) == (other.outcome, other.exit_code, other.failed);
        same && self.outcome.is_failure()
            && excerpt::without_numbers(&self.output) == excerpt::without_numbers(&other.output)
    }
}

/// All there is to know of a job's check.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    check: Option<Check>,
    /// Runs that were begun, also those that an agent's death ended.
    begun: u32,
    before: Option<Ended>,
    last: Option<Ended>,
    has_failed: bool,
    refusals: u32,
    /// The step for which a finish was refused.
    refused: Option<String>,
}

/// What becomes of a finish.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Accepted,
    /// The model has another try.
    Refused,
    Failed(String),
}

impl Checks {
    /// A run begins.
    pub(crate) fn started(&mut self, check: Check) {
        self.begun += 1;
        self.check = Some(check);
    }

    /// A run ended.
    pub(crate) fn ended(&mut self, ended: Ended) {
        self.has_failed |= ended.outcome.is_failure();
        self.before.get_or_insert_with(|| ended.clone());
        self.last = Some(ended);
    }

    /// The check that is due for the workspace at this step.
    pub(crate) fn due(&self, commit: &str) -> Option<&Check> {
        let is_news = |last: &Ended| last.commit != commit && last.outcome != CheckOutcome::Unusable;
        self.check.as_ref().filter(|_| self.last.as_ref().is_none_or(is_news))
    }

    /// Whether it was looked for, and run, by an earlier attempt.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun > 0
    }

    /// How it ended the first time, before the work.
    pub(crate) fn before(&self) -> Option<&Ended> {
        self.before.as_ref()
    }

    pub(crate) fn command(&self) -> Option<&str> {
        self.check.as_ref().map(|check| check.command.as_str())
    }

    /// There is one, and it can run here.
    pub(crate) fn is_usable(&self) -> bool {
        self.last.as_ref().is_some_and(|last| last.outcome != CheckOutcome::Unusable)
    }

    /// It fails no more, and it did.
    pub(crate) fn is_mended(&self) -> bool {
        self.has_failed && self.last.as_ref().is_some_and(|last| last.outcome == CheckOutcome::Passed)
    }

    /// For the workspace the last run was about.
    pub(crate) fn on_finish(&self) -> Verdict {
        let Some(last) = self.last.as_ref().filter(|last| last.outcome.is_failure()) else { return Verdict::Accepted };
        match self.refused.as_ref() == Some(&last.commit) || self.refusals >= REFUSALS {
            true => Verdict::Failed(words::failed(self)),
            false => Verdict::Refused,
        }
    }

    /// The model was told to go on.
    pub(crate) fn refused(&mut self) {
        self.refusals += 1;
        self.refused = self.last.as_ref().map(|last| last.commit.clone());
    }

    /// For the job's result.
    pub(crate) fn result(&self) -> Option<CheckResult> {
        let last = self.last.as_ref()?;
        Some(CheckResult {
            command: self.check.as_ref().map(|check| check.command.clone()).unwrap_or_default(),
            outcome: last.outcome,
            passed: last.passed,
            failed: last.failed,
            before: self.before.as_ref().map(|before| before.outcome),
        })
    }

    /// Tests that ran before the work.
    fn ran_before(&self) -> u64 {
        let ran = |before: &Ended| before.passed.unwrap_or_default() + before.failed.unwrap_or_default();
        self.before.as_ref().map_or(0, ran)
    }
}

#[cfg(test)]
mod tests;
