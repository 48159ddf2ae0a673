use super::*;

fn started(checks: &mut Checks) {
    checks.started(Check { command: "make test".into(), why: "named".into() });
}

fn ended(commit: &str, outcome: CheckOutcome, failed: u64) -> Ended {
    let output = if failed > 0 { format!("FAILED {failed}") } else { String::new() };
    let exit_code = Some(i32::from(outcome.is_failure()));
    Ended { commit: commit.into(), outcome, exit_code, passed: Some(14 - failed), failed: Some(failed), output }
}

fn after(runs: &[(&str, CheckOutcome, u64)]) -> (Checks, String) {
    let mut checks = Checks::default();
    let mut text = String::new();
    for (commit, outcome, failed) in runs {
        started(&mut checks);
        let ended = ended(commit, *outcome, *failed);
        text = told(&checks, &ended).map(|told| told.text()).unwrap_or_default();
        checks.ended(ended);
    }
    (checks, text)
}

use CheckOutcome::{Failed, Passed, TimedOut, Unusable};

#[test]
fn it_is_due_once_for_each_state_of_the_workspace() {
    let mut checks = Checks::default();
    assert_eq!(checks.due("a"), None, "no check");
    started(&mut checks);
    assert!(checks.due("a").is_some(), "begun, and ended by the agent's death");
    checks.ended(ended("a", Failed, 2));
    assert!(checks.due("a").is_none() && checks.due("b").is_some());
}

#[test]
fn only_a_check_that_failed_can_be_mended() {
    assert!(after(&[("a", Failed, 2), ("b", Passed, 0)]).0.is_mended());
    assert!(!after(&[("a", Passed, 0), ("b", Passed, 0)]).0.is_mended());
    assert!(after(&[("a", Passed, 0), ("b", Failed, 1), ("c", Passed, 0)]).0.is_mended());
    assert!(!after(&[("a", Failed, 2), ("b", Failed, 1)]).0.is_mended());
}

#[test]
fn a_finish_is_refused_once_for_the_same_files_and_three_times_in_all() {
    let (mut checks, _) = after(&[("a", Failed, 2)]);
    assert_eq!(checks.on_finish(), Verdict::Refused);
    checks.refused();
    let Verdict::Failed(message) = checks.on_finish() else { panic!("{checks:?}") };
    assert!(
        message.starts_with("check still fails: 2 of 14, as before the work (`make test`), and the model says"),
        "{message}"
    );
    for commit in ["b", "c"] {
        checks.ended(ended(commit, Failed, 1));
        assert_eq!(checks.on_finish(), Verdict::Refused);
        checks.refused();
    }
    checks.ended(ended("d", TimedOut, 0));
    assert!(matches!(checks.on_finish(), Verdict::Failed(_)));
    checks.ended(ended("e", Passed, 0));
    assert_eq!(checks.on_finish(), Verdict::Accepted);
    assert_eq!(after(&[("a", Unusable, 0)]).0.on_finish(), Verdict::Accepted);
}

#[test]
fn the_model_is_told_what_is_new() {
    let rule = "The check of this job is `make test`. It runs by itself after each change.";
    assert_eq!(after(&[("a", Passed, 0)]).1, format!("{rule} Now, before the work, it passes. 14 tests ran."));
    let fails = format!("{rule} The work is done when it passes. Now it fails (2 of 14 tests):\nFAILED 2");
    assert_eq!(after(&[("a", Failed, 2)]).1, fails);
    assert_eq!(after(&[("a", Failed, 2), ("b", Failed, 2)]).1, "The check still fails as before (2 of 14 tests).");
    assert_eq!(after(&[("a", Failed, 2), ("b", Failed, 1)]).1, "The check still fails (1 of 14 tests):\nFAILED 1");
    assert_eq!(after(&[("a", Passed, 0), ("b", Failed, 1)]).1, "The check fails now (1 of 14 tests):\nFAILED 1");
    assert_eq!(
        after(&[("a", Failed, 2), ("b", Passed, 0)]).1,
        "The check passes now. 14 tests ran. If the task is done, finish."
    );
    assert_eq!(after(&[("a", Passed, 0), ("b", Passed, 0)]).1, "The check passes. 14 tests ran.");
}
