use super::*;
use crate::rebuild::Fact;

const OLD: &str = "def add(a, b):\n    return a - b\n";

fn terms() -> Terms {
    let file =
        |path: &str, text: &str, may_change| Shown { path: path.into(), may_change, text: text.into(), excerpt: None };
    Terms {
        task: "Make it add.".into(),
        files: vec![file("test_a.py", "from a import add\n", false), file("a.py", OLD, true)],
        names: vec!["a.py".into(), "test_a.py".into(), "b.py".into()],
        suspects: Vec::new(),
        edits: EditForm::WholeFile,
        prompt_tokens: Some(8_000),
        start: "c0".into(),
        runs_commands: true,
    }
}

fn ended(failed: u64) -> Ended {
    let outcome = if failed == 0 { CheckOutcome::Passed } else { CheckOutcome::Failed };
    let output = if failed == 0 { String::new() } else { format!("FAILED {failed} of 4") };
    Ended {
        commit: "c".into(),
        outcome,
        exit_code: Some(i32::from(failed > 0)),
        passed: Some(4 - failed),
        failed: Some(failed),
        output,
    }
}

fn check() -> Check {
    Check { command: "pytest -q".into(), why: "found".into() }
}

fn checks(before: Option<u64>) -> Checks {
    let mut checks = Checks::default();
    if let Some(failed) = before {
        checks.started(check());
        checks.ended(ended(failed));
    }
    checks
}

fn answer(content: &str) -> Answer {
    Answer { content: content.into(), tool_calls: Vec::new(), finish_reason: FinishReason::Stop }
}

fn adds(body: &str) -> String {
    format!("It has to add.\na.py\n```python\ndef add(a, b):\n    return {body}\n```\n")
}

fn done() -> Finished {
    Finished { outcome: ToolOutcome::Succeeded, exit_code: Some(0), output: "Wrote it.".into() }
}

/// Facts of a whole course in which answers come one after the other, and each body that is added makes that many tests fail.
/// Ends with what happens after the last fact.
fn course(before: Option<u64>, answers: &[&str], fails: impl Fn(&str) -> u64) -> (Vec<Fact>, Work) {
    let mut work = Work::new(terms(), checks(before), 1);
    let mut facts = Vec::new();
    let mut answers = answers.iter().chain(std::iter::repeat(&answers[answers.len() - 1]));
    let mut last_text = String::new();
    for step in 0..200 {
        let fact = match work.next() {
            Next::Begin(plan) => {
                Fact::Candidate { candidate: plan.candidate, round: plan.round, commit: format!("c{step}") }
            }
            Next::Answer { turn } => Fact::Answered { turn, answer: answer(answers.next().unwrap()) },
            Next::Call(Call { id, action }) => {
                if let Action::WriteFile { content, .. } = action {
                    last_text = content;
                }
                facts.push(Fact::Started { call_id: id.clone() });
                work.replay(facts[facts.len() - 1..].to_vec());
                facts.push(Fact::Finished { call_id: id, finished: done() });
                work.replay(facts[facts.len() - 1..].to_vec());
                Fact::Step { commit: format!("c{step}") }
            }
            Next::Check => {
                facts.push(Fact::CheckStarted(check()));
                work.replay(facts[facts.len() - 1..].to_vec());
                Fact::Checked(Ended { commit: format!("c{step}"), ..ended(fails(&last_text)) })
            }
            Next::Keep(at) => {
                let plan = at.and_then(|at| work.plan_of(at));
                Fact::Kept { candidate: plan.map(|plan| plan.candidate), round: plan.map(|plan| plan.round) }
            }
            Next::Done | Next::Over => return (facts, work),
        };
        facts.push(fact);
        work.replay(facts[facts.len() - 1..].to_vec());
    }
    panic!("it does not come to an end")
}

fn asked(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact, Fact::Answered { .. })).count()
}

fn checked(facts: &[Fact]) -> usize {
    facts.iter().filter(|fact| matches!(fact, Fact::Checked(_))).count()
}

#[test]
fn the_first_whose_check_passes_wins() {
    let (facts, work) = course(Some(1), &[&adds("a * b"), &adds("a + b")], |text| u64::from(!text.contains('+')));
    assert_eq!((work.next(), asked(&facts), checked(&facts)), (Next::Done, 2, 2));
    assert_eq!(work.changed(), ["a.py"]);
}

#[test]
fn the_one_that_fails_least_is_kept_and_what_came_before_is_not_checked_again() {
    let answers = [adds("a"), adds("b"), adds("a * b"), adds("a")];
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let (facts, work) = course(Some(3), &answers, |text| if text.contains("return b") { 1 } else { 2 });
    assert_eq!(work.kept_candidate(), Some(1));
    assert_eq!(checked(&facts), 3, "the fourth and all after it come to the first one's files");
    assert_eq!(work.checks().result().and_then(|result| result.failed), Some(1), "the result is that of what is kept");
}

#[test]
fn what_makes_it_worse_is_not_kept() {
    let (_, work) = course(Some(1), &[&adds("a"), &adds("b"), &adds("0"), &adds("1")], |_| 3);
    assert_eq!((work.next(), work.kept_candidate()), (Next::Over, None));
    assert_eq!(work.checks().result().and_then(|result| result.failed), Some(1));
}

#[test]
fn answers_that_hold_nothing_come_to_an_end() {
    for useless in
        ["I do not know.", "{\"name\": \"browse\"}", "test_a.py\n```\nx\n```\n", &format!("a.py\n```\n{OLD}```\n")]
    {
        let (facts, work) = course(Some(1), &[useless], |_| 0);
        assert_eq!((work.next(), work.kept_candidate(), checked(&facts)), (Next::Over, None, 0), "{useless}");
        assert!(asked(&facts) <= 8, "{useless}");
    }
}

#[test]
fn without_a_check_the_form_is_looked_at_once_and_the_first_change_is_taken() {
    let (facts, work) = course(None, &[&adds("a + b")], |_| 0);
    assert_eq!((work.next(), asked(&facts), checked(&facts)), (Next::Done, 1, 0));
    let ended = |fact: &&Fact| matches!(fact, Fact::Finished { .. });
    assert_eq!(facts.iter().filter(ended).count(), 2, "the file and the look at it");
}

#[test]
fn a_rebuild_from_any_point_comes_to_the_same_next_step() {
    let answers = [adds("a"), "none".into(), adds("b"), adds("a + b")];
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    for before in [Some(2), None] {
        let (facts, _) = course(before, &answers, |text| u64::from(!text.contains('+')));
        let mut live = Work::new(terms(), checks(before), 1);
        for (at, fact) in facts.iter().enumerate() {
            live.replay(vec![fact.clone()]);
            let mut rebuilt = Work::new(terms(), checks(before), 1);
            rebuilt.replay(facts[..=at].to_vec());
            assert_eq!((rebuilt.next(), rebuilt.messages()), (live.next(), live.messages()), "after {at}");
        }
    }
}

#[test]
fn what_stands_before_an_answer_is_the_same_for_all_candidates() {
    let answers = [adds("a"), adds("b"), adds("a * b"), adds("0"), adds("1")];
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let (facts, _) = course(Some(2), &answers, |_| 2);
    let mut work = Work::new(terms(), checks(Some(2)), 1);
    let first = work.messages();
    for fact in facts {
        work.replay(vec![fact]);
        if matches!(work.next(), Next::Answer { .. }) {
            assert_eq!(work.messages()[..2], first[..], "system, files and task");
        }
    }
}

#[test]
fn a_write_that_was_under_way_is_made_again_and_a_second_answer_replaces_one_that_never_came() {
    let mut work = Work::new(terms(), checks(Some(1)), 4);
    work.replay(vec![
        Fact::Candidate { candidate: 1, round: 1, commit: "c0".into() },
        Fact::Answered { turn: 4, answer: answer("lost") },
        Fact::Answered { turn: 5, answer: answer(&adds("a + b")) },
        Fact::Started { call_id: "t5-1".into() },
    ]);
    assert_eq!(work.interrupted().map(|call| call.id), Some("t5-1".into()));
    work.finished("t5-1", Finished { outcome: ToolOutcome::Interrupted, exit_code: None, output: String::new() });
    assert!(matches!(work.next(), Next::Call(call) if call.id == "t5-1"));
}

#[test]
fn a_long_history_and_a_long_answer_leave_room() {
    let long = format!("{}{}", adds("a + b"), "x".repeat(1 << 20));
    let mut work = Work::new(terms(), checks(Some(2)), 1);
    work.replay(vec![
        Fact::Candidate { candidate: 1, round: 1, commit: "c0".into() },
        Fact::Answered { turn: 1, answer: answer(&long) },
        Fact::Finished { call_id: "t1-1".into(), finished: done() },
        Fact::Checked(ended(2)),
        Fact::Candidate { candidate: 1, round: 2, commit: "c1".into() },
    ]);
    let size: usize = work.messages().iter().map(|message| message.content.len()).sum();
    assert!(size < 4_000, "{size}");
    assert!(work.most_tokens() < 1_000);
}

#[test]
fn each_function_is_written_anew_on_the_best_files_so_far() {
    let two = "def add(a, b):\n    return a - b\n\n\ndef double(a):\n    return a\n";
    let suspect = |name: &str| GuidedFunction { path: "a.py".into(), name: name.into() };
    let mut terms = Terms { suspects: vec![suspect("add"), suspect("double")], ..terms() };
    terms.files[1].text = two.into();
    let mut work = Work::new(terms, checks(Some(2)), 1);
    let wrote = |turn: u32, failed: u64| {
        let call_id = format!("t{turn}-1");
        [
            Fact::Finished { call_id, finished: done() },
            Fact::Step { commit: format!("c{turn}") },
            Fact::Checked(ended(failed)),
        ]
    };
    work.replay(vec![Fact::Candidate { candidate: 1, round: 1, commit: "c0".into() }]);
    let told = work.messages();
    assert_eq!(told.len(), 2, "what was said before is not told");
    assert!(
        told[1].content.contains("def add(a, b):\n    # to be written\n\n\ndef double(a):\n    return a\n"),
        "{told:?}"
    );
    assert!(told[1].content.contains("Only `add` in a.py is missing"), "{told:?}");
    work.replay(vec![Fact::Answered { turn: 3, answer: answer("```python\ndef add(a, b):\n    return a + b\n```") }]);
    work.replay(wrote(3, 1).to_vec());
    work.replay(vec![Fact::Candidate { candidate: 2, round: 1, commit: "c3".into() }]);
    let told = &work.messages()[1].content;
    assert!(told.contains("return a + b\n\n\ndef double(a):\n    # to be written"), "{told}");
    assert!(told.contains("FAILED 1 of 4"), "what fails now: {told}");
    work.replay(vec![Fact::Answered { turn: 4, answer: answer("```python\ndef double(a):\n    return 2 * a\n```") }]);
    work.replay(wrote(4, 0).to_vec());
    assert_eq!((work.next(), work.changed()), (Next::Done, vec!["a.py".to_owned()]));
    assert!(!work.grammar().contains("a.py"));
}

#[test]
fn files_whose_tests_cannot_be_loaded_any_more_are_no_better_than_those_that_fail() {
    let mut work = Work::new(terms(), checks(Some(3)), 1);
    work.replay(vec![
        Fact::Candidate { candidate: 1, round: 1, commit: "c0".into() },
        Fact::Answered { turn: 1, answer: answer(&adds("b")) },
        Fact::Finished { call_id: "t1-1".into(), finished: done() },
        Fact::Checked(Ended { passed: Some(0), failed: Some(1), ..ended(1) }),
    ]);
    assert_eq!(work.best(), None, "one error of one module is not less than three of four tests");
}
