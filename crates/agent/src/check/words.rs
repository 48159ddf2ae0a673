//! What a model and people are told of a check. Short, as everything a model is told.

use super::{Checks, Ended};
use protocol::{CheckOutcome, CheckResult, failed_of};

/// What a model is told of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    /// How it went, which stays.
    pub(crate) heading: String,
    /// What fails, which is dropped where room is short.
    pub(crate) output: String,
}

impl Told {
    pub(crate) fn text(&self) -> String {
        match self.output.is_empty() {
            true => self.heading.clone(),
            false => format!("{}\n{}", self.heading, self.output),
        }
    }
}

/// Of the run that just ended; `checks` knows of those before it. `None`: there is nothing the model can do about it.
pub(crate) fn told(checks: &Checks, ended: &Ended) -> Option<Told> {
    let check = checks.check.as_ref()?;
    let Some(last) = &checks.last else {
        let rule = format!("The check of this job is `{}`. It runs by itself after each change.", check.command);
        return Some(match ended.outcome {
            CheckOutcome::Passed => Told {
                heading: format!("{rule} Now, before the work, it passes.{}", passing(ended)),
                output: String::new(),
            },
            CheckOutcome::Failed => Told {
                heading: format!("{rule} The work is done when it passes. Now it fails{}:", counted(ended)),
                output: ended.output.clone(),
            },
            CheckOutcome::Unusable => return None,
            _ => {
                Told { heading: format!("{rule} Now it takes too long and was stopped."), output: ended.output.clone() }
            }
        });
    };
    Some(match ended.outcome {
        CheckOutcome::Passed if checks.has_failed => Told {
            heading: format!("The check passes now.{} If the task is done, finish.", passing(ended)),
            output: String::new(),
        },
        CheckOutcome::Passed => Told { heading: format!("The check passes.{}", passing(ended)), output: String::new() },
        _ if ended.fails_like(last) => {
            Told { heading: format!("The check still fails as before{}.", counted(ended)), output: String::new() }
        }
        CheckOutcome::Failed => {
            let still = if last.outcome.is_failure() { "still fails" } else { "fails now" };
            Told { heading: format!("The check {still}{}:", counted(ended)), output: ended.output.clone() }
        }
        _ => Told { heading: "The check takes too long and was stopped.".into(), output: ended.output.clone() },
    })
}

/// The answer to a finish while the check fails.
pub(crate) fn not_yet(checks: &Checks) -> String {
    let counted = checks.last.as_ref().map(counted).unwrap_or_default();
    format!(
        "Not finished: the check still fails{counted}. Change what is wrong. If it cannot be made to pass, call finish again and say why."
    )
}

/// Why the job fails, for people.
pub(super) fn failed(checks: &Checks) -> String {
    let result = checks.result();
    let said = result.as_ref().map(CheckResult::to_string).unwrap_or_default();
    let command = result.map(|result| result.command).unwrap_or_default();
    let as_before = match (&checks.before, &checks.last) {
        (Some(before), Some(last)) if last.fails_like(before) => ", as before the work",
        _ => "",
    };
    format!(
        "{said}{as_before} (`{command}`), and the model says that it is done; its changes are kept in the patch, if it made any"
    )
}

/// ` (2 of 14 tests)`, or the exit code.
pub(crate) fn counted(ended: &Ended) -> String {
    match (failed_of(ended.passed, ended.failed), ended.exit_code) {
        (Some(counts), _) => format!(" ({counts} tests)"),
        (None, Some(code)) if ended.outcome == CheckOutcome::Failed => format!(" (exit code {code})"),
        _ => String::new(),
    }
}

fn passing(ended: &Ended) -> String {
    ended.passed.filter(|passed| *passed > 0).map_or_else(String::new, |passed| format!(" {passed} tests ran."))
}
