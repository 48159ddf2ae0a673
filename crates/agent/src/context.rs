//! What of a workspace goes into a prompt: the tree in short, what the project says of itself, and files, best first,
//! packed to a budget. What does not fit is named as left out, never cut silently.
//!
//! A file has to do with the task when the task names it, when its name or its content holds words of the task, or when
//! it is what people read first. That is plain word matching: it needs no index and no model, and the context plane can
//! replace it where there is one. Where there is room for all files all are sent, whatever the words.

mod excerpt;
mod opening;
mod tree;

pub(crate) use excerpt::excerpt;
pub(crate) use opening::opening;
pub(crate) use tree::summary;

use crate::{answer::fenced, prompt::shown_path};
use std::{collections::HashSet, path::PathBuf};

/// Files whose texts are looked at: past this a repository is described, not searched.
const FILES: usize = 5_000;
/// Words of the task that are looked for.
const WORDS: usize = 64;
/// Share of the budget for the tree.
const TREE_SHARE: usize = 5;
/// Tokens below which an excerpt says nothing.
const LEAST_EXCERPT_TOKENS: usize = 64;
/// Bytes of source text per token, low rather than high: code has more symbols than prose, and a prompt that turns out
/// smaller than planned does no harm.
const BYTES_PER_TOKEN: usize = 3;

/// Words that stand in any task.
const COMMON: [&str; 32] = [
    "the", "and", "for", "with", "that", "this", "from", "into", "what", "how", "why", "does", "are", "you", "can",
    "please", "write", "file", "make", "add", "use", "should", "where", "which", "when", "have", "has", "not", "all",
    "its", "it's", "about",
];

/// About how many tokens a text takes. Only for planning: the model's own count decides.
pub(crate) fn estimated_tokens(text: &str) -> u64 {
    text.len().div_ceil(BYTES_PER_TOKEN) as u64
}

/// The part of a prompt that shows the workspace.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gathered {
    pub(crate) text: String,
    whole: Vec<String>,
    in_part: Vec<String>,
    left_out: usize,
}

impl Gathered {
    /// For people: which files the model was shown.
    pub(crate) fn describe(&self) -> String {
        let names = |names: &[String]| names.iter().map(|name| shown_path(name)).collect::<Vec<_>>().join(", ");
        let mut parts = Vec::new();
        if !self.whole.is_empty() {
            parts.push(names(&self.whole));
        }
        if !self.in_part.is_empty() {
            parts.push(format!("in part {}", names(&self.in_part)));
        }
        if parts.is_empty() {
            return "the model was shown no files".into();
        }
        match self.left_out {
            0 => format!("the model was shown {}", parts.join("; ")),
            count => format!("the model was shown {}; for {count} other files there was no room", parts.join("; ")),
        }
    }
}

/// The names whose texts are worth having, best first.
pub(crate) fn worth_reading(names: &[String], task: &str) -> Vec<String> {
    let (words, task) = (words(task), task.to_lowercase());
    let mut scored: Vec<(u64, &String)> = names
        .iter()
        .map(|name| (name_score(name, &task, &words), name))
        .filter(|(_, name)| !is_generated(name))
        .collect();
    scored.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.into_iter().take(FILES).map(|(_, name)| name.clone()).collect()
}

/// The part of the prompt that shows the workspace, in at most about `budget_tokens`: `names` of all its files, and the
/// texts of some.
pub(crate) fn gather(names: &[String], sources: Vec<(String, String)>, task: &str, budget_tokens: u64) -> Gathered {
    let budget = usize::try_from(budget_tokens).unwrap_or(usize::MAX).saturating_mul(BYTES_PER_TOKEN);
    if names.is_empty() || budget < LEAST_EXCERPT_TOKENS * BYTES_PER_TOKEN {
        return Gathered { left_out: names.len(), ..Gathered::default() };
    }
    let text = format!("Files in the repository:\n{}\n", summary(names, budget / TREE_SHARE));
    let mut gathered = Gathered { text, ..Gathered::default() };
    for ranked in rank(sources, task) {
        let room = budget.saturating_sub(gathered.text.len());
        let heading = format!("\n{}:\n", shown_path(&ranked.name));
        let space = room.saturating_sub(heading.len() + 8);
        let text = match ranked.text.len() <= space {
            true => {
                gathered.whole.push(ranked.name);
                ranked.text
            }
            // Half of what is left, so that one long file does not push out all others.
            false if ranked.score > 0 && room >= LEAST_EXCERPT_TOKENS * BYTES_PER_TOKEN => {
                gathered.in_part.push(ranked.name);
                excerpt(&ranked.text, &ranked.words, space / 2)
            }
            false => {
                gathered.left_out += 1;
                continue;
            }
        };
        gathered.text.push_str(&format!("{heading}{}\n", fenced("", &text)));
    }
    gathered
}

struct Ranked {
    name: String,
    text: String,
    /// The words of the task it holds.
    words: Vec<String>,
    score: u64,
}

/// Text files, those that have to do with the task first; the same order on every run.
fn rank(sources: Vec<(String, String)>, task: &str) -> Vec<Ranked> {
    let words = words(task);
    let task = task.to_lowercase();
    let mut ranked: Vec<Ranked> = sources
        .into_iter()
        .map(|(name, text)| {
            let lower = text.to_lowercase();
            let found: Vec<String> = words.iter().filter(|word| lower.contains(word.as_str())).cloned().collect();
            let score = name_score(&name, &task, &words) + content_score(&lower, &found);
            Ranked { name, text, words: found, score }
        })
        .collect();
    ranked.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
    ranked
}

/// Written by programs for programs.
fn is_generated(name: &str) -> bool {
    name.ends_with(".lock") || name.ends_with("-lock.json") || name.ends_with(".min.js") || name.ends_with("go.sum")
}

fn name_score(name: &str, task: &str, words: &[String]) -> u64 {
    let lower = name.to_lowercase();
    let path = PathBuf::from(&lower);
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let parts: HashSet<&str> = lower.split(|c: char| !c.is_alphanumeric()).collect();
    let mut score = words.iter().filter(|word| parts.contains(word.as_str())).count() as u64 * 10;
    // A name without an ending is an ordinary word too often.
    if file_name.contains('.') && task.contains(&file_name) {
        score += 50;
    }
    if lower.contains('/') && task.contains(&lower) {
        score += 50;
    }
    let depth = lower.matches('/').count() as u64;
    if file_name.starts_with("readme") {
        score += 8_u64.saturating_sub(3 * depth);
    }
    if matches!(file_name.as_str(), "cargo.toml" | "package.json" | "pyproject.toml" | "go.mod" | "makefile") {
        score += 3_u64.saturating_sub(depth);
    }
    score
}

/// Different words count most; how often they stand there decides between files with the same.
fn content_score(lower: &str, found: &[String]) -> u64 {
    let occurrences: usize = found.iter().map(|word| lower.matches(word.as_str()).take(10).count()).sum();
    found.len() as u64 * 3 + occurrences as u64 / 5
}

/// The words of a task worth looking for, in its order.
fn words(task: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    task.split_whitespace()
        // Of a path the last part: `src` stands in front of everything.
        .filter_map(|token| token.trim_end_matches('/').rsplit('/').next())
        .flat_map(|token| token.split(|c: char| !c.is_alphanumeric() && c != '_'))
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= 3 && !COMMON.contains(&word.as_str()))
        .filter(|word| seen.insert(word.clone()))
        .take(WORDS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> Vec<(String, String)> {
        let of = |(name, text): (&str, &str)| (name.to_owned(), text.to_owned());
        [
            ("README.md", "# Slugs\nTurns titles into slugs.\n"),
            ("src/slug.py", "def slugify(title):\n    return title.lower()\n"),
            ("src/other.py", "def unrelated():\n    return 1\n"),
            ("tests/test_slug.py", "from slug import slugify\nassert slugify('A B') == 'a-b'\n"),
        ]
        .map(of)
        .to_vec()
    }

    fn gathered(sources: Vec<(String, String)>, task: &str, budget_tokens: u64) -> Gathered {
        let mut names: Vec<String> = sources.iter().map(|(name, _)| name.clone()).collect();
        names.push("logo.png".into());
        names.sort();
        gather(&names, sources, task, budget_tokens)
    }

    #[test]
    fn shows_the_tree_and_every_file_what_the_task_is_about_first() {
        let gathered = gathered(repository(), "Fix slugify in src/slug.py so that spaces become dashes", 1_000);
        insta::assert_snapshot!(gathered.text, @r"
        Files in the repository:
        README.md
        logo.png
        src/other.py
        src/slug.py
        tests/test_slug.py

        src/slug.py:
        ```
        def slugify(title):
            return title.lower()
        ```

        tests/test_slug.py:
        ```
        from slug import slugify
        assert slugify('A B') == 'a-b'
        ```

        README.md:
        ```
        # Slugs
        Turns titles into slugs.
        ```

        src/other.py:
        ```
        def unrelated():
            return 1
        ```
        ");
        let said = "the model was shown src/slug.py, tests/test_slug.py, README.md, src/other.py";
        assert_eq!(gathered.describe(), said);
    }

    #[test]
    fn stays_within_its_budget_and_says_what_is_left_out() {
        let mut repository = repository();
        repository[1].1 = (0..2_000).map(|line| format!("value_{line} = slugify({line})\n")).collect();
        repository.push(("src/data.py".into(), "x\n".repeat(2_000)));
        let shown = gathered(repository, "What does slugify do in src/slug.py?", 500);
        assert!(shown.text.len() <= 1_500, "{} bytes", shown.text.len());
        assert!(shown.text.contains("lines left out"), "{}", shown.text);
        assert!(
            shown.describe().ends_with("in part src/slug.py; for 1 other files there was no room"),
            "{}",
            shown.describe()
        );
        let nothing = gathered(self::repository(), "What does slugify do?", 10);
        assert_eq!((nothing.text.as_str(), nothing.describe().as_str()), ("", "the model was shown no files"));
    }

    #[test]
    fn odd_names_stay_on_their_line_and_generated_files_are_not_read() {
        let shown = gathered(vec![("new\nline.txt".into(), "slugify here\n".into())], "slugify", 1_000);
        assert!(shown.text.contains("\nnew\\nline.txt:\n"), "{}", shown.text);
        let names = ["Cargo.lock", "src/a.rs", "slugify.rs"].map(str::to_owned);
        assert_eq!(worth_reading(&names, "slugify"), ["slugify.rs", "src/a.rs"]);
    }
}
