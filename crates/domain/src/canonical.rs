//! RFC 8785 canonical JSON: the one byte string a JSON value has, so that its hash means something.

use serde::Serialize;
use thiserror::Error;

/// JSON text already in RFC 8785 form. Made outside the writer thread, hashed and stored as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalJson(String);

#[derive(Debug, Error)]
#[error("this value has no canonical JSON form: {0}")]
pub struct NotCanonical(#[from] serde_json::Error);

impl CanonicalJson {
    pub fn of(value: &impl Serialize) -> Result<Self, NotCanonical> {
        Ok(Self(serde_json_canonicalizer::to_string(value)?))
    }

    /// Text that came out of the store, which only ever held canonical JSON; `verify` is what checks that claim.
    pub fn from_store(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_by_utf_16_and_numbers_are_shortest() {
        let value: serde_json::Value =
            serde_json::from_str(r#"{"b":1.0,"a":[1e2,"\u20ac"],"\ufb33":0,"😀":0}"#).unwrap();
        let text = CanonicalJson::of(&value).unwrap().into_string();
        assert_eq!(text, "{\"a\":[100,\"€\"],\"b\":1,\"😀\":0,\"\u{fb33}\":0}");
    }
}
