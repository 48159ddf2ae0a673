//! How often and how much within a minute.
//!
//! A bucket that fills up with what is taken and drains evenly, its limit once a minute. Unlike a plain rate limiter it
//! can be corrected: a call takes the tokens it may need, and puts back at its end what it did not.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;
use tokio::time::Instant;

use domain::Timestamp;

const MINUTE_MS: i128 = 60_000;

/// Levels are counted in 60,000ths of a unit: what a limit of one a minute drains in a millisecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    level: i128,
    at: Instant,
}

/// A limit and how much of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub limit: u64,
    pub remaining: u64,
    /// Until all of it is there again.
    pub full_in: Duration,
}

impl Bucket {
    pub(crate) fn new(now: Instant) -> Self {
        Self { level: 0, at: now }
    }

    pub(crate) fn drain(&mut self, limit: u64, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_millis();
        if passed == 0 {
            return;
        }
        // Only whole milliseconds are taken off, the rest stays for the next time.
        self.at += Duration::from_millis(u64::try_from(passed).unwrap_or(u64::MAX));
        let drained = i128::try_from(passed).unwrap_or(MINUTE_MS).saturating_mul(i128::from(limit));
        self.level = self.level.saturating_sub(drained).max(0);
    }

    /// How long until `amount` fits; zero when it does now. `None`: it never will.
    pub(crate) fn wait_for(&self, amount: u64, limit: u64) -> Option<Duration> {
        if amount > limit {
            return None;
        }
        let over = self.level + scaled(amount) - scaled(limit);
        Some(drain_time(over, limit))
    }

    pub(crate) fn take(&mut self, amount: u64) {
        self.level = self.level.saturating_add(scaled(amount));
    }

    /// After the fact: `taken` were taken and `used` were used. May fill the bucket above its rim.
    pub(crate) fn correct(&mut self, taken: u64, used: u64) {
        self.level = (self.level - scaled(taken)).saturating_add(scaled(used)).max(0);
    }

    pub(crate) fn rate(&self, limit: u64) -> Rate {
        let free = (scaled(limit) - self.level).max(0) / MINUTE_MS;
        let remaining = u64::try_from(free).unwrap_or(u64::MAX);
        Rate { limit, remaining, full_in: drain_time(self.level, limit) }
    }
}

fn scaled(amount: u64) -> i128 {
    i128::from(amount) * MINUTE_MS
}

fn drain_time(level: i128, limit: u64) -> Duration {
    if level <= 0 {
        return Duration::ZERO;
    }
    let limit = i128::from(limit.max(1));
    Duration::from_millis(u64::try_from((level + limit - 1) / limit).unwrap_or(u64::MAX))
}

/// What an answer tells of its key's rate limits; empty where the key has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimits {
    pub requests: Option<Rate>,
    pub tokens: Option<Rate>,
}

impl RateLimits {
    /// As OpenAI writes them.
    pub fn openai_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: String| insert(&mut headers, name, &value);
        if let Some(rate) = self.requests {
            put("x-ratelimit-limit-requests", rate.limit.to_string());
            put("x-ratelimit-remaining-requests", rate.remaining.to_string());
            put("x-ratelimit-reset-requests", spelled(rate.full_in));
        }
        if let Some(rate) = self.tokens {
            put("x-ratelimit-limit-tokens", rate.limit.to_string());
            put("x-ratelimit-remaining-tokens", rate.remaining.to_string());
            put("x-ratelimit-reset-tokens", spelled(rate.full_in));
        }
        headers
    }

    /// As Anthropic writes them.
    pub fn anthropic_headers(&self, now: Timestamp) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: String| insert(&mut headers, name, &value);
        if let Some(rate) = self.requests {
            put("anthropic-ratelimit-requests-limit", rate.limit.to_string());
            put("anthropic-ratelimit-requests-remaining", rate.remaining.to_string());
            put("anthropic-ratelimit-requests-reset", moment(now, rate.full_in));
        }
        if let Some(rate) = self.tokens {
            put("anthropic-ratelimit-tokens-limit", rate.limit.to_string());
            put("anthropic-ratelimit-tokens-remaining", rate.remaining.to_string());
            put("anthropic-ratelimit-tokens-reset", moment(now, rate.full_in));
        }
        headers
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    // Digits, letters and colons are always a header's value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// Anthropic's resets are whole seconds; rounded up, so that nobody comes too early.
fn moment(now: Timestamp, wait: Duration) -> String {
    let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    let end = now.plus_millis(wait).as_millis();
    let second = Timestamp::from_millis(end.saturating_add(999).div_euclid(1_000).saturating_mul(1_000));
    second.to_string().replace(".000Z", "Z")
}

/// `120ms`, `1.5s`, `1m2s`, `1h0m3s`: whole seconds from a minute on, rounded up.
pub(crate) fn spelled(time: Duration) -> String {
    let millis = time.as_millis();
    if millis < 1_000 {
        return format!("{millis}ms");
    }
    if millis < 60_000 {
        let text = format!("{}.{:03}", millis / 1_000, millis % 1_000);
        return format!("{}s", text.trim_end_matches('0').trim_end_matches('.'));
    }
    let seconds = millis.div_ceil(1_000);
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}h{minutes}m{seconds}s") } else { format!("{minutes}m{seconds}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn a_minutes_worth_goes_at_once_and_comes_back_evenly() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        for _ in 0..3 {
            assert_eq!(bucket.wait_for(1, 3), Some(Duration::ZERO));
            bucket.take(1);
        }
        assert_eq!(bucket.wait_for(1, 3), Some(Duration::from_secs(20)));
        bucket.drain(3, after(start, 19_999));
        assert_eq!(bucket.wait_for(1, 3), Some(Duration::from_millis(1)));
        bucket.drain(3, after(start, 20_000));
        assert_eq!(bucket.wait_for(1, 3), Some(Duration::ZERO));
        assert_eq!(bucket.rate(3), Rate { limit: 3, remaining: 1, full_in: Duration::from_secs(40) });
    }

    #[test]
    fn what_was_not_used_is_put_back_and_what_was_used_beyond_is_owed() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        bucket.take(100);
        bucket.correct(100, 40);
        assert_eq!(bucket.rate(100).remaining, 60);
        bucket.take(60);
        bucket.correct(60, 160);
        assert_eq!(bucket.rate(100).remaining, 0);
        assert_eq!(bucket.wait_for(1, 100), Some(Duration::from_millis(60_600)));
    }

    #[test]
    fn more_than_the_limit_never_fits_and_no_number_overflows() {
        let start = Instant::now();
        let mut bucket = Bucket::new(start);
        assert_eq!(bucket.wait_for(11, 10), None);
        bucket.take(u64::MAX);
        bucket.take(u64::MAX);
        bucket.correct(0, u64::MAX);
        assert_eq!(bucket.rate(u64::MAX).remaining, 0);
        bucket.drain(u64::MAX, after(start, 1_000_000_000));
        assert_eq!(bucket.wait_for(u64::MAX, u64::MAX), Some(Duration::ZERO));
    }

    #[test]
    fn times_are_spelled_as_openai_does() {
        let cases = [
            (0, "0ms"),
            (120, "120ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_500, "1.5s"),
            (7_660, "7.66s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (61_001, "1m2s"),
            (3_600_000, "1h0m0s"),
            (3_725_000, "1h2m5s"),
        ];
        for (millis, text) in cases {
            assert_eq!(spelled(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn headers_are_those_of_the_vendors() {
        let limits = RateLimits {
            requests: Some(Rate { limit: 60, remaining: 59, full_in: Duration::from_secs(1) }),
            tokens: Some(Rate { limit: 10_000, remaining: 9_000, full_in: Duration::from_millis(62_000) }),
        };
        let now = "2026-01-02T03:04:05.678Z".parse().unwrap();
        insta::assert_debug_snapshot!((limits.openai_headers(), limits.anthropic_headers(now)), @r#"
        (
            {
                "x-ratelimit-limit-requests": "60",
                "x-ratelimit-remaining-requests": "59",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-limit-tokens": "10000",
                "x-ratelimit-remaining-tokens": "9000",
                "x-ratelimit-reset-tokens": "1m2s",
            },
            {
                "anthropic-ratelimit-requests-limit": "60",
                "anthropic-ratelimit-requests-remaining": "59",
                "anthropic-ratelimit-requests-reset": "2026-01-02T03:04:07Z",
                "anthropic-ratelimit-tokens-limit": "10000",
                "anthropic-ratelimit-tokens-remaining": "9000",
                "anthropic-ratelimit-tokens-reset": "2026-01-02T03:05:08Z",
            },
        )
        "#);
        assert!(RateLimits::default().openai_headers().is_empty());
        assert!(RateLimits::default().anthropic_headers(now).is_empty());
    }
}
