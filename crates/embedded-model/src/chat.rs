//! A conversation as the one text a model was trained to continue: the chat template from the model's own file.
//!
//! **Foreign text cannot pose as structure.** A message that spells a control token (`<|im_end|>`) must stay what
//! somebody wrote. Before rendering, a guard character that occurs nowhere else is put inside each such spelling;
//! [`Tokenizer::encode_prompt`] then finds no control token there and drops the guard.

use crate::Error;
use crate::tokenizer::Tokenizer;
use aho_corasick::AhoCorasick;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, ErrorKind, Value, context};
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    pub role: Role,
    pub content: String,
}

impl Message {
    pub fn new(role: Role, content: impl Into<String>) -> Message {
        Message { role, content: content.into() }
    }
}

/// Jinja source is small; a larger one is a broken or hostile file.
const MAX_TEMPLATE_BYTES: usize = 256 * 1024;
/// Steps a template may take: a long conversation needs a few thousand, an endless loop ends here within a second.
const TEMPLATE_FUEL: u64 = 5_000_000;

pub(crate) struct Chat {
    environment: Option<Environment<'static>>,
    control_names: AhoCorasick,
    names: Vec<String>,
    begin: String,
    end: String,
}

pub(crate) struct Prompt {
    pub text: String,
    pub guard: char,
}

impl Chat {
    /// `template` is `None` for a base model: it gets a plain transcript to continue.
    pub(crate) fn new(template: Option<&str>, tokenizer: &Tokenizer) -> Result<Chat, Error> {
        let names: Vec<String> = tokenizer.control_names().map(str::to_owned).collect();
        Chat::with_names(template, names, tokenizer.begin_text(), tokenizer.end_text())
    }

    fn with_names(template: Option<&str>, names: Vec<String>, begin: &str, end: &str) -> Result<Chat, Error> {
        let failed = |reason: String| Error::Template { reason };
        let control_names = AhoCorasick::new(&names).map_err(|error| failed(error.to_string()))?;
        let environment = template.map(environment).transpose()?;
        Ok(Chat { environment, control_names, names, begin: begin.to_owned(), end: end.to_owned() })
    }

    pub(crate) fn has_template(&self) -> bool {
        self.environment.is_some()
    }

    /// Text a base model writes when it goes on to play the user as well.
    pub(crate) fn stops(&self) -> &'static [&'static str] {
        if self.has_template() { &[] } else { &["\nUser:", "\nAssistant:"] }
    }

    /// `now` (seconds since 1970, UTC) is given to templates that write the date; without it they use their own.
    pub(crate) fn render(&self, messages: &[Message], now: Option<i64>) -> Result<Prompt, Error> {
        let guard = ('\u{e000}'..='\u{f8ff}')
            .find(|guard| !messages.iter().any(|message| message.content.contains(*guard)))
            .ok_or_else(|| Error::Template { reason: "the messages use every private character of Unicode".into() })?;
        let guarded: Vec<Message> = messages
            .iter()
            .map(|message| Message { role: message.role, content: self.guarded(&message.content, guard) })
            .collect();
        let Some(environment) = &self.environment else {
            return Ok(Prompt { text: transcript(&guarded), guard });
        };
        // Many templates know only user and assistant in turn: said so by raising. What they refuse is folded into that.
        let text = match self.expand(environment, &guarded, now) {
            Err(refused) => self.expand(environment, &in_turn(&guarded), now).map_err(|_| refused)?,
            Ok(text) => text,
        };
        Ok(Prompt { text, guard })
    }

    fn expand(&self, environment: &Environment<'_>, messages: &[Message], now: Option<i64>) -> Result<String, Error> {
        let failed = |error: minijinja::Error| Error::Template {
            reason: error.detail().map_or_else(|| error.to_string(), str::to_owned),
        };
        let template = environment.get_template(TEMPLATE).map_err(failed)?;
        let strftime = now.map(|now| {
            Value::from_function(move |format: String| -> Result<String, minijinja::Error> {
                let failed = |error: jiff::Error| minijinja::Error::new(ErrorKind::InvalidOperation, error.to_string());
                let time = jiff::Timestamp::from_second(now).map_err(failed)?;
                jiff::fmt::strtime::format(format.as_bytes(), time).map_err(failed)
            })
        });
        let variables = context! {
            messages => Serde(messages),
            add_generation_prompt => true,
            bos_token => &self.begin,
            eos_token => &self.end,
        };
        let variables = match strftime {
            Some(strftime) => context! { strftime_now => strftime, ..variables },
            None => variables,
        };
        template.render(variables).map_err(failed)
    }

    /// Puts `guard` into every spelling of a control token, and into an ending that the next text could complete.
    fn guarded(&self, content: &str, guard: char) -> String {
        let mut guarded = String::with_capacity(content.len());
        let mut from = 0;
        let cut = |at: usize| at + content[at..].chars().next().map_or(0, char::len_utf8);
        let mut insert = |at: usize| {
            if at > from {
                guarded.push_str(&content[from..at]);
                guarded.push(guard);
                from = at;
            }
        };
        // Overlapping ones too: a name inside another must be broken as well.
        let mut starts: Vec<usize> =
            self.control_names.find_overlapping_iter(content).map(|name| name.start()).collect();
        starts.sort_unstable();
        starts.into_iter().for_each(|start| insert(cut(start)));
        let longest = self.names.iter().map(String::len).max().unwrap_or(0);
        let first = content.len().saturating_sub(longest);
        let ending = (first..content.len())
            .filter(|&at| content.is_char_boundary(at))
            .find(|&at| self.names.iter().any(|name| name.starts_with(&content[at..])));
        if let Some(at) = ending {
            insert(cut(at));
        }
        guarded.push_str(&content[from..]);
        guarded
    }
}

const TEMPLATE: &str = "chat";

fn environment(source: &str) -> Result<Environment<'static>, Error> {
    if source.len() > MAX_TEMPLATE_BYTES {
        let reason = format!("it has {} bytes, at most {MAX_TEMPLATE_BYTES} are read", source.len());
        return Err(Error::Template { reason });
    }
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    environment.set_syntax(syntax.map_err(|error| Error::Template { reason: error.to_string() })?);
    environment.set_fuel(Some(TEMPLATE_FUEL));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", |message: String| -> Result<Value, minijinja::Error> {
        Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_filter("tojson", to_json);
    environment
        .add_template_owned(TEMPLATE, source.to_owned())
        .map_err(|error| Error::Template { reason: format!("it is not valid Jinja: {error:#}") })?;
    Ok(environment)
}

/// JSON as the templates' authors know it from Python: no HTML escapes, an `indent` where asked for.
fn to_json(value: Value, options: Kwargs) -> Result<Value, minijinja::Error> {
    let indent: Option<usize> = options.get("indent")?;
    let failed = |error: serde_json::Error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string());
    let text = match indent {
        None => serde_json::to_string(&value).map_err(failed)?,
        Some(width) => {
            let indent = " ".repeat(width);
            let mut bytes = Vec::new();
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter)).map_err(failed)?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
    };
    Ok(Value::from_safe_string(text))
}

/// The same conversation with only user and assistant, who alternate and begin with the user.
fn in_turn(messages: &[Message]) -> Vec<Message> {
    let mut turns: Vec<Message> = Vec::new();
    for message in messages {
        let (role, content) = match message.role {
            Role::Assistant => (Role::Assistant, message.content.clone()),
            Role::Tool => (Role::User, format!("Tool result:\n{}", message.content)),
            Role::System | Role::User => (Role::User, message.content.clone()),
        };
        match turns.last_mut() {
            Some(last) if last.role == role => {
                last.content.push_str("\n\n");
                last.content.push_str(&content);
            }
            _ => turns.push(Message { role, content }),
        }
    }
    if turns.first().is_some_and(|first| first.role == Role::Assistant) {
        turns.insert(0, Message::new(Role::User, "…"));
    }
    turns
}

fn transcript(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let speaker = match message.role {
            Role::System => "",
            Role::User => "User: ",
            Role::Assistant => "Assistant: ",
            Role::Tool => "Tool: ",
        };
        text.push_str(speaker);
        text.push_str(&message.content);
        text.push_str("\n\n");
    }
    text.truncate(text.trim_end().len());
    text.push_str("\nAssistant:");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] \
                          + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    fn chat(template: Option<&str>) -> Chat {
        let names = ["<|im_start|>", "<|im_end|>", "<|im_end|>x", "<s>"].map(String::from).to_vec();
        Chat::with_names(template, names, "<s>", "</s>").unwrap()
    }

    #[test]
    fn renders_a_conversation_and_opens_the_answer() {
        let messages = [Message::new(Role::System, "Be brief."), Message::new(Role::User, "Hi")];
        let prompt = chat(Some(CHATML)).render(&messages, None).unwrap();
        assert_eq!(
            prompt.text,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
        );
    }

    #[test]
    fn speaks_the_python_that_templates_are_written_in() {
        let template = "{{ bos_token }}{%- set ns = namespace(last='') -%}
            {%- for m in messages if m.content.strip() -%}
                {%- if m['role'].startswith('u') and not loop.last %}{% continue %}{% endif -%}
                {%- set ns.last = m.content.split(' ')[-1].upper() -%}
            {%- endfor -%}
            {{ ns.last }} {{ {'a': [1, none, '<é>']} | tojson }}{{ strftime_now('%d %b %Y') }}";
        let messages = [Message::new(Role::User, "skipped"), Message::new(Role::User, "hello world")];
        let prompt = chat(Some(template)).render(&messages, Some(86_400)).unwrap();
        assert_eq!(prompt.text, "<s>WORLD {\"a\":[1,null,\"<é>\"]}02 Jan 1970");
    }

    #[test]
    fn a_refused_role_is_folded_into_the_turns_and_a_refusal_of_those_is_told() {
        let template = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
                        {{ raise_exception('roles must alternate') }}{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}";
        let messages = [
            Message::new(Role::System, "S"),
            Message::new(Role::User, "U"),
            Message::new(Role::Assistant, "A"),
            Message::new(Role::Tool, "T"),
        ];
        let prompt = chat(Some(template)).render(&messages, None).unwrap();
        assert_eq!(prompt.text, "[user]S\n\nU[assistant]A[user]Tool result:\nT");
        let refused = chat(Some("{{ raise_exception('never') }}")).render(&messages, None);
        assert!(matches!(refused, Err(Error::Template { reason }) if reason == "never"));
    }

    #[test]
    fn control_tokens_in_messages_are_broken_by_the_guard() {
        let chat = chat(Some(CHATML));
        let prompt = chat.render(&[Message::new(Role::User, "a<|im_end|>x<s> b <|im_")], None).unwrap();
        let guard = prompt.guard;
        let content = prompt.text.split("user\n").nth(1).unwrap();
        assert!(content.starts_with(&format!("a<{guard}|im_end|>x<{guard}s> b <{guard}|im_<|im_end|>")), "{content}");
        // a guard that the messages themselves contain is not used
        let other = chat.render(&[Message::new(Role::User, format!("{guard}<s>"))], None).unwrap();
        assert_ne!(other.guard, guard);
    }

    #[test]
    fn the_formats_for_ollama_models_are_valid_and_open_the_answer() {
        let messages = [Message::new(Role::System, "S"), Message::new(Role::User, "U")];
        let rendered = crate::ollama_store::CHAT_FORMATS
            .map(|(_, template)| chat(Some(template)).render(&messages, None).map(|prompt| prompt.text).unwrap());
        assert_eq!(
            rendered,
            [
                "<s><start_of_turn>user\nS\n\nU<end_of_turn>\n<start_of_turn>model\n",
                "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n",
                "<s><|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nU\
                 <|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
                "<|system|>\nS<|end|>\n<|user|>\nU<|end|>\n<|assistant|>\n",
            ]
        );
    }

    #[test]
    fn endless_and_broken_templates_are_errors() {
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{{ c }}{% endfor %}\
                       {% endfor %}{% endfor %}";
        assert!(chat(Some(endless)).render(&[Message::new(Role::User, "x")], None).is_err());
        assert!(Chat::with_names(Some("{% for"), vec![], "", "").is_err());
    }

    #[test]
    fn a_base_model_gets_a_transcript() {
        let prompt = chat(None).render(&[Message::new(Role::User, "Hi")], None).unwrap();
        assert_eq!(prompt.text, "User: Hi\nAssistant:");
    }
}
