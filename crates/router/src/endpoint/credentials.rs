//! The keys of one provider: used in turn, and set aside for a while when the provider does not accept them.
//!
//! | the provider says | rests | for |
//! |---|---|---|
//! | the key, or the account behind it, is not accepted, by its status or inside an answer | the key | 15 s on this machine, 30 s in the cloud |
//! | the key is used too often | the key, for that model | what it asks for |

use crate::Secret;
use http::{HeaderName, HeaderValue, header};
use protocol::Location;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

/// How long a key that was refused is not tried: so long that a dead key costs little, and no longer than any target is left
/// alone, so that one that was mended at the provider works again soon.
const REST_LOCAL: Duration = Duration::from_secs(15);
const REST_CLOUD: Duration = Duration::from_secs(30);
/// Models of which is remembered that a key is used too often for them. A provider's models that are in use are fewer; beyond
/// it the provider says so again.
const LIMITED_MODELS: usize = 64;

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
    rest: Duration,
}

struct Key {
    secret: Secret,
    value: HeaderValue,
    refused: Mutex<Option<Refused>>,
    /// By model.
    limited: Mutex<HashMap<String, Instant>>,
}

/// What the provider said of a key, until it takes it again.
#[derive(Clone, Copy, Debug)]
struct Refused {
    since: Instant,
    status: u16,
    rests_until: Instant,
}

/// Which key a request went out with that got an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used(Arc<OnceLock<usize>>);

impl Used {
    pub(super) fn note(&self, chosen: &Chosen) {
        let _ = self.0.set(chosen.at);
    }
}

/// The key of one request.
pub(crate) struct Chosen {
    at: usize,
    header: (HeaderName, HeaderValue),
}

/// Which of the configured keys, as people count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) key: usize,
    pub(crate) of: usize,
}

/// Why no key may be used, and how long that lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Limited(Duration),
    /// With the last status.
    Refused(Duration, u16),
}

impl Chosen {
    pub(crate) fn header(&self) -> (HeaderName, HeaderValue) {
        self.header.clone()
    }
}

impl Credentials {
    pub(crate) fn new(scheme: Scheme, secrets: Vec<Secret>, location: Location) -> Result<Self, &'static str> {
        let mut keys = Vec::with_capacity(secrets.len());
        for secret in secrets {
            let text = match scheme {
                Scheme::Bearer => format!("Bearer {}", secret.expose()),
                Scheme::ApiKey => secret.expose().to_owned(),
            };
            let mut value =
                HeaderValue::from_str(&text).map_err(|_| "its key holds characters that no header can carry")?;
            value.set_sensitive(true);
            keys.push(Key { secret, value, refused: Mutex::default(), limited: Mutex::default() });
        }
        let name = match scheme {
            Scheme::Bearer => header::AUTHORIZATION,
            Scheme::ApiKey => HeaderName::from_static("x-api-key"),
        };
        let rest = if location == Location::Local { REST_LOCAL } else { REST_CLOUD };
        Ok(Self { name, keys, turn: AtomicUsize::new(0), rest })
    }

    /// Whether the provider wants no key.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Those that may be used for this model now, in the order in which one request tries them.
    pub(crate) fn in_turn(&self, model: &str) -> Vec<Chosen> {
        let mut keys = self.all();
        keys.retain(|chosen| self.keys[chosen.at].rests(model).is_none());
        keys
    }

    /// The same, whether or not they rest.
    pub(crate) fn all(&self) -> Vec<Chosen> {
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.keys.len();
        let chosen = |at: usize| Chosen { at, header: (self.name.clone(), self.keys[at].value.clone()) };
        (0..count).map(|step| chosen(start.wrapping_add(step) % count)).collect()
    }

    /// The provider did not accept it. Tells whether it did before.
    pub(crate) fn refused(&self, chosen: &Chosen, status: u16) -> bool {
        self.refuse(chosen.at, status)
    }

    fn refuse(&self, at: usize, status: u16) -> bool {
        let now = Instant::now();
        let mut refused = lock(&self.keys[at].refused);
        let since = refused.map_or(now, |refused| refused.since);
        refused.replace(Refused { since, status, rests_until: now + self.rest }).is_none()
    }

    pub(crate) fn number(&self, chosen: &Chosen) -> Number {
        Number { key: chosen.at + 1, of: self.keys.len() }
    }

    /// Those that the provider did not accept when it was last sent them: with the status, and how long that has been so.
    pub(crate) fn all_refused(&self) -> Vec<(Number, u16, Duration)> {
        let refused = self.keys.iter().enumerate().filter_map(|(at, key)| {
            let Refused { since, status, .. } = (*lock(&key.refused))?;
            Some((Number { key: at + 1, of: self.keys.len() }, status, since.elapsed()))
        });
        refused.collect()
    }

    /// The same of a key that the provider took at first. Tells whether another one may be tried.
    pub(crate) fn refused_later(&self, used: &Used) -> bool {
        const UNAUTHORIZED: u16 = 401;
        let Some(&at) = used.0.get() else { return false };
        self.refuse(at, UNAUTHORIZED);
        self.keys.iter().any(|key| key.refusal().is_none())
    }

    /// It was used too often for this model.
    pub(crate) fn limited(&self, chosen: &Chosen, model: &str, wait: Duration) {
        let now = Instant::now();
        let mut limited = lock(&self.keys[chosen.at].limited);
        limited.retain(|_, until| now < *until);
        if limited.len() < LIMITED_MODELS {
            limited.insert(model.to_owned(), now + wait);
        }
    }

    /// The provider accepts it.
    pub(crate) fn revive(&self, chosen: &Chosen) {
        let mut refused = lock(&self.keys[chosen.at].refused);
        if refused.is_some() {
            *refused = None;
        }
    }

    /// Of keys that all rest: the one that may be used first.
    pub(crate) fn rest_of(&self, model: &str) -> Rest {
        let rests = self.keys.iter().filter_map(|key| key.rests(model));
        let wait = |rest: &Rest| match rest {
            Rest::Limited(wait) | Rest::Refused(wait, _) => *wait,
        };
        rests.min_by_key(wait).unwrap_or(Rest::Limited(Duration::ZERO))
    }

    /// `text` without any key.
    pub(crate) fn scrub(&self, text: &str) -> String {
        self.keys.iter().fold(text.to_owned(), |text, key| key.secret.scrub(&text))
    }
}

impl Key {
    fn rests(&self, model: &str) -> Option<Rest> {
        let limited = || lock(&self.limited).get(model).copied().and_then(left).map(Rest::Limited);
        self.refusal().or_else(limited)
    }

    fn refusal(&self) -> Option<Rest> {
        let Refused { status, rests_until, .. } = (*lock(&self.refused))?;
        Some(Rest::Refused(left(rests_until)?, status))
    }
}

fn left(until: Instant) -> Option<Duration> {
    until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(names: &[&str]) -> Credentials {
        Credentials::new(Scheme::Bearer, names.iter().map(Secret::new).collect(), Location::Cloud).unwrap()
    }

    fn shown(chosen: &[Chosen]) -> Vec<String> {
        chosen.iter().map(|chosen| chosen.header().1.to_str().unwrap().to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn keys_take_turns_and_a_refused_one_rests() {
        let keys = keys(&["a", "b"]);
        let a = keys.in_turn("m");
        assert_eq!(shown(&a), ["Bearer a", "Bearer b"]);
        assert_eq!(shown(&keys.in_turn("m")), ["Bearer b", "Bearer a"]);
        keys.refused(&a[1], 401);
        assert_eq!(shown(&keys.in_turn("m")), ["Bearer a"]);
        keys.refused(&a[0], 402);
        assert!(keys.in_turn("other").is_empty(), "a refused key is refused whatever the model");
        assert_eq!(keys.rest_of("m"), Rest::Refused(REST_CLOUD, 402), "the one that may be used first");
        tokio::time::advance(REST_CLOUD).await;
        assert_eq!(keys.in_turn("m").len(), 2, "it is tried again after a while");
        assert!(!keys.refused(&a[0], 401), "it was refused before");
        let number = |key| Number { key, of: 2 };
        let expected = [(number(1), 401, REST_CLOUD), (number(2), 401, REST_CLOUD)];
        assert_eq!(keys.all_refused(), expected, "until it is accepted it stays refused");
        keys.revive(&a[0]);
        assert_eq!(keys.all_refused(), expected[1..]);
        assert!(keys.refused(&a[0], 401), "and that is news");
        keys.revive(&a[0]);
        assert_eq!(keys.in_turn("m").len(), 2, "somebody saw it accepted");
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_used_too_often_rests_for_that_model_as_long_as_it_is_asked_to() {
        let keys = keys(&["a", "b"]);
        let all = keys.all();
        keys.limited(&all[0], "m", Duration::from_secs(3));
        assert_eq!((keys.in_turn("m").len(), keys.in_turn("other").len()), (1, 2));
        keys.limited(&all[1], "m", Duration::from_secs(2));
        assert_eq!(keys.rest_of("m"), Rest::Limited(Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(keys.in_turn("m").len(), 1);
    }

    #[test]
    fn no_key_is_nothing_to_choose_and_keys_are_scrubbed() {
        assert!(keys(&[]).in_turn("m").is_empty());
        assert_eq!(keys(&["sk-a", "sk-b"]).scrub("bad sk-b"), "bad [key]");
    }
}
