//! The tools a model is offered: few, because small models choose badly among many.

mod carry_out;
pub(crate) mod run;

use domain::i_json::{self, Flaw};
use protocol::{ApprovalPolicies, ApprovalPolicy, ToolSpec};
use serde_json::{Value, json};

/// A tool's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Tool {
    Run,
    WriteFile,
    Finish,
}

impl Tool {
    pub(crate) const ALL: [Self; 3] = [Self::Run, Self::WriteFile, Self::Finish];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::WriteFile => "write_file",
            Self::Finish => "finish",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.as_str() == name)
    }

    pub(crate) fn policy(self, policies: &ApprovalPolicies) -> ApprovalPolicy {
        match self {
            Self::Run => policies.run,
            Self::WriteFile => policies.write_file,
            // Ending its own work needs nobody's leave.
            Self::Finish => ApprovalPolicy::Auto,
        }
    }

    /// The tools this job offers: a `never` is not offered at all, so a model cannot waste a turn on it.
    pub(crate) fn offered(policies: &ApprovalPolicies) -> Vec<Self> {
        Self::ALL.into_iter().filter(|tool| tool.policy(policies) != ApprovalPolicy::Never).collect()
    }

    /// How a model with native tool calls is told of it.
    pub(crate) fn spec(self) -> ToolSpec {
        let (description, properties, required) = match self {
            Self::Run => (
                "Run a shell command in the root of the repository. Each call is a new process: only files are kept.",
                json!({"command": {"type": "string", "description": "The command, as for `sh -c`."}}),
                json!(["command"]),
            ),
            Self::WriteFile => (
                "Create or replace one file of the repository.",
                json!({
                    "path": {"type": "string", "description": "Relative to the root of the repository."},
                    "content": {"type": "string", "description": "The whole new content of the file."},
                }),
                json!(["path", "content"]),
            ),
            Self::Finish => (
                "End the work. Call it when the task is done and checked.",
                json!({"summary": {"type": "string", "description": "What was done and how it was checked, in a few sentences."}}),
                json!(["summary"]),
            ),
        };
        ToolSpec {
            name: self.as_str().into(),
            description: description.into(),
            parameters: json!({
                "type": "object", "properties": properties, "required": required, "additionalProperties": false,
            }),
        }
    }
}

/// One thing a model asks for, with all it takes to do it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Run { command: String },
    WriteFile { path: String, content: String },
    Finish { summary: String },
}

impl Action {
    pub(crate) fn tool(&self) -> Tool {
        match self {
            Self::Run { .. } => Tool::Run,
            Self::WriteFile { .. } => Tool::WriteFile,
            Self::Finish { .. } => Tool::Finish,
        }
    }

    /// What the log records, what a person approves, and exactly what is done.
    pub(crate) fn arguments(&self) -> Value {
        match self {
            Self::Run { command } => json!({"command": command}),
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
        Ok(match tool {
            Tool::Run => Self::Run { command: filled("command")? },
            Tool::WriteFile => Self::WriteFile { path: filled("path")?, content: text("content")? },
            Tool::Finish => Self::Finish { summary: text("summary").unwrap_or_default() },
        })
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
        let policies = ApprovalPolicies { run: ApprovalPolicy::Never, write_file: ApprovalPolicy::Ask };
        assert_eq!(Tool::offered(&policies), [Tool::WriteFile, Tool::Finish]);
    }

    #[test]
    fn arguments_survive_the_way_through_the_log() {
        for action in [
            Action::Run { command: "ls -la".into() },
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
