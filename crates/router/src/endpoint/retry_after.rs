//! How long a server asks to wait, in the three forms in use: `Retry-After` in seconds (RFC 9110 §10.2.3; some send
//! fractions), `Retry-After` as an HTTP date, and `retry-after-ms` in milliseconds, which is the most exact and comes first.

use http::{HeaderMap, header};
use std::time::{Duration, SystemTime};

/// What is longer than this is as good as never for a request that somebody waits for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

pub(super) fn of(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    if let Some(ms) = text("retry-after-ms").and_then(number) {
        return Some(bounded(ms / 1000.0));
    }
    let after = text(header::RETRY_AFTER.as_str())?;
    if let Some(seconds) = number(after) {
        return Some(bounded(seconds));
    }
    let at = httpdate::parse_http_date(after).ok()?;
    // The date is the server's; where clocks differ this is off by as much, which only costs a little time.
    #[expect(clippy::disallowed_methods, reason = "a date on the wire is compared with this machine's own clock")]
    let now = SystemTime::now();
    Some(at.duration_since(now).unwrap_or_default().min(LONGEST))
}

fn bounded(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(pairs: &[(&'static str, &str)]) -> Option<Duration> {
        let pairs = pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        of(&pairs.collect())
    }

    #[test]
    fn all_three_forms_are_understood() {
        assert_eq!(wait(&[("retry-after", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(Duration::from_millis(500)));
        assert_eq!(wait(&[("retry-after", "7"), ("retry-after-ms", "250")]), Some(Duration::from_millis(250)));
        #[expect(clippy::disallowed_methods, reason = "the form under test is a date")]
        let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(10));
        let wait_for_date = wait(&[("retry-after", &soon)]).unwrap();
        assert!((8..=10).contains(&wait_for_date.as_secs()), "{wait_for_date:?}");
        assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]), Some(Duration::ZERO), "in the past");
    }

    #[test]
    fn nonsense_is_no_wait_at_all_and_ages_are_bounded() {
        assert_eq!(wait(&[]), None);
        for text in ["soon", "-3", "NaN", "inf", ""] {
            assert_eq!(wait(&[("retry-after", text)]), None, "{text}");
        }
        assert_eq!(wait(&[("retry-after", "1e300")]), Some(LONGEST));
    }
}
