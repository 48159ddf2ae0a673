//! Tools as this dialect declares them, for providers that know functions alone.
//!
//! ```text
//!   function                    ─▶ function                          the same
//!   namespace { functions … }   ─▶ functions `namespace__name`       the call gets its `namespace` back
//!   custom (input is a text)    ─▶ function of one argument, `input` ◀─ the call is a `custom_tool_call` again
//!   what runs at OpenAI         ─▶ left out and named; where nothing is left, the request is for another target
//! ```

use crate::{
    Conversation, Error,
    conversation::{Called, Renamed, Tool, ToolChoice},
    wire::openai::{content, place::Place, sampling},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The longest name of a function that providers take.
const NAME_BYTES: usize = 64;
/// Of the digest that stands for the rest of a longer one.
const DIGEST_CHARACTERS: usize = 8;

/// What a request is answered with that would lose all of its tools.
pub(crate) const NONE_LEFT: &str = "are all tools that run at OpenAI and not at the chosen model's provider. Name a model of a server that speaks this API, or declare a function";

impl Called {
    pub(crate) fn plain(name: &str) -> Self {
        Self { name: name.to_owned(), namespace: None, is_custom: false }
    }

    /// The text that a custom tool is given, out of the function's arguments. Models that write the text itself are
    /// understood.
    pub(crate) fn input(arguments: &str) -> String {
        match serde_json::from_str(arguments) {
            Ok(Value::Object(mut fields)) => match fields.remove("input") {
                Some(Value::String(input)) => input,
                _ => arguments.to_owned(),
            },
            Ok(Value::String(input)) => input,
            _ => arguments.to_owned(),
        }
    }
}

/// A function's one name for a name in a namespace: of letters, digits, `_` and `-`, at most 64 of them.
pub(crate) fn flat(namespace: Option<&str>, name: &str) -> String {
    let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return name.to_owned() };
    let joined = format!("{}__{name}", namespace.trim_end_matches("__"));
    let is_plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    if joined.len() <= NAME_BYTES && joined.chars().all(is_plain) {
        return joined;
    }
    let digest = hex(&Sha256::digest(joined.as_bytes()));
    let kept = joined.chars().map(|character| if is_plain(character) { character } else { '_' });
    let kept: String = kept.take(NAME_BYTES - DIGEST_CHARACTERS - 1).collect();
    format!("{kept}_{}", &digest[..DIGEST_CHARACTERS])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds the tools of a request, or of an `additional_tools` item. Says how many there are, understood or not.
pub(crate) fn tools(to: &mut Conversation, value: Value, at: &Place<'_>) -> Result<usize, Error> {
    let tools = at.array(value)?;
    let declared = tools.len();
    for (index, tool) in tools.into_iter().enumerate() {
        let at = at.index(index);
        let mut fields = at.object(tool)?;
        let kind = at.field("type").string(at.required(&mut fields, "type")?)?;
        if kind == "namespace" {
            in_namespace(to, fields, &at)?;
        } else {
            one_tool(to, &kind, fields, None, &at)?;
        }
    }
    Ok(declared)
}

fn in_namespace(to: &mut Conversation, mut fields: Map<String, Value>, at: &Place<'_>) -> Result<(), Error> {
    let namespace = at.field("name").string(at.required(&mut fields, "name")?)?;
    let tools = at.required(&mut fields, "tools")?;
    let inner = at.field("tools");
    for (index, tool) in inner.array(tools)?.into_iter().enumerate() {
        let at = inner.index(index);
        let mut fields = at.object(tool)?;
        let kind = at.field("type").string(at.required(&mut fields, "type")?)?;
        one_tool(to, &kind, fields, Some(&namespace), &at)?;
    }
    at.leftovers(&fields, &mut to.lost);
    Ok(())
}

fn one_tool(
    to: &mut Conversation,
    kind: &str,
    fields: Map<String, Value>,
    namespace: Option<&str>,
    at: &Place<'_>,
) -> Result<(), Error> {
    let mut tool = match kind {
        "function" => content::tool(fields, at, &mut to.lost)?,
        "custom" => custom(fields, at, &mut to.lost)?,
        // Web search and its like run at OpenAI.
        _ => {
            to.lost.push(at.to_string());
            return Ok(());
        }
    };
    let is_custom = kind == "custom";
    let name = std::mem::take(&mut tool.name);
    tool.name = free_name(to, flat(namespace, &name));
    if is_custom || tool.name != name {
        let called = Called { name, namespace: namespace.map(str::to_owned), is_custom };
        to.renamed.push(Renamed { name: tool.name.clone(), called });
    }
    to.tools.push(tool);
    Ok(())
}

/// No two functions of a request may have one name.
fn free_name(to: &Conversation, name: String) -> String {
    let is_free = |name: &str| to.tools.iter().all(|tool| tool.name != name);
    if is_free(&name) {
        return name;
    }
    let kept = name.get(..NAME_BYTES - DIGEST_CHARACTERS).unwrap_or(&name);
    (2..).map(|number: u32| format!("{kept}_{number}")).find(|name| is_free(name)).unwrap_or(name)
}

fn custom(mut fields: Map<String, Value>, at: &Place<'_>, lost: &mut Vec<String>) -> Result<Tool, Error> {
    let name = at.field("name").string(at.required(&mut fields, "name")?)?;
    let mut description = at.optional_string(&mut fields, "description")?.unwrap_or_default();
    if let Some(format) = fields.remove("format").filter(|format| !format.is_null()) {
        let at = at.field("format");
        let mut format = at.object(format)?;
        let syntax = at.optional_string(&mut format, "syntax")?;
        if let Some(definition) = at.optional_string(&mut format, "definition")? {
            let syntax = syntax.unwrap_or_default();
            description = format!("{description}\n\n`input` keeps to this {syntax} grammar:\n{definition}");
        }
    }
    at.leftovers(&fields, lost);
    let parameters = json!({
        "type": "object",
        "properties": {"input": {"type": "string", "description": "All of the tool's input, as plain text."}},
        "required": ["input"],
        "additionalProperties": false,
    });
    Ok(Tool { name, description: description.trim_start().to_owned(), parameters, strict: None })
}

/// The arguments of the function that stands for a custom tool.
pub(crate) fn arguments_of(input: &str) -> String {
    json!({"input": input}).to_string()
}

/// Once all tools are known: the choice among them.
pub(crate) fn choose(to: &mut Conversation, value: Value, at: &Place<'_>) -> Result<(), Error> {
    let mut fields = match value {
        Value::String(mode) => {
            to.tool_choice = sampling::mode_of(&mode, at)?;
            return Ok(());
        }
        other => at.object(other)?,
    };
    let kind = at.field("type").string(at.required(&mut fields, "type")?)?;
    match kind.as_str() {
        "function" | "custom" | "tool" => match named(to, &mut fields, at)? {
            Some(name) => to.tool_choice = ToolChoice::Named(name),
            None => {
                return Err(
                    at.invalid("names a tool that is not among the `tools` that the chosen model can be told of")
                );
            }
        },
        "allowed_tools" => {
            let mode = at.optional_string(&mut fields, "mode")?;
            to.tool_choice = sampling::mode_of(mode.as_deref().unwrap_or("auto"), &at.field("mode"))?;
            let inner = at.field("tools");
            let mut allowed = Vec::new();
            for (index, tool) in inner.array(at.required(&mut fields, "tools")?)?.into_iter().enumerate() {
                let at = inner.index(index);
                let mut tool = at.object(tool)?;
                match named(to, &mut tool, &at) {
                    Ok(Some(name)) => allowed.push(name),
                    _ => to.lost.push(at.to_string()),
                }
            }
            to.tools.retain(|tool| allowed.contains(&tool.name));
            if to.tools.is_empty() {
                return Err(inner.invalid(NONE_LEFT));
            }
        }
        "auto" | "none" | "required" | "any" => to.tool_choice = sampling::mode_of(&kind, at)?,
        other => {
            return Err(at.field("type").invalid(format!(
                "is `{other}`, which runs at OpenAI and not at the chosen model's provider. Name a model of a server that speaks this API, or choose a function"
            )));
        }
    }
    Ok(())
}

/// The name here of a tool that is called by its own name and, maybe, its namespace.
fn named(to: &Conversation, fields: &mut Map<String, Value>, at: &Place<'_>) -> Result<Option<String>, Error> {
    let name = at.field("name").string(at.required(fields, "name")?)?;
    let namespace = at.optional_string(fields, "namespace")?;
    let is_it = |called: &Called| called.name == name && (namespace.is_none() || called.namespace == namespace);
    let renamed = to.renamed.iter().find(|renamed| is_it(&renamed.called)).map(|renamed| renamed.name.clone());
    let plain = || to.tools.iter().find(|tool| tool.name == name).map(|tool| tool.name.clone());
    Ok(renamed.or_else(plain))
}
