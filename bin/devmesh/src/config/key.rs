//! One thing that can be set.

use super::Value;
use std::fmt;

/// One row of the registry.
#[derive(Debug)]
pub struct Key {
    /// `section.name`; a `*` stands for a name the user chooses.
    pub name: &'static str,
    pub kind: Kind,
    /// What holds when nobody sets it. [`Preset::Unset`]: nothing does.
    pub preset: Preset,
    /// A variable of other programs, or of earlier set-ups, that means the same.
    pub seed: Option<&'static str>,
    pub unit: Unit,
    pub settable: Settable,
    pub doc: &'static str,
}

/// Which places are listened to. A key that says nothing is the user's to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settable {
    ByUser,
    /// Also by the file in the working folder, which may have come with a clone: for what decides neither where anything
    /// goes, nor who may come in, nor what runs or is kept.
    ByWorkingFolder,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Never shown; a `_FILE` variable or `…_file` entry names a file to read it from.
    Secret,
    Path,
    /// `http://…` or `https://…`.
    Url,
    /// An IP address to listen on.
    Address,
    Integer {
        min: u64,
        max: u64,
    },
    /// From 0 to 1, kept as it was written.
    Fraction,
    Boolean,
    OneOf(&'static [&'static str]),
    /// In the environment and flags: separated by commas.
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    Unset,
    /// Worked out from the machine or other keys, in these words.
    Derived(&'static str),
    Text(&'static str),
    Integer(u64),
    Boolean(bool),
    List(&'static [&'static str]),
}

impl Preset {
    pub fn value(self) -> Option<Value> {
        match self {
            Self::Unset | Self::Derived(_) => None,
            Self::Text(text) => Some(Value::Text(text.to_owned())),
            Self::Integer(number) => Some(Value::Integer(number)),
            Self::Boolean(boolean) => Some(Value::Boolean(boolean)),
            Self::List(list) => Some(Value::List(list.iter().map(|item| (*item).to_owned()).collect())),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Milliseconds,
    Seconds,
    Days,
    Tokens,
    Threads,
    Bytes,
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "",
            Self::Milliseconds => "milliseconds",
            Self::Seconds => "seconds",
            Self::Days => "days",
            Self::Tokens => "tokens",
            Self::Threads => "threads",
            Self::Bytes => "bytes",
        })
    }
}

impl Key {
    /// Whether `name` is this key, `*` matching any one segment.
    pub fn matches(&self, name: &str) -> bool {
        let mut pattern = self.name.split('.');
        let mut segments = name.split('.');
        loop {
            match (pattern.next(), segments.next()) {
                (None, None) => return true,
                (Some("*"), Some(segment)) if is_name(segment) => {}
                (Some(wanted), Some(segment)) if wanted == segment => {}
                _ => return false,
            }
        }
    }

    pub fn is_pattern(&self) -> bool {
        self.name.contains('*')
    }

    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// What may stand there, for people.
    pub fn expects(&self) -> String {
        let unit = if self.unit == Unit::None { String::new() } else { format!(" {}", self.unit) };
        match self.kind {
            Kind::Text => "text".into(),
            Kind::Secret => "a secret, better from a file".into(),
            Kind::Path => "a path".into(),
            Kind::Url => "an http or https address".into(),
            Kind::Address => "an IP address".into(),
            Kind::Integer { min, max: u64::MAX } => format!("a whole number of at least {min}{unit}"),
            Kind::Integer { min, max } => format!("a whole number from {min} to {max}{unit}"),
            Kind::Fraction => "a number from 0 to 1".into(),
            Kind::Boolean => "true or false".into(),
            Kind::OneOf(names) => names.join(" or "),
            Kind::List => "a list of texts without commas".into(),
        }
    }

    /// The default, for people.
    pub fn preset_text(&self) -> String {
        match self.preset {
            Preset::Unset => "not set".into(),
            Preset::Derived(words) => words.into(),
            _ => self.preset.value().map_or_else(String::new, |value| value.to_string()),
        }
    }
}

/// Names users choose for routes and providers.
fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
