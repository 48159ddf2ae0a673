//! Reads actions out of plain text, for models without tool calls of their own.
//!
//! An action is a small JSON object, and what it carries (a command, a file) stands outside the JSON as a fenced block,
//! because models write worse code inside JSON strings:
//!
//! ````text
//! {"thought": "see what is there", "action": "run"}
//! ```sh
//! ls -la
//! ```
//! ````
//!
//! A model that answers in a given schema is held to the object alone, so its answer cannot hold the block: the body is
//! then asked for in a second, free completion ([`Reading::NeedsBody`], [`command_body`], [`file_body`]). The reader
//! takes what models really write: reasoning before the answer, a fence around the JSON, arguments inside it, a lone
//! shell block. It never panics and never guesses at an action that is not there.

mod fence;

use crate::tool::{Action, Tool};
use fence::{Fence, first_fence};
use serde::Deserialize;
use serde_json::{Value, json};

/// Positions at which an object is looked for; an answer with more opening braces before its action is code, not an
/// envelope.
const BRACES_TRIED: usize = 64;
/// Names of the fences that hold a shell command.
const SHELLS: [&str; 6] = ["sh", "bash", "shell", "console", "zsh", "shell-session"];
/// Files that are prose with code in it: their fences belong to them.
const PROSE: [&str; 6] = [".md", ".markdown", ".mdx", ".rst", ".adoc", ".txt"];

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    Action(Action),
    /// The object is there, the command or file content is not: ask for it.
    NeedsBody(Bodiless),
    /// Why there is no action in it, in words for the model.
    Malformed(String),
}

/// An action without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bodiless {
    Run,
    WriteFile { path: String },
}

impl Bodiless {
    pub(crate) fn tool(&self) -> Tool {
        match self {
            Self::Run => Tool::Run,
            Self::WriteFile { .. } => Tool::WriteFile,
        }
    }

    /// The action with the body a second answer held; `None` where there is no command in it.
    pub(crate) fn with_body(self, answer: &str) -> Option<Action> {
        match self {
            Self::Run => {
                let command = command_body(answer);
                (!command.trim().is_empty()).then_some(Action::Run { command })
            }
            Self::WriteFile { path } => {
                let content = file_body(&path, answer);
                Some(Action::WriteFile { path, content })
            }
        }
    }
}

/// The schema of the object, for models that answer in one. All fields are required, because some runtimes insist on
/// it; those that do not fit the action stay empty.
pub(crate) fn schema(offered: &[Tool]) -> Value {
    let actions: Vec<&str> = offered.iter().map(|tool| tool.as_str()).collect();
    json!({
        "type": "object",
        "properties": {
            "thought": {"type": "string", "description": "One or two sentences: what to do next and why."},
            "action": {"type": "string", "enum": actions},
            "path": {"type": "string", "description": "For write_file: the file, relative to the root. Otherwise empty."},
            "summary": {"type": "string", "description": "For finish: what was done. Otherwise empty."}
        },
        "required": ["thought", "action", "path", "summary"],
        "additionalProperties": false
    })
}

/// The action in an answer.
pub(crate) fn read(answer: &str) -> Reading {
    let answer = without_reasoning(answer);
    match find_object(answer) {
        Some((object, start, end)) => from_object(&object, block_after(answer, start, end)),
        None => match first_fence(answer) {
            Some(fence) if SHELLS.contains(&fence.info) && first_fence(fence.rest).is_none() => {
                match fence.body.trim() {
                    "" => Reading::Malformed("the shell block is empty".into()),
                    command => Reading::Action(Action::Run { command: command.to_owned() }),
                }
            }
            _ => Reading::Malformed("there is no JSON object with an `action` in it".into()),
        },
    }
}

fn from_object(object: &Value, block: Option<&str>) -> Reading {
    let named = ["action", "name", "tool"].iter().find_map(|key| object[*key].as_str()).unwrap_or_default();
    let name = named.trim().to_ascii_lowercase().replace('-', "_");
    let Some(tool) = Tool::parse(&name) else {
        let shown: String = named.chars().take(40).collect();
        return Reading::Malformed(format!("`{shown}` is not one of the actions"));
    };
    // Models trained on tool calls nest the arguments even when asked for a flat object.
    let arguments = ["arguments", "parameters", "args", "input"]
        .iter()
        .map(|key| &object[*key])
        .find(|value| value.is_object())
        .unwrap_or(object);
    let argument = |key: &str| arguments[key].as_str().filter(|text| !text.trim().is_empty());
    match tool {
        Tool::Run => match block.filter(|block| !block.trim().is_empty()).or(argument("command")) {
            Some(command) => Reading::Action(Action::Run { command: command.trim().to_owned() }),
            None => Reading::NeedsBody(Bodiless::Run),
        },
        Tool::WriteFile => {
            let Some(path) = argument("path") else {
                return Reading::Malformed("`write_file` needs the `path` of the file".into());
            };
            let path = path.trim().to_owned();
            match block.or(arguments["content"].as_str()) {
                Some(content) => Reading::Action(Action::WriteFile { path, content: content.to_owned() }),
                None => Reading::NeedsBody(Bodiless::WriteFile { path }),
            }
        }
        Tool::Finish => {
            let summary = argument("summary").or(argument("thought")).or(block).unwrap_or_default();
            Reading::Action(Action::Finish { summary: summary.trim().to_owned() })
        }
    }
}

/// The command in an answer that should hold nothing else: what stands in its first fence, or all of it.
fn command_body(answer: &str) -> String {
    let answer = without_reasoning(answer);
    first_fence(answer).map_or(answer, |fence| fence.body).trim().to_owned()
}

/// The file content in an answer that should hold nothing else. Words around a single block are taken for talk, unless
/// the file is prose itself.
fn file_body(path: &str, answer: &str) -> String {
    let answer = without_reasoning(answer);
    let prose = PROSE.iter().any(|ending| path.to_ascii_lowercase().ends_with(ending));
    match first_fence(answer) {
        Some(fence) if !prose && first_fence(fence.rest).is_none() => fence.body.to_owned(),
        _ => unwrapped(answer),
    }
}

/// The text of a file: without the one fence that may wrap all of it, ending with a line end.
pub(crate) fn unwrapped(answer: &str) -> String {
    let answer = without_reasoning(answer);
    let text = match first_fence(answer.trim()) {
        Some(Fence { before: "", rest: "", body, .. }) => body,
        _ => answer.trim_start_matches(['\n', '\r']).trim_end(),
    };
    match text.is_empty() || text.ends_with('\n') {
        true => text.to_owned(),
        false => format!("{text}\n"),
    }
}

/// What follows a model's reasoning, where its template shows that.
pub(crate) fn without_reasoning(answer: &str) -> &str {
    match answer.rfind("</think>") {
        Some(at) if answer.trim_start().starts_with("<think>") || !answer.contains("<think>") => {
            &answer[at + "</think>".len()..]
        }
        _ => answer,
    }
}

/// The first JSON object that names an action, and where it begins and ends.
fn find_object(answer: &str) -> Option<(Value, usize, usize)> {
    answer.match_indices('{').take(BRACES_TRIED).find_map(|(start, _)| {
        let mut reader = serde_json::Deserializer::from_str(&answer[start..]);
        let object = Value::deserialize(&mut reader).ok()?;
        let names_action = ["action", "name", "tool"].iter().any(|key| object[*key].is_string());
        let end = start + object_length(&answer[start..])?;
        names_action.then_some((object, start, end))
    })
}

/// How long the JSON value at the start of the text is, in bytes.
fn object_length(text: &str) -> Option<usize> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    Some(values.byte_offset())
}

/// The block that belongs to an object: the first one after it, past the end of a fence around the object itself.
fn block_after(answer: &str, start: usize, end: usize) -> Option<&str> {
    let in_fence = answer[..start].lines().rev().find(|line| !line.trim().is_empty()).is_some_and(fence::opens);
    let mut after = &answer[end..];
    if in_fence {
        let (start, close) = fence::lines_with_offsets(after).find(|(_, line)| fence::closes(line))?;
        after = &after[start + close.len()..];
    }
    first_fence(after).map(|fence| fence.body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(command: &str) -> Reading {
        Reading::Action(Action::Run { command: command.into() })
    }

    fn write(path: &str, content: &str) -> Reading {
        Reading::Action(Action::WriteFile { path: path.into(), content: content.into() })
    }

    #[test]
    fn reads_what_it_asks_for() {
        assert_eq!(read("{\"thought\": \"look\", \"action\": \"run\"}\n```sh\nls -la\n```"), run("ls -la"));
        assert_eq!(
            read("{\"action\": \"write_file\", \"path\": \"a.py\"}\n```python\nprint('{}')\n```\n"),
            write("a.py", "print('{}')\n")
        );
        assert_eq!(
            read("{\"thought\": \"all green\", \"action\": \"finish\", \"summary\": \"Fixed it.\"}"),
            Reading::Action(Action::Finish { summary: "Fixed it.".into() })
        );
    }

    #[test]
    fn a_body_that_is_missing_is_asked_for() {
        let constrained = r#"{"thought":"look","action":"run","path":"","summary":""}"#;
        assert_eq!(read(constrained), Reading::NeedsBody(Bodiless::Run));
        let constrained = r#"{"thought":"fix","action":"write_file","path":"src/a.rs","summary":""}"#;
        assert_eq!(read(constrained), Reading::NeedsBody(Bodiless::WriteFile { path: "src/a.rs".into() }));
    }

    #[test]
    fn reads_what_models_really_write() {
        let reasoning = "<think>maybe {\"action\": \"finish\"}?</think>\n{\"action\": \"run\"}\n```\nmake\n```";
        assert_eq!(read(reasoning), run("make"));
        let fenced_object = "Let me look.\n```json\n{\"action\": \"run\"}\n```\n```bash\ncat a.txt\n```\nDone.";
        assert_eq!(read(fenced_object), run("cat a.txt"));
        assert_eq!(read(r#"{"name": "run", "arguments": {"command": "ls"}}"#), run("ls"));
        assert_eq!(read(r#"{"action": "write-file", "path": "a", "content": "x"}"#), write("a", "x"));
        assert_eq!(read("I will look first:\n```bash\nls\n```\n"), run("ls"));
        let not_closed = "{\"action\": \"run\"}\n```sh\nls";
        assert_eq!(read(not_closed), run("ls"));
    }

    #[test]
    fn a_file_may_hold_fences_itself() {
        let answer =
            "{\"action\": \"write_file\", \"path\": \"README.md\"}\n```md\n# Use\n```sh\nmake\n```\nEnd.\n```\n";
        assert_eq!(read(answer), write("README.md", "# Use\n```sh\nmake\n```\nEnd.\n"));
        let longer = "{\"action\": \"write_file\", \"path\": \"a.md\"}\n````\n```\nx\n```\n````\n";
        assert_eq!(read(longer), write("a.md", "```\nx\n```\n"));
    }

    #[test]
    fn only_the_first_action_counts() {
        let imagined = "{\"action\": \"run\"}\n```sh\nls\n```\nOutput:\n```\na.txt\n```\n{\"action\": \"finish\"}";
        assert_eq!(read(imagined), run("ls"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (answer, reason) in [
            ("I cannot do that.", "there is no JSON object with an `action` in it"),
            (r#"{"action": "browse"}"#, "`browse` is not one of the actions"),
            (r#"{"action": "write_file"}"#, "`write_file` needs the `path` of the file"),
            ("```sh\n\n```", "the shell block is empty"),
            ("```python\nprint(1)\n```", "there is no JSON object with an `action` in it"),
        ] {
            assert_eq!(read(answer), Reading::Malformed(reason.into()), "{answer}");
        }
    }

    #[test]
    fn a_body_is_taken_without_the_talk_around_it() {
        let command = Bodiless::Run.with_body("Here it is:\n```sh\nls\n```");
        assert_eq!(command, Some(Action::Run { command: "ls".into() }));
        assert_eq!(Bodiless::Run.with_body("```sh\n```"), None);
        assert_eq!(file_body("a.py", "Sure:\n```python\nx = 1\n```\nThis sets x."), "x = 1\n");
        assert_eq!(file_body("a.md", "# A\n```python\nx = 1\n```"), "# A\n```python\nx = 1\n```\n");
        assert_eq!(file_body("a.py", "x = 1"), "x = 1\n");
    }

    #[test]
    fn one_wrapping_fence_is_taken_off() {
        assert_eq!(unwrapped("```text\nhello\n```"), "hello\n");
        assert_eq!(unwrapped("\nhello "), "hello\n");
        assert_eq!(unwrapped("hello\n```\nx\n```"), "hello\n```\nx\n```\n");
        assert_eq!(unwrapped("```\na\n```\n\n```\nb\n```"), "```\na\n```\n\n```\nb\n```\n");
        assert_eq!(unwrapped(""), "");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(answer in any::<String>()) {
            let _ = (read(&answer), unwrapped(&answer), command_body(&answer), file_body("a.rs", &answer));
        }

        #[test]
        fn nor_does_text_made_of_its_own_marks(
            parts in proptest::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "\"action\"", ":", "\"run\"", "\"write_file\"", "```", "````", "~~~", "sh", "\n", " ", "\"path\"",
                    ",", "\"a\"", "<think>", "</think>", "é", "{\"action\": \"run\"}", "\\",
                ]),
                0..40,
            ),
        ) {
            let answer = parts.concat();
            let _ = (read(&answer), unwrapped(&answer), command_body(&answer), file_body("a.md", &answer));
        }

        #[test]
        fn any_command_comes_back_as_it_was(command in "[a-z '\"{}$|&\n\\\\-]{0,40}[a-z]") {
            let answer = format!("{{\"action\": \"run\"}}\n```sh\n{command}\n```");
            prop_assert_eq!(read(&answer), run(command.trim()));
        }
    }
}
