//! How a check ended, as a person reads it.

use super::{BAD, CAREFUL, GOOD, styled};
use protocol::{CheckOutcome, failed_of};

pub(super) fn ended(
    outcome: CheckOutcome,
    exit_code: Option<i32>,
    (passed, failed): (Option<u64>, Option<u64>),
) -> String {
    match (outcome, failed_of(passed, failed)) {
        (CheckOutcome::Passed, _) => {
            let tests =
                passed.filter(|passed| *passed > 0).map_or_else(String::new, |passed| format!(", {passed} tests"));
            styled(GOOD, format!("passed{tests}"))
        }
        (CheckOutcome::Failed, Some(counts)) => styled(BAD, format!("{counts} fail")),
        (CheckOutcome::Failed, None) => {
            styled(BAD, exit_code.map_or_else(|| "failed".to_owned(), |code| format!("failed, exit {code}")))
        }
        (CheckOutcome::TimedOut, _) => styled(BAD, "timed out"),
        (CheckOutcome::Cancelled, _) => styled(BAD, "cancelled"),
        (CheckOutcome::Unusable, _) => styled(CAREFUL, "cannot run here"),
    }
}

/// What was done about the files it changed.
pub(super) fn undone(files: u64) -> String {
    match files {
        0 => String::new(),
        1 => "; 1 file put back".to_owned(),
        files => format!("; {files} files put back"),
    }
}
