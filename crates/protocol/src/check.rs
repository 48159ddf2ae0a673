//! The check of a job: the command that tells whether its work is right.

use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::ToSchema;

/// What [`crate::CreateJob::check`] says for a job that is to have no check.
pub const NO_CHECK: &str = "none";

/// How a job's check ended, the last time it ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CheckResult {
    pub command: String,
    pub outcome: CheckOutcome,
    /// Tests that passed, where the command says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u64>,
    /// Tests that did not, where the command says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<u64>,
    /// How it ended before the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<CheckOutcome>,
}

/// `check passed`, `check still fails: 2 of 14`.
impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let still = if self.before.is_some_and(CheckOutcome::is_failure) { "still " } else { "" };
        match self.outcome {
            CheckOutcome::Passed => f.write_str("check passed"),
            CheckOutcome::Failed => write!(f, "check {still}fails"),
            CheckOutcome::TimedOut => write!(f, "check {still}takes too long"),
            CheckOutcome::Cancelled => f.write_str("check was cancelled"),
            CheckOutcome::Unusable => f.write_str("check cannot run here"),
        }?;
        match (self.outcome, failed_of(self.passed, self.failed)) {
            (CheckOutcome::Failed, Some(counts)) => write!(f, ": {counts}"),
            _ => Ok(()),
        }
    }
}

/// `2 of 14`: how many tests failed, of how many that ran.
pub fn failed_of(passed: Option<u64>, failed: Option<u64>) -> Option<String> {
    let failed = failed.filter(|failed| *failed > 0)?;
    Some(match passed {
        Some(passed) => format!("{failed} of {}", passed.saturating_add(failed)),
        None => failed.to_string(),
    })
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    Passed,
    Failed,
    /// It hung, and was ended with all it had started.
    TimedOut,
    Cancelled,
    /// What it needs is not there, so it says nothing about the work.
    Unusable,
}

impl CheckOutcome {
    /// It ran, and says that something is wrong.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_one_line() {
        let result = |outcome, counts: (Option<u64>, Option<u64>), before| {
            let (passed, failed) = counts;
            CheckResult { command: "make test".into(), outcome, passed, failed, before }.to_string()
        };
        use CheckOutcome::{Failed, Passed, TimedOut};
        assert_eq!(result(Passed, (Some(14), Some(0)), Some(Failed)), "check passed");
        assert_eq!(result(Failed, (Some(12), Some(2)), Some(Failed)), "check still fails: 2 of 14");
        assert_eq!(result(Failed, (Some(12), Some(2)), Some(Passed)), "check fails: 2 of 14");
        assert_eq!(result(Failed, (None, None), Some(Failed)), "check still fails");
        assert_eq!(result(TimedOut, (None, None), None), "check takes too long");
    }
}
