//! Everything a model is told, in one place. Short, because every word is paid for on each turn and small models lose
//! the thread in long instructions.

use crate::{
    envelope::Bodiless,
    tool::{Action, Tool},
};
use protocol::ToolOutcome;
use serde_json::json;

/// How a model asks for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// It calls tools by itself.
    Native,
    /// It answers in a given schema: first the object, then the body in a completion of its own.
    Schema,
    /// Neither: it writes the object and then the body as a fenced block.
    Text,
}

/// Where a job works that is about a part of a repository.
pub(crate) fn in_folder(folder: &std::path::Path) -> String {
    let folder = shown_path(&folder.display().to_string());
    format!("You are in the folder {folder} of the repository: commands start there, and paths are relative to it.")
}

/// The rules of a `code` job.
pub(crate) fn code_rules(dialect: Dialect, offered: &[Tool]) -> String {
    let mut rules = String::from(
        "You are a software engineer at work in a repository. You act through tools and see their results.\n\n",
    );
    if dialect != Dialect::Native {
        rules.push_str("Actions:\n");
        for tool in offered {
            rules.push_str(match tool {
                Tool::Run => "- run: a shell command in the root of the repository.\n",
                Tool::WriteFile => "- write_file: create or replace one file with whole new content.\n",
                Tool::Finish => "- finish: end the work with a summary.\n",
            });
        }
        rules.push('\n');
    }
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
        Dialect::Schema | Dialect::Text => {
            rules.push('\n');
            rules.push_str(&form(dialect, offered));
            rules.push('\n');
        }
    }
    rules
}

/// What an answer has to look like.
fn form(dialect: Dialect, offered: &[Tool]) -> String {
    let object = |tool: Tool| match tool {
        Tool::Run => "{\"thought\": \"why\", \"action\": \"run\"}",
        Tool::WriteFile => "{\"thought\": \"why\", \"action\": \"write_file\", \"path\": \"src/example.py\"}",
        Tool::Finish => "{\"thought\": \"why\", \"action\": \"finish\", \"summary\": \"what was done\"}",
    };
    match dialect {
        Dialect::Native => "Answer with a tool call.".into(),
        Dialect::Schema => {
            "Answer with one JSON object: `thought`, `action`, `path` and `summary`. Leave what the action does not need \
             empty. You are asked for the command or the file content right after."
                .into()
        }
        Dialect::Text => {
            let forms: Vec<String> = offered
                .iter()
                .map(|tool| match tool {
                    Tool::Run => format!("{}\n```sh\nls\n```", object(*tool)),
                    Tool::WriteFile => format!("{}\n```\nthe whole content of the file\n```", object(*tool)),
                    Tool::Finish => object(*tool).to_owned(),
                })
                .collect();
            format!("Answer with exactly one action, in one of these forms:\n\n{}", forms.join("\n\n"))
        }
    }
}

/// The task of a `code` job, with the names of the files it starts from.
pub(crate) fn code_task(task: &str, files: &str) -> String {
    match files.is_empty() {
        true => format!("Task:\n{task}\n\nThe repository is empty."),
        false => format!("Task:\n{task}\n\nFiles in the repository:\n{files}"),
    }
}

/// Asks for the body of an action that came without.
pub(crate) fn body_request(of: &Bodiless) -> String {
    match of {
        Bodiless::Run => "Now write the shell command to run, and nothing else.".into(),
        Bodiless::WriteFile { path } => {
            format!("Now write the whole content of {}, and nothing else.", shown_path(path))
        }
    }
}

/// Tells a model that its answer held no action.
pub(crate) fn malformed(dialect: Dialect, offered: &[Tool], reason: &str) -> String {
    format!("Nothing was done: {reason}. {}", form(dialect, offered))
}

/// An action as [`Dialect::Text`] writes it: how a native call is shown to a model that does not know them.
pub(crate) fn as_text(action: &Action) -> String {
    let fence = |body: &str| "`".repeat((longest_run_of_backticks(body) + 1).max(3));
    match action {
        Action::Run { command } => {
            let fence = fence(command);
            format!("{}\n{fence}sh\n{command}\n{fence}", json!({"action": "run"}))
        }
        Action::WriteFile { path, content } => {
            let fence = fence(content);
            let line_end = if content.is_empty() || content.ends_with('\n') { "" } else { "\n" };
            format!("{}\n{fence}\n{content}{line_end}{fence}", json!({"action": "write_file", "path": path}))
        }
        Action::Finish { summary } => json!({"action": "finish", "summary": summary}).to_string(),
    }
}

fn longest_run_of_backticks(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
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
    use crate::envelope::{Reading, read};

    #[test]
    fn rules_as_the_model_sees_them() {
        insta::assert_snapshot!("native", code_rules(Dialect::Native, &Tool::ALL));
        insta::assert_snapshot!("schema", code_rules(Dialect::Schema, &Tool::ALL));
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
            code_task("Mend it.", "a.py\nb.py"),
            code_task("Write it.", ""),
            body_request(&Bodiless::Run),
            body_request(&Bodiless::WriteFile { path: "a.py".into() }),
            malformed(Dialect::Native, &Tool::ALL, "`browse` is not one of the tools"),
        ];
        insta::assert_snapshot!("questions", asked.join("\n\n---\n\n"));
    }

    #[test]
    fn the_forms_shown_are_forms_that_are_read() {
        let rules = code_rules(Dialect::Text, &[Tool::Run, Tool::Finish]);
        let forms = rules.split("in one of these forms:").nth(1).unwrap();
        assert_eq!(read(forms), Reading::Action(Action::Run { command: "ls".into() }));
        for action in [
            Action::Run { command: "cat <<'E'\n```\nE".into() },
            Action::WriteFile { path: "a.md".into(), content: "```\nx\n```\n".into() },
            Action::Finish { summary: "done".into() },
        ] {
            assert_eq!(read(&as_text(&action)), Reading::Action(action));
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
