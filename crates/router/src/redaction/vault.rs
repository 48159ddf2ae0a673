//! Which placeholder stands for which secret, for one model call.
//!
//! A placeholder is `REDACTED_<number>_<nonce>`: letters, digits and underscores only, so JSON, shells and models leave it
//! alone. The nonce is drawn at random and is in none of the call's texts, so nobody can write one by chance or on purpose
//! before the first body has left. It has a fixed length and ends the placeholder: none is the beginning of another one.

use super::body::Node;
use crate::Error;
use rand::RngExt;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

pub(super) const PREFIX: &str = "REDACTED_";
const NONCE_LENGTH: usize = 8;
/// No look-alikes: models copy letter by letter.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
const MOST_DIGITS: usize = 9;

#[derive(Default)]
pub(super) struct Vault(Mutex<Contents>);

#[derive(Default)]
struct Contents {
    nonce: Option<String>,
    secrets: Vec<String>,
    numbers: HashMap<String, usize>,
}

/// What the beginning of a text is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begins {
    /// A placeholder of this call, this long, standing for this.
    With {
        length: usize,
        secret: String,
    },
    /// Perhaps, when more comes.
    Perhaps,
    Not,
}

impl Vault {
    /// Draws the nonce before the first body leaves.
    ///
    /// # Errors
    /// When no nonce can be found that the texts do not hold: that needs chance beyond belief.
    pub(super) fn draw_nonce(&self, strings: &[&Node<'_>]) -> Result<(), Error> {
        let mut contents = self.lock();
        if contents.nonce.is_some() {
            return Ok(());
        }
        let mut random = rand::rng();
        for _ in 0..8 {
            let nonce: String =
                (0..NONCE_LENGTH).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect();
            if !strings.iter().any(|node| node.text().contains(&nonce)) {
                contents.nonce = Some(nonce);
                return Ok(());
            }
        }
        Err(Error::Uncheckable { pointer: String::new(), what: "a text that holds every placeholder" })
    }

    /// The placeholder of `secret`, the same for the whole call.
    pub(super) fn placeholder(&self, secret: &str) -> String {
        // A secret with a placeholder in it is one that was redacted in part before.
        let secret = self.restored(secret);
        let mut contents = self.lock();
        let number = match contents.numbers.get(&secret) {
            Some(number) => *number,
            None => {
                contents.secrets.push(secret.clone());
                let number = contents.secrets.len();
                contents.numbers.insert(secret, number);
                number
            }
        };
        format!("{PREFIX}{number}_{}", contents.nonce.as_deref().unwrap_or_default())
    }

    pub(super) fn is_placeholder(&self, text: &str) -> bool {
        matches!(self.begins(text), Begins::With { length, .. } if length == text.len())
    }

    /// What `text` begins with.
    pub(super) fn begins(&self, text: &str) -> Begins {
        let bytes = text.as_bytes();
        let same = PREFIX.bytes().zip(bytes).take_while(|(a, b)| a == *b).count();
        if same < PREFIX.len() {
            return if same == bytes.len() { Begins::Perhaps } else { Begins::Not };
        }
        let digits = bytes[same..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let after = same + digits;
        if digits > MOST_DIGITS {
            return Begins::Not;
        }
        match bytes.get(after) {
            None => return Begins::Perhaps,
            Some(b'_') if digits > 0 => {}
            Some(_) => return Begins::Not,
        }
        let contents = self.lock();
        let Some(nonce) = &contents.nonce else { return Begins::Not };
        let rest = &bytes[after + 1..];
        let same = nonce.bytes().zip(rest).take_while(|(a, b)| a == *b).count();
        if same < nonce.len() {
            return if same == rest.len() { Begins::Perhaps } else { Begins::Not };
        }
        // A leading nought would give a number two spellings.
        let number = text.get(PREFIX.len()..after).filter(|digits| !digits.starts_with('0'));
        match number.and_then(|digits| digits.parse::<usize>().ok()).and_then(|number| contents.secrets.get(number - 1))
        {
            Some(secret) => Begins::With { length: after + 1 + nonce.len(), secret: secret.clone() },
            None => Begins::Not,
        }
    }

    /// A whole text with its secrets back.
    pub(super) fn restored(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(PREFIX) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let length = match self.begins(rest) {
                Begins::With { length, secret } => {
                    out.push_str(&secret);
                    length
                }
                Begins::Perhaps | Begins::Not => {
                    out.push_str(PREFIX);
                    PREFIX.len()
                }
            };
            rest = &rest[length..];
        }
        out.push_str(rest);
        out
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
