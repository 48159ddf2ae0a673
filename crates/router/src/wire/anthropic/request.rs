//! From a request's body to a [`Conversation`].

use super::{Count, blocks, needed, optional, optional_count, present, read};
use crate::{
    Conversation, Error,
    conversation::{Format, Message, Part, Thinking, Tool, ToolChoice},
    json_object::Fields,
};
use bytes::Bytes;
use protocol::Role;
use serde_json::{Value, value::RawValue};

pub(crate) fn conversation(body: &Bytes) -> Result<Conversation, Error> {
    let fields = Fields::of(body)?;
    let mut conversation = Conversation {
        max_output_tokens: optional_count(&fields, "max_tokens")?,
        temperature: optional(&fields, "temperature", "a number")?,
        top_p: optional(&fields, "top_p", "a number")?,
        top_k: optional_count(&fields, "top_k")?,
        stop: optional(&fields, "stop_sequences", "a list of texts")?.unwrap_or_default(),
        ..Conversation::default()
    };
    if let Some(system) = present(&fields, "system") {
        let parts = blocks::system(system, "/system", &mut conversation)?;
        conversation.messages.push(Message { role: Role::System, parts });
    }
    let messages: Vec<&RawValue> = needed(&fields, "messages", "a list of messages")?;
    for (at, message) in messages.into_iter().enumerate() {
        self::message(message, &format!("/messages/{at}"), &mut conversation)?;
    }
    results_first(&mut conversation.messages);
    let tools: Vec<&RawValue> = optional(&fields, "tools", "a list of tools")?.unwrap_or_default();
    let declares_tools = !tools.is_empty();
    for (at, value) in tools.into_iter().enumerate() {
        conversation.tools.extend(tool(value, &format!("/tools/{at}"), &mut conversation.lost)?);
    }
    if declares_tools && conversation.tools.is_empty() {
        return Err(Error::invalid("/tools", NONE_LEFT));
    }
    if let Some(choice) = present(&fields, "tool_choice") {
        tool_choice(choice, &mut conversation)?;
    }
    if let Some(metadata) = present(&fields, "metadata") {
        let metadata = Object::of(metadata, "/metadata")?;
        conversation.user = metadata.text("user_id")?;
        metadata.report_others(&["user_id"], &mut conversation.lost);
    }
    if let Some(thinking) = present(&fields, "thinking") {
        self::thinking(thinking, &mut conversation)?;
    }
    if let Some(format) = present(&fields, "output_format") {
        conversation.format = self::format(format, "/output_format", &mut conversation.lost)?;
    }
    if let Some(config) = present(&fields, "output_config") {
        output_config(config, &mut conversation)?;
    }
    Object { fields, pointer: String::new() }.report_others(KNOWN, &mut conversation.lost);
    Ok(conversation)
}

/// Fields of the request that are read, or say nothing about the answer.
const KNOWN: &[&str] = &[
    "model",
    "messages",
    "system",
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "metadata",
    "thinking",
    "output_format",
    "output_config",
];

/// What a request is answered with that would lose all of its tools.
const NONE_LEFT: &str = "are all tools that only the models of their vendor know. Name a model of a server that speaks this API, or declare a tool with an `input_schema`";

/// Results of tools follow the calls they belong to, whatever users and systems said in between: every wire wants it so.
fn results_first(messages: &mut [Message]) {
    for between in messages.split_mut(|message| message.role == Role::Assistant) {
        // Stable.
        between.sort_by_key(|message| message.role != Role::Tool);
    }
}

/// One JSON object and where it stands in the request.
pub(crate) struct Object<'a> {
    pub(crate) fields: Fields<'a>,
    pub(crate) pointer: String,
}

impl<'a> Object<'a> {
    pub(crate) fn of(value: &'a RawValue, pointer: impl Into<String>) -> Result<Self, Error> {
        let pointer = pointer.into();
        let fields = Fields::of(value.get().as_bytes()).map_err(|_| Error::invalid(&pointer, "must be an object"))?;
        Ok(Self { fields, pointer })
    }

    pub(crate) fn at(&self, name: &str) -> String {
        format!("{}/{}", self.pointer, name.replace('~', "~0").replace('/', "~1"))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        present(&self.fields, name)
    }

    pub(crate) fn need(&self, name: &str) -> Result<&'a RawValue, Error> {
        self.get(name).ok_or_else(|| Error::invalid(self.at(name), "is missing"))
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<String>, Error> {
        self.get(name).map(|value| read(value, &self.at(name), "a text")).transpose()
    }

    pub(crate) fn need_text(&self, name: &str) -> Result<String, Error> {
        read(self.need(name)?, &self.at(name), "a text")
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        self.get(name).map(|value| read(value, &self.at(name), "true or false")).transpose()
    }

    /// Puts every field that is not among `known` on the list of what a translation loses.
    pub(crate) fn report_others(&self, known: &[&str], lost: &mut Vec<String>) {
        let others = self.fields.iter().filter(|(name, value)| !known.contains(name) && value.get() != "null");
        lost.extend(others.map(|(name, _)| self.at(name)));
    }
}

fn message(value: &RawValue, pointer: &str, conversation: &mut Conversation) -> Result<(), Error> {
    let object = Object::of(value, pointer)?;
    object.report_others(&["role", "content"], &mut conversation.lost);
    let content = object.need("content")?;
    let pointer = object.at("content");
    match object.need_text("role")?.as_str() {
        "user" => blocks::user(content, &pointer, conversation),
        "assistant" => {
            let parts = blocks::assistant(content, &pointer, conversation)?;
            conversation.messages.push(Message { role: Role::Assistant, parts });
            Ok(())
        }
        "system" => {
            let parts = blocks::system(content, &pointer, conversation)?;
            conversation.messages.push(Message { role: Role::System, parts });
            Ok(())
        }
        other => Err(Error::invalid(object.at("role"), format!("is `{other}`. It must be `user` or `assistant`."))),
    }
}

/// `None` for tools that run at the vendor or whose shape only its models know: those cannot go elsewhere.
fn tool(value: &RawValue, pointer: &str, lost: &mut Vec<String>) -> Result<Option<Tool>, Error> {
    let object = Object::of(value, pointer)?;
    if object.text("type")?.is_some_and(|kind| kind != "custom") {
        lost.push(pointer.to_owned());
        return Ok(None);
    }
    object.report_others(
        // The last two only say how a tool is shown and sent.
        &["type", "name", "description", "input_schema", "strict", "defer_loading", "eager_input_streaming"],
        lost,
    );
    let parameters: Value = read(object.need("input_schema")?, &object.at("input_schema"), "a JSON schema")?;
    if !parameters.is_object() {
        return Err(Error::invalid(object.at("input_schema"), "must be an object"));
    }
    Ok(Some(Tool {
        name: object.need_text("name")?,
        description: object.text("description")?.unwrap_or_default(),
        parameters,
        strict: object.flag("strict")?,
    }))
}

fn tool_choice(value: &RawValue, conversation: &mut Conversation) -> Result<(), Error> {
    let object = Object::of(value, "/tool_choice")?;
    conversation.tool_choice = match object.need_text("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::None,
        "tool" => {
            let name = object.need_text("name")?;
            if conversation.tools.iter().all(|tool| tool.name != name) {
                let message = format!(
                    "is `{name}`, which is not among the `tools` that the chosen model can be told of. Choose one with an `input_schema`, or name a model of a server that speaks this API"
                );
                return Err(Error::invalid(object.at("name"), message));
            }
            ToolChoice::Named(name)
        }
        other => {
            let message = format!("is `{other}`. It must be `auto`, `any`, `tool` or `none`.");
            return Err(Error::invalid(object.at("type"), message));
        }
    };
    conversation.parallel_tool_calls = object.flag("disable_parallel_tool_use")?.map(|disabled| !disabled);
    object.report_others(&["type", "name", "disable_parallel_tool_use"], &mut conversation.lost);
    Ok(())
}

fn thinking(value: &RawValue, conversation: &mut Conversation) -> Result<(), Error> {
    let object = Object::of(value, "/thinking")?;
    let budget = object.get("budget_tokens");
    let budget: Option<u32> = budget
        .map(|budget| read(budget, "/thinking/budget_tokens", "a whole number"))
        .transpose()?
        .map(|Count(tokens)| tokens);
    conversation.thinking = match (object.need_text("type")?.as_str(), budget) {
        ("enabled", Some(budget)) => {
            // No other wire counts thoughts beforehand.
            conversation.lost.push("/thinking/budget_tokens".to_owned());
            Thinking::BudgetTokens(budget)
        }
        ("enabled" | "adaptive", _) => Thinking::On,
        // What a model tells between tools is no thought.
        ("disabled" | "between_tools", _) => Thinking::Off,
        (other, _) => {
            let message = format!("is `{other}`. It must be `enabled`, `adaptive`, `between_tools` or `disabled`.");
            return Err(Error::invalid("/thinking/type", message));
        }
    };
    object.report_others(&["type", "budget_tokens"], &mut conversation.lost);
    Ok(())
}

fn output_config(value: &RawValue, conversation: &mut Conversation) -> Result<(), Error> {
    let object = Object::of(value, "/output_config")?;
    if let Some(format) = object.get("format") {
        conversation.format = self::format(format, "/output_config/format", &mut conversation.lost)?;
    }
    if let Some(effort) = object.text("effort")? {
        // Without thinking, effort is about the length of the answer, which others have no word for.
        if conversation.thinking == Thinking::On {
            conversation.thinking = Thinking::Effort(effort);
        } else {
            conversation.lost.push(object.at("effort"));
        }
    }
    object.report_others(&["format", "effort"], &mut conversation.lost);
    Ok(())
}

fn format(value: &RawValue, pointer: &str, lost: &mut Vec<String>) -> Result<Format, Error> {
    let object = Object::of(value, pointer)?;
    if object.need_text("type")? != "json_schema" {
        lost.push(pointer.to_owned());
        return Ok(Format::Text);
    }
    object.report_others(&["type", "schema", "name"], lost);
    let schema = read(object.need("schema")?, &object.at("schema"), "a JSON schema")?;
    let name = object.text("name")?.unwrap_or_else(|| "answer".to_owned());
    // The vendor holds the model to the schema.
    Ok(Format::Schema { name, schema, strict: Some(true) })
}

/// A string, or a list of blocks.
pub(crate) fn strings_or_blocks<'a>(
    content: &'a RawValue,
    pointer: &str,
) -> Result<Result<String, Vec<&'a RawValue>>, Error> {
    if content.get().starts_with('"') {
        return Ok(Ok(read(content, pointer, "a text")?));
    }
    Ok(Err(read(content, pointer, "a text or a list of blocks")?))
}

pub(crate) fn one_text(text: String) -> Vec<Part> {
    vec![Part::Text(text)]
}
