//! What a model is shown of a repository before its first turn at changing it: the small files the task is about, whole, and
//! what the project says to those who work on it. A model that has seen the code and its test guesses at nothing.

use super::{BYTES_PER_TOKEN, Ranked, rank};
use crate::{answer::fenced, prompt::shown_path};

/// Words to agents, by the names they are known under. Links from one to the other hold the same.
const NOTES: [&str; 2] = ["AGENTS.md", "CLAUDE.md"];
/// Of those, and of a README, at most this share of the budget each.
const NOTES_SHARE: usize = 5;
/// Of a README the head: what it is and how it is built, in bytes.
const README_BYTES: usize = 1_200;
/// A file is shown whole or not at all, and up to this share of the budget.
const FILE_SHARE: usize = 2;
/// Score from which a file is about the task: a word of it in the text, or its name.
const ABOUT: u64 = 3;

/// Parts of the first message, dearest first, in at most about `budget_tokens`.
pub(crate) fn opening(sources: Vec<(String, String)>, task: &str, budget_tokens: u64) -> Vec<String> {
    let budget = usize::try_from(budget_tokens).unwrap_or(usize::MAX).saturating_mul(BYTES_PER_TOKEN);
    let (notes, files): (Vec<_>, Vec<_>) = sources.into_iter().partition(|(name, _)| is_note(name));
    let mut room = budget;
    let notes = notes_of(notes, budget);
    room = room.saturating_sub(notes.iter().map(String::len).sum());
    let all_fit = files.iter().map(|(name, text)| name.len() + text.len() + 16).sum::<usize>() <= room;
    let mut parts = Vec::new();
    for Ranked { name, text, score, .. } in rank(files, task) {
        let is_wanted = all_fit || (score >= ABOUT && text.len() <= budget / FILE_SHARE);
        let part = shown(&name, &text);
        if !is_wanted || part.len() > room || text.trim().is_empty() {
            continue;
        }
        room -= part.len();
        parts.push(part);
    }
    parts.extend(notes);
    parts
}

fn is_note(name: &str) -> bool {
    NOTES.contains(&name) || (!name.contains('/') && name.to_ascii_lowercase().starts_with("readme"))
}

/// The project's own words, those to agents first. The same words under two names are shown once.
fn notes_of(notes: Vec<(String, String)>, budget: usize) -> Vec<String> {
    let (to_agents, readmes): (Vec<_>, Vec<_>) =
        notes.into_iter().partition(|(name, _)| NOTES.contains(&name.as_str()));
    let mut parts: Vec<String> = Vec::new();
    let mut said: Vec<String> = Vec::new();
    for (index, (name, text)) in to_agents.into_iter().chain(readmes.into_iter().take(1)).enumerate() {
        let most = budget / NOTES_SHARE;
        let most = if index == 0 || NOTES.contains(&name.as_str()) { most } else { most.min(README_BYTES) };
        let head = head(&text, most);
        if head.trim().is_empty() || said.contains(&text) {
            continue;
        }
        parts.push(shown(&name, &head));
        said.push(text);
    }
    parts
}

/// The first lines, and how many are left out.
fn head(text: &str, bytes: usize) -> String {
    let mut head = String::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if head.len() + line.len() > bytes {
            let more = text.lines().count() - index;
            return format!("{head}[... {more} lines left out ...]\n");
        }
        head.push_str(line);
    }
    head
}

fn shown(name: &str, text: &str) -> String {
    format!("{}:\n{}", shown_path(name), fenced("", text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(files: &[(&str, &str)]) -> Vec<(String, String)> {
        files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn a_small_repository_is_shown_whole_with_what_it_says_to_agents() {
        let files = [
            ("AGENTS.md", "Run `make test`.\n"),
            ("CLAUDE.md", "Run `make test`.\n"),
            ("README.md", "# Prices\n"),
            ("prices.py", "def total(): ...\n"),
            ("empty.py", ""),
        ];
        insta::assert_snapshot!(opening(sources(&files), "Make it work.", 1_000).join("\n\n"), @r"
        prices.py:
        ```
        def total(): ...
        ```

        AGENTS.md:
        ```
        Run `make test`.
        ```

        README.md:
        ```
        # Prices
        ```
        ");
    }

    #[test]
    fn of_a_large_one_what_the_task_names_and_nothing_long() {
        let long = "x = 1\n".repeat(2_000);
        let readme = "word\n".repeat(1_000);
        let files = [
            ("README.md", readme.as_str()),
            ("src/slug.py", "def slugify(): ...\n"),
            ("src/long.py", &long),
            ("src/b.py", "y = 2\n"),
        ];
        let parts = opening(sources(&files), "Fix slugify", 1_000);
        assert_eq!(parts.len(), 2, "{parts:?}");
        assert!(parts[0].starts_with("src/slug.py:\n"), "{parts:?}");
        assert!(parts[1].contains("lines left out") && parts.concat().len() < 3_000, "{parts:?}");
    }
}
