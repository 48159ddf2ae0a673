use settings::load;
use std::time::Duration;

#[test]
fn settings_of_a_user() {
    let settings = load("workers = 8\ntimeout = 2m", "name = mine # not theirs\ntimeout = 90s").unwrap();
    assert_eq!((settings.name.as_str(), settings.workers), ("mine", 8));
    assert_eq!(settings.timeout, Duration::from_secs(90));
    assert_eq!(load("", "").unwrap().timeout, Duration::from_millis(1500));
}

#[test]
fn minutes() {
    assert_eq!(load("timeout = 2m", "").unwrap().timeout, Duration::from_secs(120));
}

#[test]
fn what_is_no_duration() {
    assert!(load("timeout = 9x0s", "").unwrap_err().contains("`9x0s` is not a duration"));
}
