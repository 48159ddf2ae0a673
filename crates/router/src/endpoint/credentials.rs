//! The keys of one provider: used in turn, and set aside for a while when the provider does not accept them.

use crate::Secret;
use http::{HeaderName, HeaderValue, header};
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a key that was refused is not tried: long enough that a dead key costs nothing, short enough that one that was
/// mended at the provider works again without a restart.
const REST: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `Authorization: Bearer …`
    Bearer,
    /// `x-api-key: …`
    ApiKey,
}

pub(crate) struct Credentials {
    name: HeaderName,
    keys: Vec<Key>,
    turn: AtomicUsize,
}

struct Key {
    secret: Secret,
    value: HeaderValue,
    resting_until: Mutex<Option<Instant>>,
}

/// The key of one request.
pub(crate) struct Chosen {
    at: usize,
    header: (HeaderName, HeaderValue),
}

impl Chosen {
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        Some(self.header.clone())
    }
}

impl Credentials {
    pub(crate) fn new(scheme: Scheme, secrets: Vec<Secret>) -> Result<Self, &'static str> {
        let mut keys = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let text = match scheme {
                Scheme::Bearer => format!("Bearer {}", secret.expose()),
                Scheme::ApiKey => secret.expose().to_owned(),
            };
            let mut value =
                HeaderValue::from_str(&text).map_err(|_| "its key holds characters that no header can carry")?;
            value.set_sensitive(true);
            keys.push(Key { secret, value, resting_until: Mutex::new(None) });
        }
        let name = match scheme {
            Scheme::Bearer => header::AUTHORIZATION,
            Scheme::ApiKey => HeaderName::from_static("x-api-key"),
        };
        Ok(Self { name, keys, turn: AtomicUsize::new(0) })
    }

    /// Whether the provider wants no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How often a request may be sent, each time under another key.
    pub(crate) fn tries(&self) -> usize {
        if self.keys.is_empty() { 1 } else { self.keys.iter().filter(|key| !key.rests()).count() }
    }

    /// `None` when the provider wants no key, or all of them rest.
    pub(crate) fn next(&self) -> Option<Chosen> {
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let at =
            (0..self.keys.len()).map(|step| (start + step) % self.keys.len()).find(|&at| !self.keys[at].rests())?;
        Some(Chosen { at, header: (self.name.clone(), self.keys[at].value.clone()) })
    }

    pub(crate) fn rest(&self, chosen: &Chosen) {
        let mut until = self.keys[chosen.at].resting_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = Some(Instant::now() + REST);
    }

    /// `text` without any key.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.keys.iter().fold(text.to_owned(), |text, key| key.secret.scrub(&text))
    }
}

impl Key {
    fn rests(&self) -> bool {
        let until = *self.resting_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Credentials {
        Credentials::new(Scheme::Bearer, names.iter().map(Secret::new).collect()).unwrap()
    }

    fn shown(chosen: Option<Chosen>) -> String {
        chosen.unwrap().header().unwrap().1.to_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn keys_take_turns_and_a_refused_one_rests() {
        let keys = keys(&["a", "b"]);
        assert_eq!([shown(keys.next()), shown(keys.next()), shown(keys.next())], ["Bearer a", "Bearer b", "Bearer a"]);
        let b = keys.next().unwrap();
        keys.rest(&b);
        assert_eq!((keys.tries(), shown(keys.next()), shown(keys.next())), (1, "Bearer a".into(), "Bearer a".into()));
        tokio::time::advance(REST).await;
        assert_eq!(keys.tries(), 2, "it is tried again after a while");
    }

    #[test]
    fn no_key_is_one_try_and_keys_are_scrubbed() {
        assert_eq!(keys(&[]).tries(), 1);
        assert!(keys(&[]).next().is_none());
        assert_eq!(keys(&["sk-a", "sk-b"]).scrub("bad sk-b"), "bad [key]");
    }
}
