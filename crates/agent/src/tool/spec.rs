//! How models with native tool calls are told of the tools.

use super::Tool;
use protocol::ToolSpec;
use serde_json::json;

impl Tool {
    pub(crate) fn spec(self) -> ToolSpec {
        let path = || json!({"type": "string", "description": "Relative to the root of the repository."});
        let (description, properties, required) = match self {
            Self::Run => (
                "Run a shell command in the root of the repository. Each call is a new process: only files are kept.",
                json!({"command": {"type": "string", "description": "The command, as for `sh -c`."}}),
                json!(["command"]),
            ),
            Self::ReadFile => (
                "Show a file with line numbers, or a part of it.",
                json!({
                    "path": path(),
                    "from": {"type": "integer", "description": "First line. Default 1."},
                    "to": {"type": "integer", "description": "Last line. Default: as many as fit."},
                }),
                json!(["path"]),
            ),
            Self::Search => (
                "Find lines of the repository's files that a regular expression matches. Ignored files are left out.",
                json!({
                    "pattern": {"type": "string", "description": "A regular expression, or plain text."},
                    "path": {"type": "string", "description": "A folder or file to look in. Default: everything."},
                }),
                json!(["pattern"]),
            ),
            Self::EditFile => (
                "Replace one place in a file that exists.",
                json!({
                    "path": path(),
                    "old": {"type": "string", "description": "The lines to replace as they are in the file, enough of them to be found once."},
                    "new": {"type": "string", "description": "What stands there instead."},
                }),
                json!(["path", "old", "new"]),
            ),
            Self::WriteFile => (
                "Create one file. To change one that exists use edit_file.",
                json!({
                    "path": path(),
                    "content": {"type": "string", "description": "The whole content of the file."},
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
