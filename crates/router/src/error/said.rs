//! What a server said in place of an answer.

use serde_json::{Value, json, value::RawValue};
use std::{fmt, sync::Arc, time::Duration};

/// In place of words that are for the caller alone.
pub(super) const UNTOLD: &str = "its words are for the caller alone";

/// One readable line, and the error as it came where it is one of an API. A server may quote the prompt, so what it said is for
/// the caller and never for a log or a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub(super) text: String,
    /// Our own words, in which nothing of a request stands.
    is_ours: bool,
    pub(super) status: Option<u16>,
    /// JSON text.
    body: Option<Arc<str>>,
    /// How long the server asks to wait, whatever is wrong.
    pub(super) retry_after: Option<Duration>,
    /// Another target may answer the same request later.
    pub(super) may_pass_elsewhere: bool,
    /// The key is refused, and there is another one.
    pub(crate) another_key: bool,
}

impl Said {
    /// Words of ours that may be recorded.
    pub(crate) fn ours(text: &'static str) -> Self {
        Self { text: text.to_owned(), is_ours: true, ..Self::default() }
    }

    /// With the status, the body and the wait that it came with. Only an object is an API's error: pages of a proxy are not.
    pub(crate) fn came(self, status: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let is_refusal = (400..600).contains(&status);
        let body = serde_json::from_slice::<&RawValue>(body).ok().map(RawValue::get);
        let body = body.filter(|body| is_refusal && body.starts_with('{')).map(Arc::from);
        Self { status: Some(status), body, retry_after, ..self }
    }

    /// With the error that stood in the middle of a success.
    pub(crate) fn came_in_band(self, error: &Value) -> Self {
        Self { body: Some(json!({ "error": error }).to_string().into()), ..self }
    }

    /// More of the line, also where the error's own words stand.
    pub(super) fn append(&mut self, note: &str) {
        self.text.push_str(note);
        let Some(mut body) = self.body.as_deref().and_then(|body| serde_json::from_str::<Value>(body).ok()) else {
            return;
        };
        for place in ["/error/message", "/error", "/message", "/detail"] {
            if let Some(Value::String(message)) = body.pointer_mut(place) {
                message.push_str(note);
                self.body = Some(body.to_string().into());
                return;
            }
        }
    }

    pub(super) fn body(&self) -> Option<&str> {
        self.body.as_deref()
    }

    pub(super) fn forget_body(&mut self) {
        self.body = None;
    }

    pub(crate) fn scrub(&mut self, scrub: impl Fn(&str) -> String) {
        self.text = scrub(&self.text);
        self.body = self.body.take().map(|body| scrub(&body).into());
    }

    pub(super) fn recorded(&self) -> String {
        match self.status {
            _ if self.is_ours => self.text.clone(),
            Some(status) => format!("HTTP {status}"),
            None => UNTOLD.to_owned(),
        }
    }
}

impl From<String> for Said {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

impl From<&str> for Said {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl std::ops::Deref for Said {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq<str> for Said {
    fn eq(&self, text: &str) -> bool {
        self.text == text
    }
}
