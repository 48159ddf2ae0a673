//! A word on what to do about what just failed, when it is needed and not before: what stands in the rules is forgotten by
//! the time it matters. At most one for each result; tools that refuse say by themselves what to do instead.

use crate::{conversation::Finished, tool::Action};
use protocol::ToolOutcome;

/// Marks in an output, and what they call for. The first that fits.
const SIGNS: [(&[&str], &str); 6] = [
    (
        &["command not found", ": not found", "No such file or directory: '/usr"],
        "That program is not installed and cannot be: there is no network. Use what is there.",
    ),
    (
        &["Could not resolve host", "Temporary failure in name resolution", "Network is unreachable", "getaddrinfo"],
        "There is no network. Use only what is on this machine.",
    ),
    (
        &["SyntaxError", "IndentationError", "TabError", "error: expected", "error: unexpected", "Unexpected token"],
        "The file has a mistake in its form. Read the lines around the one that is named, then mend them with edit_file.",
    ),
    (
        &["ModuleNotFoundError", "ImportError", "Cannot find module", "unresolved import", "NameError", "undefined:"],
        "A name is missing. Check how it is spelled where it is defined, and where commands are started.",
    ),
    (
        &["AssertionError", "assert ", "FAILED", "FAIL:", "test result: FAILED", "Expected", "expected:"],
        "A check failed. Compare what was expected with what came, find the line that makes it so, and change the code there, not \
         the check.",
    ),
    (
        &["Traceback (most recent call last)", "panicked at", "Exception in thread"],
        "Read the last lines first: they name the error and the place.",
    ),
];

pub(crate) fn hint(action: &Action, finished: &Finished) -> Option<&'static str> {
    match (action, finished.outcome) {
        (Action::Run { .. }, ToolOutcome::TimedOut) => {
            Some("A command that waits for input, serves, or watches never ends. Run one that does its work and stops.")
        }
        (Action::Run { .. }, ToolOutcome::Failed) => {
            let found = |signs: &[&str]| signs.iter().any(|sign| finished.output.contains(sign));
            SIGNS.iter().find(|(signs, _)| found(signs)).map(|(_, hint)| *hint)
        }
        (Action::EditFile { .. } | Action::WriteFile { .. }, ToolOutcome::Succeeded) => {
            Some("Now run what shows whether it works. If that was done already and the task is complete, finish.")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(action: &Action, outcome: ToolOutcome, output: &str) -> Option<&'static str> {
        hint(action, &Finished { outcome, exit_code: None, output: output.into() })
    }

    #[test]
    fn the_hint_is_about_what_failed() {
        let run = Action::Run { command: "x".into() };
        for (output, word) in [
            ("sh: 1: pytest: not found", "not installed"),
            ("Traceback (most recent call last):\n  File \"a.py\"\nAssertionError", "A check failed"),
            ("  File \"a.py\", line 3\nIndentationError: unexpected indent", "mistake in its form"),
            ("Traceback (most recent call last):\nValueError: x", "Read the last lines"),
        ] {
            assert!(after(&run, ToolOutcome::Failed, output).is_some_and(|hint| hint.contains(word)), "{output}");
        }
        assert_eq!(after(&run, ToolOutcome::Succeeded, "FAILED"), None);
        assert_eq!(after(&run, ToolOutcome::Failed, "no"), None);
        let edit = Action::EditFile { path: "a".into(), old: "x".into(), new: "y".into() };
        assert!(after(&edit, ToolOutcome::Succeeded, "").is_some_and(|hint| hint.starts_with("Now run")));
        assert_eq!(after(&edit, ToolOutcome::Failed, ""), None, "it says so itself");
    }
}
