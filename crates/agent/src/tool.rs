//! The tools a model is offered: few, because small models choose badly among many.

mod carry_out;
pub(crate) mod run;
pub(crate) mod said;
mod spec;

use crate::answer;
use domain::i_json::{self, Flaw};
use protocol::{ApprovalPolicies, ApprovalPolicy};
use serde_json::{Map, Value, json};

/// A tool's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    Run,
    ReadFile,
    Search,
    EditFile,
    WriteFile,
    Finish,
}

impl Tool {
    pub(crate) const ALL: [Self; 6] =
        [Self::Run, Self::ReadFile, Self::Search, Self::EditFile, Self::WriteFile, Self::Finish];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::ReadFile => "read_file",
            Self::Search => "search",
            Self::EditFile => "edit_file",
            Self::WriteFile => "write_file",
            Self::Finish => "finish",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    /// The tool whose policy holds for this one; `None` for what needs nobody's leave: looking changes nothing and shows what
    /// the job was created with, and a model ends only its own work.
    pub(crate) fn decided_with(self) -> Option<Self> {
        match self {
            Self::Run => Some(Self::Run),
            Self::EditFile | Self::WriteFile => Some(Self::WriteFile),
            Self::ReadFile | Self::Search | Self::Finish => None,
        }
    }

    pub(crate) fn policy(self, policies: &ApprovalPolicies) -> ApprovalPolicy {
        match self.decided_with() {
            Some(Self::Run) => policies.run,
            Some(_) => policies.write_file,
            None => ApprovalPolicy::Auto,
        }
    }

    /// The tools this job offers: a `never` is not offered at all, so a model cannot waste a turn on it. A small model gets
    /// those it cannot do without: with each one more it chooses worse, one that can look at files goes on looking, and `run`
    /// can do that too.
    pub(crate) fn offered(policies: &ApprovalPolicies, small_model: bool) -> Vec<Self> {
        let can_run = policies.run != ApprovalPolicy::Never;
        let looks = |tool: &Self| matches!(tool, Self::ReadFile | Self::Search);
        let is_needed = |tool: &Self| !looks(tool) || !small_model || !can_run;
        Self::ALL.into_iter().filter(is_needed).filter(|tool| tool.policy(policies) != ApprovalPolicy::Never).collect()
    }
}

/// Tells a model that there is no such tool.
pub(crate) fn unknown(name: &str) -> String {
    format!("`{}` is not one of the tools", name.chars().take(40).collect::<String>())
}

/// One thing a model asks for, with all it takes to do it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Run {
        command: String,
    },
    /// Lines are counted from 1; both ends are part of it.
    ReadFile {
        path: String,
        from: Option<u32>,
        to: Option<u32>,
    },
    /// `path` is empty for everything.
    Search {
        pattern: String,
        path: String,
    },
    EditFile {
        path: String,
        old: String,
        new: String,
    },
    WriteFile {
        path: String,
        content: String,
    },
    Finish {
        summary: String,
    },
}

impl Action {
    /// A command for the shell. The error is for the model: what was meant for the agent is never run.
    pub(crate) fn run(command: &str) -> Result<Self, String> {
        match answer::is_call(command) || answer::has_call_line(command) {
            true => {
                Err("the command is itself a tool call, and no shell can run that; give the shell command alone".into())
            }
            false => Ok(Self::Run { command: command.to_owned() }),
        }
    }

    /// A whole file. The error is for the model: a call is the content of no file but one of data.
    pub(crate) fn write_file(path: String, content: String) -> Result<Self, String> {
        let is_data =
            [".json", ".jsonl", ".txt", ".md"].iter().any(|ending| path.to_ascii_lowercase().ends_with(ending));
        match !is_data && answer::is_call(&content) {
            true => Err(format!("the content of {path} is itself a tool call; give the content of the file alone")),
            false => Ok(Self::WriteFile { path, content }),
        }
    }

    pub(crate) fn tool(&self) -> Tool {
        match self {
            Self::Run { .. } => Tool::Run,
            Self::ReadFile { .. } => Tool::ReadFile,
            Self::Search { .. } => Tool::Search,
            Self::EditFile { .. } => Tool::EditFile,
            Self::WriteFile { .. } => Tool::WriteFile,
            Self::Finish { .. } => Tool::Finish,
        }
    }

    /// What the log records, what a person approves, and exactly what is done.
    pub(crate) fn arguments(&self) -> Value {
        match self {
            Self::Run { command } => json!({"command": command}),
            Self::ReadFile { path, from, to } => {
                let mut fields = Map::new();
                fields.insert("path".into(), path.as_str().into());
                let lines = [("from", from), ("to", to)];
                fields.extend(lines.into_iter().filter_map(|(name, line)| Some((name.into(), (*line)?.into()))));
                Value::Object(fields)
            }
            Self::Search { pattern, path } if path.is_empty() => json!({"pattern": pattern}),
            Self::Search { pattern, path } => json!({"pattern": pattern, "path": path}),
            Self::EditFile { path, old, new } => json!({"path": path, "old": old, "new": new}),
            Self::WriteFile { path, content } => json!({"path": path, "content": content}),
            Self::Finish { summary } => json!({"summary": summary}),
        }
    }

    /// Reads a native call's arguments. The error is written for the model.
    pub(crate) fn from_arguments(tool: Tool, arguments: &Value) -> Result<Self, String> {
        // Some runtimes hand the arguments over as the text of a JSON object; so does the backend what it could not keep exactly.
        let parsed = arguments.as_str().map(|text| parse(tool, text)).transpose()?;
        let arguments = parsed.as_ref().unwrap_or(arguments);
        let text = |name: &str| -> Result<String, String> {
            arguments[name]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| format!("`{}` needs the string argument `{name}`", tool.as_str()))
        };
        let filled = |name: &str| -> Result<String, String> {
            text(name).and_then(|value| match value.trim().is_empty() {
                true => Err(format!("the argument `{name}` of `{}` is empty", tool.as_str())),
                false => Ok(value),
            })
        };
        let line = |name: &str| -> Result<Option<u32>, String> {
            let value = &arguments[name];
            let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
            match number.map(u32::try_from) {
                Some(Ok(line)) => Ok(Some(line)),
                None if value.is_null() || value == "" => Ok(None),
                _ => {
                    Err(format!("the argument `{name}` of `{}` is {value}; it is the number of a line", tool.as_str()))
                }
            }
        };
        match tool {
            Tool::Run => Self::run(&filled("command")?),
            Tool::ReadFile => Ok(Self::ReadFile { path: filled("path")?, from: line("from")?, to: line("to")? }),
            Tool::Search => Ok(Self::Search { pattern: filled("pattern")?, path: text("path").unwrap_or_default() }),
            Tool::EditFile => Ok(Self::EditFile { path: filled("path")?, old: text("old")?, new: text("new")? }),
            Tool::WriteFile => Self::write_file(filled("path")?, text("content")?),
            Tool::Finish => Ok(Self::Finish { summary: text("summary").unwrap_or_default() }),
        }
    }
}

fn parse(tool: Tool, text: &str) -> Result<Value, String> {
    let name = tool.as_str();
    i_json::check_text(text)
        .map_err(|Flaw { pointer, problem }| format!("the argument `{pointer}` of `{name}` {problem}"))?;
    serde_json::from_str(text).map_err(|error| format!("the arguments of `{name}` are not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_never_allowed_is_not_offered() {
        let look_only = ApprovalPolicies { run: ApprovalPolicy::Never, write_file: ApprovalPolicy::Never };
        assert_eq!(Tool::offered(&look_only, false), [Tool::ReadFile, Tool::Search, Tool::Finish]);
        let ask = ApprovalPolicies { write_file: ApprovalPolicy::Ask, ..ApprovalPolicies::default() };
        let small = [Tool::Run, Tool::EditFile, Tool::WriteFile, Tool::Finish];
        assert_eq!((Tool::offered(&ask, true), Tool::offered(&ask, false)), (small.to_vec(), Tool::ALL.to_vec()));
        assert_eq!(Tool::EditFile.policy(&ask), ApprovalPolicy::Ask, "an edit is a write");
        assert_eq!(Tool::ReadFile.policy(&ask), ApprovalPolicy::Auto);
    }

    #[test]
    fn what_was_meant_for_the_agent_is_no_command_and_no_code() {
        for command in [
            r#"{"action": "run", "command": "ls"}"#,
            "```sh\n{\"action\": \"run\"}\n```",
            "ls\n{\"thought\": \"next\", \"action\": \"finish\"}",
            "<tool_call>{}",
            "[TOOL_CALLS][",
        ] {
            assert!(Action::run(command).unwrap_err().contains("itself a tool call"), "{command}");
            let native = Action::from_arguments(Tool::Run, &json!({"command": command}));
            assert!(native.is_err(), "{command}");
        }
        for command in ["echo '{\"action\": \"run\"}' > a", "cat > a <<E\n{\"name\": \"run\"}\nE", "{ ls; }"] {
            assert!(Action::run(command).is_ok(), "{command}");
        }
        let call = r#"{"action": "finish", "summary": "x"}"#.to_owned();
        assert!(Action::write_file("a.py".into(), call.clone()).is_err());
        assert!(Action::write_file("a.json".into(), call).is_ok());
    }

    #[test]
    fn arguments_survive_the_way_through_the_log() {
        for action in [
            Action::Run { command: "ls -la".into() },
            Action::ReadFile { path: "a.rs".into(), from: Some(3), to: None },
            Action::Search { pattern: "x".into(), path: String::new() },
            Action::EditFile { path: "a.rs".into(), old: "x".into(), new: String::new() },
            Action::WriteFile { path: "a/b.rs".into(), content: "fn main() {}\n".into() },
            Action::Finish { summary: "done".into() },
        ] {
            assert_eq!(Action::from_arguments(action.tool(), &action.arguments()), Ok(action));
        }
    }

    #[test]
    fn wrong_arguments_are_explained_to_the_model() {
        let missing = Action::from_arguments(Tool::WriteFile, &json!({"path": "a"}));
        assert_eq!(missing, Err("`write_file` needs the string argument `content`".into()));
        let empty = Action::from_arguments(Tool::Run, &json!({"command": " \n"}));
        assert_eq!(empty, Err("the argument `command` of `run` is empty".into()));
        let as_text = Action::from_arguments(Tool::Run, &json!("{\"command\": \"ls\"}"));
        assert_eq!(as_text, Ok(Action::Run { command: "ls".into() }));
        let changed = Action::from_arguments(Tool::Run, &json!(r#"{"command": "ls", "id": 9007199254740993}"#));
        assert_eq!(
            changed,
            Err("the argument `/id` of `run` is 9007199254740993; integers from -9007199254740991 to 9007199254740991 keep their \
                 value with every reader (RFC 7493). Send it as a string"
                .into())
        );
        let cut = Action::from_arguments(Tool::Run, &json!("{\"command\": "));
        assert!(cut.unwrap_err().starts_with("the arguments of `run` are not JSON: EOF"));
    }
}
