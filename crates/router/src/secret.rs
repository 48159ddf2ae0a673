//! A key that is used and never shown.

use std::fmt;

/// Neither `Debug` nor an error message ever prints what is inside. There is no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Keys from files often end in a newline, which no header can carry.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self(text.as_ref().trim().to_owned())
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the secret: servers like to quote the key they did not accept. A short word is no key, but
    /// what a server without keys is given, and stands in ordinary text.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let is_word = self.0.len() <= 8 && self.0.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_word { text.to_owned() } else { text.replace(&self.0, "[key]") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_never_shown() {
        let secret = Secret::new("sk-very-secret\n");
        assert_eq!(secret.expose(), "sk-very-secret");
        assert_eq!(format!("{secret:?}"), "Secret([hidden])");
        assert_eq!(secret.scrub("wrong key: sk-very-secret."), "wrong key: [key].");
        assert_eq!(Secret::new("key").scrub("no such key"), "no such key");
    }
}
