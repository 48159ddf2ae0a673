//! The functions a mistake may be in, most likely first: what the task names, what the failing check speaks of, what its tests
//! call, and then the rest.

use super::{
    files::Shown,
    names,
    part::{Function, functions},
};
use protocol::GuidedFunction;

/// Functions that are looked at.
const MOST: usize = 8;
/// A longer one is not written anew by a weak model, in bytes.
const MOST_BYTES: usize = 3_000;
const IN_TASK: u32 = 4;
const IN_OUTPUT: u32 = 2;
const IN_TESTS: u32 = 1;

pub(super) fn suspects(files: &[Shown], task: &str, output: &str) -> Vec<GuidedFunction> {
    let (in_task, in_output) = (names::words(task), names::words(output));
    let tests: Vec<_> = files.iter().filter(|file| !file.may_change).map(|file| names::words(&file.text)).collect();
    let score = |name: &str| {
        let called = tests.iter().any(|words| words.contains(name));
        let weights = [(in_task.contains(name), IN_TASK), (in_output.contains(name), IN_OUTPUT), (called, IN_TESTS)];
        weights.into_iter().filter_map(|(holds, weight)| holds.then_some(weight)).sum::<u32>()
    };
    // The most important file stands last.
    let own = files.iter().rev().filter(|file| file.may_change);
    let mut found: Vec<(u32, GuidedFunction)> = Vec::new();
    for file in own {
        let short = |function: &Function<'_>| function.text.len() <= MOST_BYTES;
        for Function { name, .. } in functions(&file.path, &file.text).into_iter().filter(short) {
            found.push((score(name), GuidedFunction { path: file.path.clone(), name: name.to_owned() }));
        }
    }
    found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    found.into_iter().take(MOST).map(|(_, function)| function).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str, text: &str, may_change: bool) -> Shown {
        Shown { path: path.into(), may_change, text: text.into(), excerpt: None }
    }

    #[test]
    fn what_the_task_names_comes_first_and_tests_have_no_mistakes() {
        let files = [
            shown("test_a.py", "def test_it():\n    assert total(1) == rate(2)\n", false),
            shown("b.py", "def rate(a):\n    return a\n", true),
            shown(
                "a.py",
                "def apart(a):\n    return a\n\n\ndef total(a):\n    return a\n\n\ndef label(a):\n    return a\n",
                true,
            ),
        ];
        let names =
            |task, output| suspects(&files, task, output).into_iter().map(|function| function.name).collect::<Vec<_>>();
        assert_eq!(names("The label is wrong.", "in rate\n"), ["label", "rate", "total", "apart"]);
        assert_eq!(names("", ""), ["total", "rate", "apart", "label"]);
        let many: String = (0..20).map(|at| format!("def name_{at}(a):\n    return a\n\n\n")).collect();
        assert_eq!(suspects(&[shown("a.py", &many, true)], "", "").len(), MOST);
    }
}
