//! What was said and is not listened to.

use super::{Key, Origin, environment::PREFIX};
use std::path::Path;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ignored {
    pub name: String,
    /// For people. Of a secret, stars.
    pub shown: String,
    pub origin: Origin,
    pub why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The key is the user's to set, and the working folder's file said it.
    WorkingFolder,
    /// A token of a mesh stands where the key of another service belongs.
    OwnToken,
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Self::WorkingFolder => {
                "a file in the working folder may have come with a clone, so it does not decide where anything goes, who may come in, or what runs or is kept"
            }
            Self::OwnToken => "it is a token of devmesh, and the service whose key belongs there is not to get it",
        }
    }
}

impl Ignored {
    /// What to do instead.
    pub(super) fn warning(&self, key: &Key, users_file: &Path) -> String {
        let Self { name, why, .. } = self;
        let variable = format!("{PREFIX}{}", name.to_ascii_uppercase().replace('.', "__"));
        let text = why.text();
        match why {
            Why::WorkingFolder => {
                let (variable, flag) = if key.is_secret() {
                    (format!("{variable}_FILE"), format!("--set {name}_file=FILE"))
                } else {
                    (variable, format!("--set {name}=…"))
                };
                format!(
                    "`{name}` is ignored: {text}; set it in {}, with {variable} or with {flag}",
                    users_file.display()
                )
            }
            Why::OwnToken => {
                format!("`{name}` is ignored: {text}; take it away, or name the service's own key with {variable}_FILE")
            }
        }
    }
}

/// What every token of a mesh begins with.
const OWN_TOKEN: &str = "dm_";

/// Whether a token of a mesh is part of `secret`: as one of several keys, or of a header's value.
pub(super) fn has_own_token(secret: &str) -> bool {
    let text = percent_encoding::percent_decode_str(secret).decode_utf8_lossy();
    text.split(|character: char| !(character.is_ascii_alphanumeric() || matches!(character, '_' | '-')))
        .any(|word| word.starts_with(OWN_TOKEN))
}
