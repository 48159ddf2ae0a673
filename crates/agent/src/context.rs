//! What of a workspace goes into the prompt of an `ask`: the tree in short, then the files that have to do with the task,
//! best first, packed to a budget. What does not fit is named as left out, never cut silently.
//!
//! A file has to do with the task when the task names it, when its name or its content holds words of the task, or when
//! it is what people read first. That is plain word matching: it needs no index and no model, and the context plane can
//! replace it where there is one.

mod excerpt;
mod tree;

pub(crate) use tree::summary;

use crate::prompt::shown_path;
use std::{
    collections::HashSet,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

/// Files looked at, tree and contents: past this a repository is described, not searched.
const FILES: usize = 20_000;
/// A larger file is data, not something to read.
const FILE_BYTES: u64 = 256 * 1024;
/// Bytes read in search of words, over all files: about a second on a slow disk.
const SEARCHED_BYTES: u64 = 64 * 1024 * 1024;
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

/// The part of the prompt that shows the workspace, in at most about `budget_tokens`. Blocking.
pub(crate) fn gather(root: &Path, task: &str, budget_tokens: u64) -> String {
    let budget = usize::try_from(budget_tokens).unwrap_or(usize::MAX).saturating_mul(BYTES_PER_TOKEN);
    let files = tree::walk(root, FILES);
    if files.is_empty() || budget < LEAST_EXCERPT_TOKENS * BYTES_PER_TOKEN {
        return String::new();
    }
    let mut gathered = format!("Files in the repository:\n{}\n", summary(&files, budget / TREE_SHARE));
    for ranked in rank(root, &files, task) {
        let room = budget.saturating_sub(gathered.len());
        if room < LEAST_EXCERPT_TOKENS * BYTES_PER_TOKEN {
            break;
        }
        let heading = format!("\n{}:\n", shown_path(&ranked.name));
        // Half of what is left, so that one long file does not push out all others; the last one may take it all.
        let Some(space) = room.checked_sub(heading.len() + 8) else { continue };
        let text = match ranked.text.len() <= space {
            true => ranked.text,
            false => excerpt::excerpt(&ranked.text, &ranked.words, space / 2),
        };
        let fence = fence_for(&text);
        let line_end = if text.ends_with('\n') { "" } else { "\n" };
        gathered.push_str(&format!("{heading}{fence}\n{text}{line_end}{fence}\n"));
    }
    gathered
}

/// Longer than any run of backticks within.
fn fence_for(text: &str) -> String {
    let longest = text.split(|character| character != '`').map(str::len).max().unwrap_or(0);
    "`".repeat((longest + 1).max(3))
}

struct Ranked {
    name: String,
    text: String,
    /// The words of the task it holds.
    words: Vec<String>,
    score: u64,
}

/// The text files that have to do with the task, best first; the same order on every run.
fn rank(root: &Path, files: &[String], task: &str) -> Vec<Ranked> {
    let words = words(task);
    let task = task.to_lowercase();
    let mut searched = 0;
    let mut ranked: Vec<Ranked> = files
        .iter()
        .filter_map(|name| {
            if searched >= SEARCHED_BYTES {
                return None;
            }
            let text = read_text(&root.join(name))?;
            searched += text.len() as u64;
            let lower = text.to_lowercase();
            let found: Vec<String> = words.iter().filter(|word| lower.contains(word.as_str())).cloned().collect();
            let score = name_score(name, &task, &words) + content_score(&lower, &found);
            (score > 0).then_some(Ranked { name: name.clone(), text, words: found, score })
        })
        .collect();
    ranked.sort_by(|a, b| b.score.cmp(&a.score).then_with(|| a.name.cmp(&b.name)));
    ranked
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

/// The text of a regular file; `None` for what is too large or no text.
fn read_text(path: &Path) -> Option<String> {
    let metadata = fs::symlink_metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES {
        return None;
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    fs::File::open(path).ok()?.take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    (!text.contains('\0')).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("README.md", "# Slugs\nTurns titles into slugs.\n");
        write("src/slug.py", "def slugify(title):\n    return title.lower()\n");
        write("src/other.py", "def unrelated():\n    return 1\n");
        write("tests/test_slug.py", "from slug import slugify\nassert slugify('A B') == 'a-b'\n");
        write("logo.png", "\0\0\0slugify");
        write(".git/config", "slugify");
        folder
    }

    #[test]
    fn shows_the_tree_and_what_the_task_is_about() {
        let folder = repository();
        insta::assert_snapshot!(gather(folder.path(), "Fix slugify in src/slug.py so that spaces become dashes", 1_000), @r"
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
        ");
    }

    #[test]
    fn stays_within_its_budget_and_says_what_is_left_out() {
        let folder = repository();
        let long: String = (0..2_000).map(|line| format!("value_{line} = slugify({line})\n")).collect();
        fs::write(folder.path().join("src/slug.py"), long).unwrap();
        let gathered = gather(folder.path(), "What does slugify do in src/slug.py?", 500);
        assert!(gathered.len() <= 1_500, "{} bytes", gathered.len());
        assert!(gathered.contains("lines left out"), "{gathered}");
        assert_eq!(gather(folder.path(), "What does slugify do?", 10), "");
    }

    #[cfg(unix)]
    #[test]
    fn a_loop_of_links_and_odd_names_do_no_harm() {
        let folder = repository();
        std::os::unix::fs::symlink("..", folder.path().join("src/up")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("passwd")).unwrap();
        fs::write(folder.path().join("new\nline.txt"), "slugify here\n").unwrap();
        let gathered = gather(folder.path(), "slugify", 1_000);
        assert!(gathered.contains("\nnew\\nline.txt\n"), "{gathered}");
        assert!(!gathered.contains("root:"), "links are not followed");
    }
}
