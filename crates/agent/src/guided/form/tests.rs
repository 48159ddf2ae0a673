use super::*;
use llguidance::{Matcher, ParserFactory, api::TopLevelGrammar, toktrie::ApproximateTokEnv};

fn shown(path: &str, text: &str, may_change: bool) -> Shown {
    Shown { path: path.into(), may_change, text: text.into(), excerpt: None }
}

fn files() -> Vec<Shown> {
    vec![
        shown("test_a.py", "from a import add\n", false),
        shown("b.py", "x = 1\n", true),
        shown("a.py", "def add(a, b):\n    return a - b\n", true),
    ]
}

fn ended(outcome: CheckOutcome, output: &str) -> Ended {
    Ended { commit: "c0".into(), outcome, exit_code: Some(1), passed: Some(1), failed: Some(1), output: output.into() }
}

#[test]
fn the_first_message_reads_like_this() {
    let before = ended(CheckOutcome::Failed, "FAIL: test_add\n2 != 4\n");
    let opening = Opening {
        task: "Make it add.",
        files: &files(),
        check: Some(("pytest -q", &before)),
        edits: EditForm::WholeFile,
    };
    insta::assert_snapshot!(opening.text());
    let empty = Opening { task: "Write a.py.", files: &[], check: None, edits: EditForm::Blocks };
    insta::assert_snapshot!("empty", empty.text());
}

#[test]
fn an_answer_is_handed_back_with_what_is_wrong_with_it() {
    let before = ended(CheckOutcome::Failed, "2 != 4\n");
    let text =
        handed_back(Some(&ended(CheckOutcome::Failed, "3 != 4\n")), Some(&before), &["test_a.py is a test".into()]);
    assert!(text.starts_with("Not done: test_a.py is a test.\n\nWith your change the check fails (1 of 2 tests):\n```\n3 != 4\n```\n\nSay which"), "{text}");
    let text = handed_back(Some(&before), Some(&before), &[]);
    assert!(text.starts_with("The check still fails (1 of 2 tests), as before your change"), "{text}");
}

/// How far a text keeps to the grammar, in bytes, and whether it may end there.
fn follow(grammar: &str, text: &str) -> (usize, bool) {
    let bytes = ApproximateTokEnv::single_byte_env();
    let factory = ParserFactory::new_simple(&bytes).unwrap();
    let parser = factory.create_parser(TopLevelGrammar::from_lark(grammar.to_owned())).unwrap();
    let mut matcher = Matcher::new(Ok(parser));
    let taken = text.bytes().take_while(|byte| matcher.try_consume_tokens(&[u32::from(*byte)]).unwrap() == 1).count();
    (taken, matcher.is_accepting().unwrap())
}

#[test]
fn the_grammar_takes_words_and_files_and_comes_to_an_end() {
    let held = grammar(&files(), false);
    let file = |path: &str| format!("{path}\n```python\ndef add(a, b):\n    return a + b\n```");
    for whole in [
        format!("The line `return a - b` has to be `return a + b`.\n\n{}", file("a.py")),
        format!("To mend it:\n\n- the sign\n\n{}\n\nAnd another:\n{}", file("**a.py**"), file("### `b.py`:")),
    ] {
        assert_eq!(follow(&held, &whole), (whole.len(), true), "{whole}");
    }
    let function = "```python\ndef add(a, b):\n    return a + b\n```";
    for whole in [function.to_owned(), format!("It adds.\n\n{function}")] {
        assert_eq!(follow(&function_grammar(), &whole), (whole.len(), true), "{whole}");
        assert_eq!(follow(&function_grammar(), &format!("{whole}\n{whole}")).0, whole.len(), "one is enough");
    }
    let once = file("a.py").len();
    for (text, taken) in [
        (format!("```python\n{}", file("a.py")), 0),
        (format!("{0}\n{0}\n{0}", file("a.py")), 2 * once + 1),
        ("word\n".repeat(20), 8 * 5),
    ] {
        assert_eq!(follow(&held, &text).0, taken, "{text}");
    }
}
