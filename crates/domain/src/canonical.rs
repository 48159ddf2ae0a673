//! RFC 8785 canonical JSON: the one byte string a JSON value has, so that its hash means something.

use crate::i_json::{self, Flaw};
use serde::Serialize;
use serde_json::Value;
use thiserror::Error;

/// JSON text already in RFC 8785 form. Made outside the writer thread, hashed and stored as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CanonicalJson(String);

#[derive(Debug, Error)]
pub enum NotCanonical {
    #[error("this value has no canonical JSON form: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The canonical form would stand for another value too.
    #[error("`{}` {}", .0.pointer, .0.problem)]
    Inexact(#[from] Flaw),
}

impl CanonicalJson {
    /// Refuses what RFC 8785 would change ([`i_json`]).
    pub fn of(value: &impl Serialize) -> Result<Self, NotCanonical> {
        Self::of_value(&serde_json::to_value(value)?)
    }

    /// [`Self::of`] without a copy.
    pub fn of_value(value: &Value) -> Result<Self, NotCanonical> {
        i_json::check(value)?;
        Ok(Self::of_kept(value)?)
    }

    /// Of a value that was read back to be compared with what is kept of it, under whatever rule it was written.
    pub fn of_kept(value: &impl Serialize) -> Result<Self, serde_json::Error> {
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

    #[test]
    fn different_values_never_share_a_form() {
        let [first, second] = ["9007199254740992", "9007199254740993"].map(|number| {
            let value: Value = serde_json::from_str(&format!(r#"{{"amount":{number}}}"#)).unwrap();
            (CanonicalJson::of(&value), CanonicalJson::of_kept(&value).unwrap())
        });
        assert_eq!(first.1, second.1, "as RFC 8785 has it");
        let Err(NotCanonical::Inexact(flaw)) = second.0 else { panic!("it is not what was sent any more") };
        assert_eq!(flaw.pointer, "/amount");
        assert!(first.0.is_err());
        assert!(CanonicalJson::of(&u64::MAX).is_err());
    }
}
