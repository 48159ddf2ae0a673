use std::time::Duration;

/// Units of durations, in milliseconds.
const UNITS: [(&str, u64); 4] = [("s", 1_000), ("m", 60_000), ("ms", 1), ("h", 3_600_000)];

/// A whole number and a unit: `250ms`, `90s`, `2m`, `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    for (unit, ms) in UNITS {
        let Some(number) = text.strip_suffix(unit) else { continue };
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        let number: u64 = digits.parse().ok()?;
        return number.checked_mul(ms).map(Duration::from_millis);
    }
    None
}
