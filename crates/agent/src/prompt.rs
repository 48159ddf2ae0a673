//! Everything a model is told, in one place. Short, because every word is paid for on each turn and small models lose
//! the thread in long instructions.

mod hints;

pub(crate) use hints::hint;

use crate::{
    answer::{fenced, with_marks},
    helper::Change,
    tool::{Action, Tool},
};
use protocol::{Limits, ToolOutcome};
use serde_json::Value;

/// How a model asks for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// It calls tools by itself.
    Native,
    /// It writes an object and what belongs to it as fenced blocks; some are held to that by a grammar.
    Text,
}

/// Where a job works that is about a part of a repository.
pub(crate) fn in_folder(folder: &std::path::Path) -> String {
    let folder = shown_path(&folder.display().to_string());
    format!("You are in the folder {folder} of the repository: commands start there, and paths are relative to it.")
}

/// What a model is told that goes on where another one did not get on.
pub(crate) fn taken_over(why: &str) -> String {
    format!("Another model worked on this before you and did not get it done: {why}. Trust nothing of it unread.")
}

/// The rules of a `code` job.
pub(crate) fn code_rules(dialect: Dialect, offered: &[Tool]) -> String {
    let mut rules = String::from(
        "You are a software engineer at work in a repository. You act through tools and see their results.\n\n",
    );
    rules.push_str("Rules:\n- One step at a time: look first, then change, then check.\n");
    if offered.contains(&Tool::Run) {
        rules.push_str(
            "- Each command is a new process: only files are kept. Do not count on a network, and nobody answers questions.\n",
        );
        rules.push_str("- After every change run the test or program that shows whether it works.\n");
    }
    rules.push_str("- Change only what the task needs.\n- Finish when the task is done and checked.\n");
    match dialect {
        Dialect::Native => rules.push_str("- Always answer with a tool call.\n"),
        Dialect::Text => {
            rules.push('\n');
            rules.push_str(&form(dialect, offered));
            rules.push('\n');
        }
    }
    rules
}

/// What an answer has to look like.
///
/// Told in words: of forms that are filled in, a small model writes down the whole list, and what stood in them becomes code.
/// The one example does no harm when it is copied.
fn form(dialect: Dialect, offered: &[Tool]) -> String {
    if dialect == Dialect::Native {
        return "Answer with a tool call.".into();
    }
    let mut form = String::from(
        "Answer with exactly one action: a JSON object with `thought` (what you see and why this is next), `action` and its fields, and \
         after it the blocks it needs between ``` lines.\n\nActions:\n",
    );
    for tool in offered {
        form.push_str(match tool {
            Tool::Run => "- run: a shell command in the root of the repository. One block: the command.\n",
            Tool::ReadFile => "- read_file: show a file. Field `path`; `from` and `to` for some of its lines.\n",
            Tool::Search => "- search: find lines that a regular expression matches. Field `pattern`; `path` to look in one folder.\n",
            Tool::EditFile => {
                "- edit_file: change lines of a file. Field `path`. One block: a line `<<<<<<< SEARCH`, the lines to replace, copied \
                 exactly from the file, a line `=======`, the lines that take their place, a line `>>>>>>> REPLACE`.\n"
            }
            Tool::WriteFile => "- write_file: create a file. Field `path`. One block: its content.\n",
            Tool::Finish => "- finish: end the work. Field `summary`: what you changed and how you checked it.\n",
        });
    }
    let example = match offered.contains(&Tool::Run) {
        true => Action::Run { command: "ls".into() },
        false => Action::ReadFile { path: "README.md".into(), from: None, to: None },
    };
    form.push_str("\nFor example:\n");
    form.push_str(&as_text(NO_THOUGHT, &example));
    form
}

/// The task of a `code` job, with the names of the files it starts from and how far it may go.
pub(crate) fn code_task(task: &str, files: &str, limits: &Limits) -> String {
    let files = match files.is_empty() {
        true => "The repository is empty.".to_owned(),
        false => format!("Files in the repository:\n{files}"),
    };
    let (steps, seconds) = (limits.steps, limits.tool_timeout_ms.div_ceil(1_000));
    format!("{files}\n\nLimits: {steps} steps in all; a command is stopped after {seconds} s.\n\nTask:\n{task}")
}

/// Tells a model that its answer held no action that can be done.
pub(crate) fn malformed(dialect: Dialect, reason: &str) -> String {
    let how = match dialect {
        Dialect::Native => "Answer with a tool call.",
        Dialect::Text => "Answer with one action, as described at the start.",
    };
    format!("Nothing was done: {reason}. {how}")
}

/// The result of a call that was made again at once and came to the same: a small model would go on looking.
pub(crate) const SAME_AGAIN: &str = "The same as the time before: nothing changed in between, and you have seen it. Do not do this again. Take the next step: change \
     the lines that are wrong with edit_file, run the test, or finish.";

/// Stands for a thought in the example. One that can be copied is copied from then on, and takes the place of thinking; for the
/// same reason small models are shown their earlier calls without thoughts.
const NO_THOUGHT: &str = "...";

/// What a small model is told that says it is done and is not: once, because it may be right.
pub(crate) const NOT_DONE: &str = "no file was changed and the last thing you did failed, so the work is not done; do what is still to be done, or finish again and \
     say what is in the way";

/// Stands for an answer that could not be used: what a small model reads of itself it writes again.
pub(crate) const UNUSABLE: &str = "[an answer that could not be used]";

/// Tells a model that words alone do nothing, with what to do when the work is done.
pub(crate) fn only_words(dialect: Dialect) -> String {
    let how = match dialect {
        Dialect::Native => "call finish",
        Dialect::Text => "answer with the action finish and its `summary`",
    };
    format!(
        "Nothing was done: there is no action in your answer, and blocks in words are not run. If the work is done, {how}. Otherwise \
         answer with the next action."
    )
}

/// An action as [`Dialect::Text`] writes it: what models are asked for, and how a native call is shown to a model that does
/// not know them.
pub(crate) fn as_text(thought: &str, action: &Action) -> String {
    let mut fields: Vec<(&str, Value)> = Vec::new();
    if !thought.is_empty() {
        fields.push(("thought", thought.into()));
    }
    fields.push(("action", action.tool().as_str().into()));
    let mut blocks = Vec::new();
    match action {
        Action::Run { command } => blocks.push(fenced("sh", command)),
        Action::ReadFile { path, from, to } => {
            fields.push(("path", path.as_str().into()));
            let lines = [("from", from), ("to", to)];
            fields.extend(lines.into_iter().filter_map(|(name, line)| Some((name, (*line)?.into()))));
        }
        Action::Search { pattern, path } => {
            fields.push(("pattern", pattern.as_str().into()));
            if !path.is_empty() {
                fields.push(("path", path.as_str().into()));
            }
        }
        Action::EditFile { path, old, new } => {
            fields.push(("path", path.as_str().into()));
            match with_marks(old, new) {
                Some(change) => blocks.push(fenced("", &change)),
                None => blocks.extend([fenced("", old), fenced("", new)]),
            }
        }
        Action::WriteFile { path, content } => {
            fields.push(("path", path.as_str().into()));
            blocks.push(fenced("", content));
        }
        Action::Finish { summary } => fields.push(("summary", summary.as_str().into())),
    }
    // With spaces, as models write it.
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    [vec![format!("{{{}}}", fields.join(", "))], blocks].concat().join("\n")
}

/// Tells a model why a file was not written, and the edit to make in its place.
pub(crate) fn edit_instead(dialect: Dialect, path: &str, why: &str, instead: Option<Change>) -> String {
    let Some(Change { old, new }) = instead else {
        return format!(
            "{why}. Change what has to change with edit_file: `old` is a few lines of {path} as they are, `new` what stands there \
             instead."
        );
    };
    match dialect {
        Dialect::Native => format!(
            "{why}. Call edit_file with the path {path}, with `old`:\n{}\nand with `new`:\n{}",
            fenced("", &old),
            fenced("", &new)
        ),
        Dialect::Text => {
            let edit = as_text("", &Action::EditFile { path: path.to_owned(), old, new });
            format!("{why}. If this is the change, answer with it:\n\n{edit}")
        }
    }
}

/// A tool call's result as a model sees it.
pub(crate) fn result(outcome: ToolOutcome, exit_code: Option<i32>, output: &str) -> String {
    let heading = match (outcome, exit_code) {
        (ToolOutcome::Succeeded | ToolOutcome::Failed, Some(code)) => format!("Exit code {code}."),
        (ToolOutcome::Succeeded, None) => String::new(),
        (ToolOutcome::Failed, None) => "It failed.".into(),
        (ToolOutcome::TimedOut, _) => "It took too long and was stopped.".into(),
        (ToolOutcome::Cancelled, _) => "It was cancelled.".into(),
        (ToolOutcome::Denied, _) => "It was not done: a person refused it.".into(),
        (ToolOutcome::Interrupted, _) => "It was interrupted.".into(),
    };
    match (heading.is_empty(), output.is_empty()) {
        (_, true) if exit_code.is_some() => format!("{heading} No output."),
        (_, true) => heading,
        (true, false) => output.to_owned(),
        (false, false) => format!("{heading}\n{output}"),
    }
}

/// What a model is told of a call that was under way when its agent died.
pub(crate) const INTERRUPTED: &str =
    "The agent stopped while this ran. The files are as they were before it. Do it again if it is still needed.";

/// Stands in for an output that was dropped to make room.
pub(crate) const DROPPED: &str = "[This output was dropped to make room. Do it again if you need to see it.]";

/// Stands for the text of a file that a model wrote a while ago.
pub(crate) fn left_out(text: &str) -> String {
    format!("[{} lines, left out here to make room]", text.lines().count())
}

/// Told beside the last result when there are few.
pub(crate) fn steps_left(steps: u32) -> String {
    match steps {
        1 => "\n\n[This is your last step: finish, and say how far you got.]".into(),
        _ => format!("\n\n[{steps} steps left.]"),
    }
}

/// The rules of an `ask` job.
pub(crate) fn ask_rules(write_file: Option<&str>) -> String {
    match write_file {
        None => "You answer a question about a repository. Use the files below; say so where they do not hold the \
                 answer. Be brief and exact."
            .into(),
        Some(path) => format!(
            "You write one file of a repository: {}. Your answer becomes the file's content as it is. Answer with the \
             content alone: no introduction, no explanation, no code fence.",
            shown_path(path)
        ),
    }
}

/// The task of an `ask` job, after what was found in the workspace: small models follow best what stands last.
pub(crate) fn ask_task(task: &str, context: &str) -> String {
    match context.is_empty() {
        true => task.to_owned(),
        false => format!("{context}\nTask:\n{task}"),
    }
}

/// Asks once more where the first answer ran into its limit.
pub(crate) fn ask_shorter(tokens: u64) -> String {
    format!("Your answer was cut off after {tokens} tokens. Answer again, complete and in less than half of that.")
}

/// A path on one line, whatever is in it.
pub(crate) fn shown_path(path: &str) -> String {
    path.escape_debug().collect::<String>().replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Reading, read};

    #[test]
    fn rules_as_the_model_sees_them() {
        insta::assert_snapshot!("native", code_rules(Dialect::Native, &Tool::ALL));
        insta::assert_snapshot!("text", code_rules(Dialect::Text, &Tool::ALL));
        insta::assert_snapshot!("text_without_run", code_rules(Dialect::Text, &[Tool::WriteFile, Tool::Finish]));
    }

    #[test]
    fn questions_as_the_model_sees_them() {
        let asked = [
            ask_rules(None),
            ask_rules(Some("docs/a.md")),
            ask_task("What is this?", "Files in the repository:\na.txt\n"),
            ask_shorter(900),
            code_task("Mend it.", "a.py\nb.py", &Limits::default()),
            code_task("Write it.", "", &Limits::default()),
            only_words(Dialect::Native),
            only_words(Dialect::Text),
            malformed(Dialect::Text, "the command is missing"),
            malformed(Dialect::Native, "`browse` is not one of the tools"),
        ];
        insta::assert_snapshot!("questions", asked.join("\n\n---\n\n"));
    }

    #[test]
    fn the_forms_shown_are_forms_that_are_read() {
        for (offered, shown) in [
            (&Tool::ALL[..], Action::Run { command: "ls".into() }),
            (&[Tool::WriteFile], Action::ReadFile { path: "README.md".into(), from: None, to: None }),
        ] {
            let rules = code_rules(Dialect::Text, offered);
            let example = rules.split("For example:").nth(1).unwrap();
            assert_eq!(read(example), Reading::Actions { actions: vec![shown], left_out: None });
        }
        for action in [
            Action::Run { command: "cat <<'E'\n```\nE".into() },
            Action::WriteFile { path: "a.md".into(), content: "```\nx\n```\n".into() },
            Action::EditFile { path: "a.py".into(), old: "x\n".into(), new: String::new() },
            Action::Finish { summary: "done".into() },
        ] {
            let text = as_text("", &action);
            assert_eq!(read(&text), Reading::Actions { actions: vec![action], left_out: None });
        }
    }

    #[test]
    fn results_say_how_it_went_first() {
        assert_eq!(result(ToolOutcome::Failed, Some(1), "boom\n"), "Exit code 1.\nboom\n");
        assert_eq!(result(ToolOutcome::Succeeded, Some(0), ""), "Exit code 0. No output.");
        assert_eq!(result(ToolOutcome::Succeeded, None, "Wrote 3 bytes."), "Wrote 3 bytes.");
        assert_eq!(result(ToolOutcome::Denied, None, "use make"), "It was not done: a person refused it.\nuse make");
    }

    #[test]
    fn a_path_stays_on_its_line() {
        assert_eq!(shown_path("it's a\nname"), "it's a\\nname");
    }
}
