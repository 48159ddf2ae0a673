use settings::load;
use std::time::Duration;

fn timeout(text: &str) -> Option<Duration> {
    load(&format!("timeout = {text}"), "").ok().map(|settings| settings.timeout)
}

#[test]
fn every_unit() {
    let cases = [("250ms", 250), ("0ms", 0), ("1s", 1_000), ("3m", 180_000), ("2h", 7_200_000)];
    for (text, ms) in cases {
        assert_eq!(timeout(text), Some(Duration::from_millis(ms)), "{text}");
    }
}

#[test]
fn what_is_no_duration() {
    for text in ["", "5", "s", "ms", "1.5s", "-1s", "5mms", "5sm", "m5s", "99999999999999999h"] {
        assert_eq!(timeout(text), None, "{text}");
    }
}
