//! A call as a model wrote it, in whatever form, and the action it comes to: names and arguments are taken as models are
//! known to call them.

use super::{edit_blocks, fence::Fence};
use crate::tool::{Action, Tool};
use serde_json::{Map, Value};

/// Names that models trained on other tools use for ours. Only those that can mean nothing else.
const NAMES: [(&str, Tool); 22] = [
    ("bash", Tool::Run),
    ("shell", Tool::Run),
    ("sh", Tool::Run),
    ("exec", Tool::Run),
    ("execute", Tool::Run),
    ("terminal", Tool::Run),
    ("run_command", Tool::Run),
    ("execute_command", Tool::Run),
    ("read", Tool::ReadFile),
    ("cat", Tool::ReadFile),
    ("view", Tool::ReadFile),
    ("grep", Tool::Search),
    ("edit", Tool::EditFile),
    ("replace", Tool::EditFile),
    ("str_replace", Tool::EditFile),
    ("replace_in_file", Tool::EditFile),
    ("write", Tool::WriteFile),
    ("create_file", Tool::WriteFile),
    ("write_to_file", Tool::WriteFile),
    ("done", Tool::Finish),
    ("submit", Tool::Finish),
    ("attempt_completion", Tool::Finish),
];

/// Where models put the name of a tool, and its arguments.
const NAME_KEYS: [&str; 4] = ["action", "name", "tool", "tool_name"];
const ARGUMENT_KEYS: [&str; 5] = ["arguments", "parameters", "args", "input", "params"];

/// One call.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said<'a> {
    pub(super) name: String,
    /// An object; anything else has no arguments in it.
    pub(super) arguments: Value,
    /// The fenced blocks that belong to it.
    pub(super) blocks: Vec<Fence<'a>>,
    /// It ends where nobody can know how it went on.
    pub(super) cut: bool,
}

impl Said<'_> {
    pub(super) fn new(name: impl Into<String>, arguments: Value) -> Self {
        Self { name: name.into(), arguments, blocks: Vec::new(), cut: false }
    }

    /// The call an object is; `None` for one that only happens to be JSON.
    pub(super) fn of(object: &Value) -> Option<Self> {
        let fields = object.as_object()?;
        // As OpenAI's answers wrap it.
        if let Some(function) = fields.get("function").filter(|function| function.is_object()) {
            return Self::of(function);
        }
        let (key, name) = NAME_KEYS.iter().find_map(|key| Some((*key, fields.get(*key)?.as_str()?)))?;
        let nested = ARGUMENT_KEYS.iter().find_map(|key| fields.get(*key));
        let arguments = match nested {
            Some(Value::Object(_)) => nested.cloned(),
            // The text of an object.
            Some(Value::String(text)) => super::json::read(text.trim()).map(|read| read.value),
            _ => None,
        };
        // A package's description has a name too.
        let is_call = key != "name" || nested.is_some() || tool(name).is_some();
        is_call.then(|| Self::new(name, arguments.unwrap_or_else(|| object.clone())))
    }

    pub(super) fn tool(&self) -> Option<Tool> {
        tool(&self.name)
    }

    /// How many blocks it lacks: what its arguments do not hold.
    pub(super) fn blocks_wanted(&self) -> usize {
        let fields = self.fields();
        let lacks = |names: &[&str]| text(&fields, names).is_none();
        match self.tool() {
            Some(Tool::Run) => usize::from(lacks(COMMAND)),
            Some(Tool::WriteFile) => usize::from(lacks(CONTENT)),
            Some(Tool::EditFile) => 2 * usize::from(lacks(OLD) || lacks(NEW)),
            _ => 0,
        }
    }

    fn fields(&self) -> Map<String, Value> {
        self.arguments.as_object().cloned().unwrap_or_default()
    }

    /// What it asks for, or what is wrong with it, in words for the model.
    pub(super) fn action(&self) -> Result<Action, String> {
        let Some(tool) = self.tool() else { return Err(crate::tool::unknown(&self.name)) };
        if self.cut {
            return Err(format!(
                "the call of `{}` ends in the middle; write it again, whole, and do less in one step",
                tool.as_str()
            ));
        }
        let fields = self.fields();
        let block = self.blocks.first().map(|block| block.body);
        let path = || {
            let path = text(&fields, PATH).filter(|path| !path.trim().is_empty());
            path.map(|path| path.trim().to_owned())
                .ok_or_else(|| format!("`{}` needs the `path` of the file", tool.as_str()))
        };
        match tool {
            Tool::Run => match text(&fields, COMMAND).or(block.map(str::to_owned)) {
                Some(command) if !command.trim().is_empty() => Action::run(command.trim()),
                _ => Err("the command is missing: write it in a ```sh block right after the JSON object".into()),
            },
            Tool::ReadFile => Ok(Action::ReadFile { path: path()?, from: line(&fields, FROM), to: line(&fields, TO) }),
            Tool::Search => match text(&fields, PATTERN).filter(|pattern| !pattern.is_empty()) {
                Some(pattern) => Ok(Action::Search { pattern, path: path().unwrap_or_default() }),
                None => Err("`search` needs the `pattern` to look for".into()),
            },
            Tool::EditFile => {
                let path = path()?;
                let said = text(&fields, OLD).zip(text(&fields, NEW));
                match said.or_else(|| edit_blocks::old_and_new(&self.blocks)) {
                    Some((old, new)) => Ok(Action::EditFile { path, old, new }),
                    None => Err(format!(
                        "`edit_file` of {path} needs a block right after the JSON object: `<<<<<<< SEARCH`, the old lines as they are \
                         in the file, `=======`, the new lines, `>>>>>>> REPLACE`"
                    )),
                }
            }
            Tool::WriteFile => {
                let path = path()?;
                // A change to a file, under the name of the wrong tool.
                if let Some((old, new)) = edit_blocks::old_and_new(self.blocks.get(..1).unwrap_or_default()) {
                    return Ok(Action::EditFile { path, old, new });
                }
                match text(&fields, CONTENT).or(block.map(str::to_owned)) {
                    Some(content) => Action::write_file(path, content),
                    None => Err(format!(
                        "the content of {path} is missing: write it in a block right after the JSON object"
                    )),
                }
            }
            Tool::Finish => {
                let summary = text(&fields, SUMMARY).or(block.map(str::to_owned)).unwrap_or_default();
                Ok(Action::Finish { summary: summary.trim().to_owned() })
            }
        }
    }
}

const COMMAND: &[&str] = &["command", "cmd", "script"];
const PATH: &[&str] = &["path", "file_path", "file", "filename", "target_file"];
const CONTENT: &[&str] = &["content", "contents", "file_text", "text"];
const OLD: &[&str] = &["old", "old_string", "old_str", "old_text", "search"];
const NEW: &[&str] = &["new", "new_string", "new_str", "new_text", "replace"];
const PATTERN: &[&str] = &["pattern", "query", "regex"];
const FROM: &[&str] = &["from", "start_line", "line_start"];
const TO: &[&str] = &["to", "end_line", "line_end"];
const SUMMARY: &[&str] = &["summary", "result", "message", "answer", "thought"];

/// The tool of a name, as models write it.
fn tool(name: &str) -> Option<Tool> {
    let name = name.trim().to_ascii_lowercase().replace('-', "_");
    let name = name.strip_prefix("functions.").unwrap_or(&name);
    // Kimi counts its calls: `functions.run:0`.
    let name = name.split(':').next().unwrap_or(name);
    Tool::parse(name).or_else(|| NAMES.iter().find(|(other, _)| *other == name).map(|(_, tool)| *tool))
}

/// An argument under one of its names. A list of words is a command as programs are started.
fn text(fields: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match fields.get(*name)? {
        // Schemas with all fields in them leave the others empty.
        Value::String(text) if text.is_empty() && names.len() > 1 && !is_content(names) => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            match words[..] {
                ["bash" | "sh", "-c" | "-lc", script] => Some(script.to_owned()),
                _ => Some(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")),
            }
        }
        _ => None,
    })
}

/// An empty file, and nothing in place of something, are things to write.
fn is_content(names: &[&str]) -> bool {
    [CONTENT, NEW].contains(&names)
}

fn quoted(word: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_./=:,+@".contains(character);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The number of a line, also where a model writes it as text.
fn line(fields: &Map<String, Value>, names: &[&str]) -> Option<u32> {
    let value = names.iter().find_map(|name| fields.get(*name))?;
    value.as_u64().and_then(|line| u32::try_from(line).ok()).or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn action(object: Value) -> Result<Action, String> {
        Said::of(&object).map_or_else(|| Err("no call".into()), |said| said.action())
    }

    #[test]
    fn names_and_arguments_are_taken_as_models_write_them() {
        let run = Action::Run { command: "ls -la".into() };
        for object in [
            json!({"action": "run", "command": "ls -la"}),
            json!({"name": "run", "arguments": {"command": "ls -la"}}),
            json!({"name": "run", "parameters": {"cmd": "ls -la"}}),
            json!({"name": "run", "arguments": "{\"command\": \"ls -la\"}"}),
            json!({"type": "function", "function": {"name": "functions.run", "arguments": {"command": "ls -la"}}}),
            json!({"tool": "bash", "input": {"command": ["bash", "-lc", "ls -la"]}}),
            json!({"name": "functions.run:0", "arguments": {"command": ["ls", "-la"]}}),
        ] {
            assert_eq!(action(object.clone()), Ok(run.clone()), "{object}");
        }
        let read = json!({"name": "read_file", "arguments": {"file_path": "a.py", "from": "3", "to": 9}});
        assert_eq!(action(read), Ok(Action::ReadFile { path: "a.py".into(), from: Some(3), to: Some(9) }));
        let edit = json!({"name": "str_replace", "arguments": {"path": "a.py", "old_str": "x", "new_str": ""}});
        assert_eq!(action(edit), Ok(Action::EditFile { path: "a.py".into(), old: "x".into(), new: String::new() }));
    }

    #[test]
    fn other_objects_are_no_calls() {
        for object in [json!({"name": "left-pad", "version": "1.0.0"}), json!({"a": 1}), json!([1])] {
            assert_eq!(Said::of(&object), None, "{object}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (object, reason) in [
            (json!({"action": "browse"}), "`browse` is not one of the tools"),
            (json!({"action": "write_file", "content": "x"}), "`write_file` needs the `path` of the file"),
            (json!({"action": "search"}), "`search` needs the `pattern` to look for"),
            (json!({"action": "run", "command": " "}), "the command is missing"),
            (json!({"action": "edit_file", "path": "a"}), "`edit_file` of a needs a block"),
        ] {
            let said = action(object).unwrap_err();
            assert!(said.starts_with(reason), "{said}");
        }
    }
}
