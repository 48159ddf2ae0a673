//! Reading JSON while knowing where one is, so that a refusal can say it.

use crate::{Error, json_object::kind};
use serde_json::{Map, Value};
use std::fmt;

/// A place in the body, printed as a JSON pointer. Made on the stack, so that only a refusal pays for text.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    Root,
    Field(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(parent, name) => write!(f, "{parent}/{}", name.replace('~', "~0").replace('/', "~1")),
            Self::Index(parent, index) => write!(f, "{parent}/{index}"),
        }
    }
}

impl<'a> Place<'a> {
    pub(crate) fn field(&'a self, name: &'a str) -> Place<'a> {
        Place::Field(self, name)
    }

    pub(crate) fn index(&'a self, index: usize) -> Place<'a> {
        Place::Index(self, index)
    }

    pub(crate) fn invalid(&self, message: impl Into<String>) -> Error {
        Error::Invalid { pointer: self.to_string(), message: message.into() }
    }

    fn expected(&self, what: &str, value: &Value) -> Error {
        self.invalid(format!("must be {what} and is {}", kind(value)))
    }

    pub(crate) fn string(&self, value: Value) -> Result<String, Error> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(self.expected("a string", &other)),
        }
    }

    pub(crate) fn flag(&self, value: &Value) -> Result<bool, Error> {
        value.as_bool().ok_or_else(|| self.expected("true or false", value))
    }

    pub(crate) fn number(&self, value: &Value) -> Result<f32, Error> {
        #[expect(clippy::cast_possible_truncation, reason = "sampling parameters have two or three digits")]
        let number = value.as_f64().ok_or_else(|| self.expected("a number", value))? as f32;
        if number.is_finite() { Ok(number) } else { Err(self.invalid(format!("{value} is too large a number"))) }
    }

    /// More than a `u32` holds is as good as no limit. `100.0` is a whole number.
    pub(crate) fn count(&self, value: &Value) -> Result<u32, Error> {
        let count = whole(value)
            .ok_or_else(|| self.invalid(format!("must be a whole number of at least 0 and is {}", shown(value))))?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    pub(crate) fn array(&self, value: Value) -> Result<Vec<Value>, Error> {
        match value {
            Value::Array(items) => Ok(items),
            other => Err(self.expected("an array", &other)),
        }
    }

    pub(crate) fn object(&self, value: Value) -> Result<Map<String, Value>, Error> {
        match value {
            Value::Object(fields) => Ok(fields),
            other => Err(self.expected("an object", &other)),
        }
    }

    /// A field that has to be there.
    pub(crate) fn required(&self, fields: &mut Map<String, Value>, name: &str) -> Result<Value, Error> {
        match fields.remove(name) {
            None | Some(Value::Null) => Err(self.field(name).invalid("is missing")),
            Some(value) => Ok(value),
        }
    }

    /// A limit on the answer; `None` for a negative one, with which servers of these dialects are told that there is none.
    pub(crate) fn limit(&self, value: &Value) -> Result<Option<u32>, Error> {
        if value.as_f64().is_some_and(|limit| limit < 0.0) {
            return Ok(None);
        }
        match self.count(value)? {
            0 => Err(self.invalid("is 0: no answer fits. Ask for at least 1 token, or leave it out")),
            limit => Ok(Some(limit)),
        }
    }

    /// A text that may be left out.
    pub(crate) fn optional_string(&self, fields: &mut Map<String, Value>, name: &str) -> Result<Option<String>, Error> {
        match fields.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.field(name).string(value).map(Some),
        }
    }

    /// Notes the fields that nobody took. `null`, and what is empty, says nothing and is no loss.
    pub(crate) fn leftovers(&self, fields: &Map<String, Value>, lost: &mut Vec<String>) {
        for (name, value) in fields {
            if !says_nothing(value) {
                lost.push(self.field(name).to_string());
            }
        }
    }
}

/// A whole number of at least 0, also where it is written as a fraction.
pub(crate) fn whole(value: &Value) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it has no fraction, is not negative, and `as` saturates"
    )]
    let written_out = || value.as_f64().filter(|count| *count >= 0.0 && count.fract() == 0.0).map(|count| count as u64);
    value.as_u64().or_else(written_out)
}

pub(crate) fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The whole body as its fields.
///
/// # Errors
/// [`Error::Invalid`] when it is not one JSON object.
pub(crate) fn body(bytes: &[u8]) -> Result<Map<String, Value>, Error> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| Place::Root.invalid(format!("the body is not JSON: {error}")))?;
    Place::Root.object(value)
}

/// A short value as it is, else what it is.
fn shown(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) | Value::Null => value.to_string(),
        other => kind(other).to_owned(),
    }
}
