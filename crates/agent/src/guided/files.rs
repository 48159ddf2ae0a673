//! Which files a model is shown: the harness looks, so that a model that cannot look well need not.
//!
//! ```text
//!   named in the task ──────────────────────────────┐
//!   named in the check's output, as places in it ───┼─▶ score ─▶ best first, whole where they fit ─▶ least first in the prompt
//!   the failing test ─▶ what it imports and calls ──┤
//!                          └─▶ and what that does, twice ─┘
//! ```
//! Tests are shown and not changed, and neither is a script that the check runs, unless the task names it.

use super::names;
use crate::context;
use std::collections::BTreeSet;

/// A task's own words weigh most: a person chose them.
const NAMED_WHOLE: u64 = 100;
const NAMED_FILE: u64 = 60;
const NAMED_STEM: u64 = 25;
/// A place in the output: where it failed, or what called that.
const PLACE: u64 = 50;
const PLACE_BY_FILE: u64 = 40;
/// What a test that fails imports, and what that imports in turn. What is only called by a name it defines has half of it.
const HOPS: [u64; 3] = [40, 24, 12];
/// Tests that are looked at where none is named in the output.
const TESTS: usize = 3;
/// A file that takes more than this share of the budget is shown in part.
const FILE_SHARE: usize = 2;
/// A longer file is not written anew but for what changes in it, in bytes: at ten tokens a second that takes three minutes.
pub(super) const WHOLE_BYTES: usize = 6_000;
/// What only tells of the code, or how it is built: neither shown nor changed unless the task names it.
const NOT_CODE: [&str; 12] =
    [".md", ".txt", ".rst", ".json", ".toml", ".yaml", ".yml", ".cfg", ".ini", ".lock", ".mod", ".sum"];
const BYTES_PER_TOKEN: usize = 3;

/// A file as a model is shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) path: String,
    pub(super) may_change: bool,
    /// All of it.
    pub(super) text: String,
    /// The part that is shown, where there is no room for all.
    pub(super) excerpt: Option<String>,
}

impl Shown {
    pub(super) fn is_long(&self) -> bool {
        self.excerpt.is_some() || self.text.len() > WHOLE_BYTES
    }
}

/// What decides.
pub(super) struct Looking<'a> {
    pub(super) sources: &'a [(String, String)],
    pub(super) task: &'a str,
    /// Of the check before the work; empty where it passed or there is none.
    pub(super) output: &'a str,
    /// The check's command.
    pub(super) command: &'a str,
}

impl Looking<'_> {
    /// The paths that are worth showing, best first, and whether each may change.
    pub(super) fn choose(&self, budget_tokens: u64) -> Vec<(String, bool)> {
        let mut room = bytes(budget_tokens);
        let mut chosen = Vec::new();
        for (path, text) in self.ranked() {
            let takes = (path.len() + text.len() + 16).min(bytes(budget_tokens) / FILE_SHARE);
            if takes > room {
                continue;
            }
            room -= takes;
            chosen.push((path.clone(), self.may_change(path)));
        }
        chosen
    }

    /// The chosen ones with their texts, the least first: what stands last is followed best.
    pub(super) fn shown(&self, chosen: &[(String, bool)], budget_tokens: u64) -> Vec<Shown> {
        let words: Vec<String> = self.telling_words();
        let most = bytes(budget_tokens) / FILE_SHARE;
        let shown = chosen.iter().filter_map(|(path, may_change)| {
            let (_, text) = self.sources.iter().find(|(known, _)| known == path)?;
            let excerpt = (text.len() > most).then(|| context::excerpt(text, &words, most));
            Some(Shown { path: path.clone(), may_change: *may_change, text: text.clone(), excerpt })
        });
        let mut shown: Vec<Shown> = shown.collect();
        shown.reverse();
        // Tests first: they say what shall be, and are none of what is written.
        shown.sort_by_key(|file| file.may_change);
        shown
    }

    fn may_change(&self, path: &str) -> bool {
        let file = path.rsplit('/').next().unwrap_or(path);
        !names::is_test(path) && (mentions(self.task, file) || !is_run_by(self.command, path))
    }

    fn ranked(&self) -> Vec<&(String, String)> {
        let mut scored: Vec<(u64, &(String, String))> =
            self.sources.iter().map(|source| (self.named(&source.0), source)).collect();
        self.follow(&mut scored);
        let has_work = |scored: &[(u64, &(String, String))]| {
            scored.iter().any(|(score, (path, _))| *score > 0 && self.may_change(path))
        };
        if !has_work(&scored) {
            // Nothing points anywhere: all code there is, in the order that words of the task suggest.
            for (score, (path, _)) in scored.iter_mut().filter(|(_, (path, _))| is_code(path)) {
                *score += 1 + u64::from(self.task.contains(names::called(path)));
            }
        }
        scored.retain(|(score, (_, text))| *score > 0 && !text.trim().is_empty());
        scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.0.cmp(&b.1.0)));
        scored.into_iter().map(|(_, source)| source).collect()
    }

    /// What task and output say of a path.
    fn named(&self, path: &str) -> u64 {
        let file = path.rsplit('/').next().unwrap_or(path);
        let in_task = match () {
            () if path.contains('/') && mentions(self.task, path) => NAMED_WHOLE,
            () if file.contains('.') && mentions(self.task, file) => NAMED_FILE,
            () if is_code(path) && mentions(self.task, names::called(path)) => NAMED_STEM,
            () => 0,
        };
        let in_output = match () {
            () if !is_code(path) => 0,
            () if mentions(self.output, path) => PLACE,
            () if file.contains('.') && mentions(self.output, file) => PLACE_BY_FILE,
            () => 0,
        };
        in_task + in_output
    }

    /// From the failing tests, and what is named, to what they use.
    fn follow(&self, scored: &mut [(u64, &(String, String))]) {
        let is_root = |score: u64, path: &str| score > 0 && (names::is_test(path) || is_code(path));
        let mut reached: BTreeSet<&str> = scored
            .iter()
            .filter(|(score, (path, _))| is_root(*score, path))
            .map(|(_, (path, _))| path.as_str())
            .collect();
        if !reached.iter().any(|path| names::is_test(path)) {
            let tests = self.sources.iter().filter(|(path, _)| names::is_test(path) && is_code(path)).take(TESTS);
            for (path, _) in tests {
                reached.insert(path);
                if let Some(entry) = scored.iter_mut().find(|(_, (known, _))| known == path) {
                    entry.0 += PLACE_BY_FILE;
                }
            }
        }
        let mut frontier: Vec<&(String, String)> =
            self.sources.iter().filter(|(path, _)| reached.contains(path.as_str())).collect();
        for weight in HOPS {
            let used: BTreeSet<&str> = frontier.iter().flat_map(|(_, text)| names::words(text)).collect();
            let mut next = Vec::new();
            for (score, source) in scored.iter_mut().filter(|(_, (path, _))| is_code(path) && !names::is_test(path)) {
                let (path, text) = source;
                let imported = frontier.iter().any(|(from, by)| from != path && names::imports(by, path));
                let called = || names::definitions(text).iter().any(|name| used.contains(name));
                let gain = if imported {
                    weight
                } else if !reached.contains(path.as_str()) && called() {
                    weight / 2
                } else {
                    0
                };
                *score += gain;
                if gain > 0 && reached.insert(path) {
                    next.push(*source);
                }
            }
            frontier = next;
        }
    }

    /// Names that show which lines of a long file matter.
    fn telling_words(&self) -> Vec<String> {
        let defined: BTreeSet<&str> = self.sources.iter().flat_map(|(_, text)| names::definitions(text)).collect();
        let said = names::words(self.output).into_iter().chain(names::words(self.task));
        said.filter(|word| defined.contains(word)).map(str::to_lowercase).collect()
    }
}

fn bytes(tokens: u64) -> usize {
    usize::try_from(tokens).unwrap_or(usize::MAX / BYTES_PER_TOKEN).saturating_mul(BYTES_PER_TOKEN)
}

fn is_code(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    !NOT_CODE.iter().any(|ending| lower.ends_with(ending))
        && lower.rsplit('/').next().is_some_and(|file| file.contains('.'))
}

/// Whether a command runs this file, rather than looking at it.
fn is_run_by(command: &str, path: &str) -> bool {
    const RUNNERS: [&str; 8] = ["sh", "bash", "python", "python3", "node", "ruby", "perl", "bun"];
    let words: Vec<&str> = command.split_whitespace().collect();
    let is_it = |word: &str| word.trim_start_matches("./") == path;
    let runs = |pair: &[&str]| is_it(pair[1]) && (RUNNERS.contains(&pair[0]) || pair[1].starts_with("./"));
    words.first().is_some_and(|word| is_it(word)) || words.windows(2).any(runs)
}

/// Whether a text has this name in it, and not as a part of a longer one.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '-');
    name.len() > 2
        && text
            .match_indices(name)
            .any(|(at, _)| !text[..at].ends_with(is_part) && !text[at + name.len()..].starts_with(is_part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources() -> Vec<(String, String)> {
        [
            ("README.md", "# Shop\nbasket\n"),
            ("shop/__init__.py", ""),
            ("shop/basket.py", "from shop.tax import tax\n\ndef total(items):\n    return tax(sum(items))\n"),
            ("shop/tax.py", "from shop.rates import rate_of\n\ndef tax(a):\n    return a * rate_of('a')\n"),
            ("shop/rates.py", "def rate_of(name):\n    return 2\n"),
            ("shop/mail.py", "def send(to):\n    pass\n"),
            (
                "tests/test_basket.py",
                "from shop.basket import total\n\ndef test_total():\n    assert total([1]) == 2\n",
            ),
            ("tests/test_mail.py", "from shop.mail import send\n"),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .to_vec()
    }

    fn chosen(task: &str, output: &str, budget: u64) -> Vec<String> {
        let sources = sources();
        let looking = Looking { sources: &sources, task, output, command: "python3 -m pytest" };
        let mark = |(path, may_change): (String, bool)| if may_change { path } else { format!("{path} (read)") };
        looking.choose(budget).into_iter().map(mark).collect()
    }

    #[test]
    fn a_bug_is_followed_from_the_failing_test_through_what_it_calls() {
        let output = "FAILED tests/test_basket.py::test_total - assert 4 == 2\n";
        let expected = ["tests/test_basket.py (read)", "shop/basket.py", "shop/tax.py", "shop/rates.py"];
        assert_eq!(chosen("Make the tests pass.", output, 2_000), expected);
    }

    #[test]
    fn what_the_task_names_comes_first_and_places_in_a_trace_follow() {
        let output = "  File \"shop/tax.py\", line 4, in tax\n";
        let found = chosen("Fix send in shop/mail.py", output, 2_000);
        assert_eq!(found[0], "shop/mail.py", "{found:?}");
        assert!(found.contains(&"shop/tax.py".to_owned()), "{found:?}");
    }

    #[test]
    fn without_any_sign_all_code_is_shown_as_far_as_there_is_room() {
        let mut sources = sources();
        sources.retain(|(path, _)| !path.starts_with("tests"));
        let looking = Looking { sources: &sources, task: "Tidy up.", output: "", command: "" };
        assert_eq!(looking.choose(2_000).len(), 4);
        assert_eq!(looking.choose(40).len(), 2);
    }

    #[test]
    fn tests_and_what_the_check_names_are_shown_and_stay() {
        let sources = [("run.sh", "x\n"), ("test.sh", ". ./lib.sh\nadd 1\n"), ("lib.sh", "add() {\n  echo 1\n}\n")];
        let sources = sources.map(|(path, text)| (path.to_owned(), text.to_owned()));
        let looking = Looking { sources: &sources, task: "Mend it.", output: "run.sh: 1", command: "sh run.sh" };
        let chosen = looking.choose(1_000);
        assert_eq!(chosen, [("run.sh".into(), false), ("lib.sh".into(), true), ("test.sh".into(), false)]);
        let shown = looking.shown(&chosen, 1_000);
        assert_eq!(shown.last().map(|file| file.path.as_str()), Some("lib.sh"), "what is written stands last");
        assert!(Looking { task: "Fix run.sh", ..looking }.choose(1_000)[0].1, "a person wants it");
        assert!(!is_run_by("grep -q 1 run.sh", "run.sh") && is_run_by("make && ./run.sh", "run.sh"));
    }

    #[test]
    fn of_a_long_file_the_part_is_shown_that_matters() {
        let long: String = (0..400).map(|n| format!("def f{n}():\n    return {n}\n\n")).collect();
        let sources = [("a.py".to_owned(), long), ("test_a.py".to_owned(), "from a import f200\n".to_owned())];
        let looking = Looking { sources: &sources, task: "Mend f200 in a.py", output: "", command: "" };
        let shown = looking.shown(&looking.choose(500), 500);
        let file = shown.last().unwrap();
        let excerpt = file.excerpt.as_deref().unwrap();
        assert!(
            excerpt.len() <= 750 && excerpt.contains("def f200()") && excerpt.contains("lines left out"),
            "{excerpt}"
        );
    }
}
