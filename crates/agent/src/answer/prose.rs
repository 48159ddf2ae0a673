//! Answers without any call. Nearly all of them are words; one that consists of a shell block and a line before it is a
//! command, because that is how many models act.
//!
//! A block in longer words is an example, a summary or advice to people, and is never run: a model that closed its work
//! with "to undo this: `git checkout . && git clean -fdq`" lost it that way.

use super::fence::{self, Fence};

/// Names of the fences that hold a shell command.
const SHELLS: [&str; 6] = ["sh", "bash", "shell", "console", "zsh", "shell-session"];
/// Longest introduction of a command, in bytes.
const INTRODUCTION_BYTES: usize = 160;
/// Words that stand before an example or advice, and not before something to be done now.
const NOT_NOW: [&str; 27] = [
    "example",
    "e.g.",
    "for instance",
    "you can",
    "you could",
    "you may",
    "you should",
    "you would",
    "if you",
    "usage",
    "undo",
    "revert",
    "roll back",
    "summary",
    "complete",
    "done",
    "finished",
    "fixed",
    "now works",
    "should now",
    "would be",
    "could be",
    "to test this",
    "alternatively",
    "hope this",
    "let me know",
    "in the future",
];

/// The command, when it is the answer's only point.
pub(super) fn lone_command(text: &str) -> Option<String> {
    let Fence { before, info, body, rest } = fence::first_fence(text)?;
    let before = before.trim();
    let lower = before.to_lowercase();
    let is_short = before.len() <= INTRODUCTION_BYTES && !before.contains("\n\n");
    let is_only_point = rest.trim().is_empty() && is_short && !NOT_NOW.iter().any(|words| lower.contains(words));
    if !SHELLS.contains(&info) || !is_only_point {
        return None;
    }
    Some(without_prompt(body.trim())).filter(|command| !command.is_empty())
}

/// A console's lines: of a block with prompts in it only what stands behind them was typed.
fn without_prompt(block: &str) -> String {
    let typed: Vec<&str> = block.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    match typed.is_empty() {
        true => block.to_owned(),
        false => typed.join("\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_block_is_a_command() {
        for (answer, command) in [
            ("```sh\nls\n```", "ls"),
            ("I will look first:\n```bash\nls -la\n```\n", "ls -la"),
            ("```console\n$ make test\nok\n```", "make test"),
        ] {
            assert_eq!(lone_command(answer).as_deref(), Some(command), "{answer}");
        }
    }

    #[test]
    fn advice_examples_and_closing_words_are_not() {
        for answer in [
            "The bug is fixed. To undo:\n```bash\ngit checkout . && git clean -fdq\n```",
            "You can run it like this:\n```sh\npython app.py\n```",
            "I changed the sign.\n\nNow it adds up.\n\n```sh\nrm -rf build\n```",
            "```sh\nls\n```\nThis lists the files of the repository.",
            "```python\nprint(1)\n```",
            "```sh\nls\n```\n```sh\nrm -rf .\n```",
            "```sh\n\n```",
            "All done, for example:\n```sh\nmake\n```",
        ] {
            assert_eq!(lone_command(answer), None, "{answer}");
        }
    }
}
