use std::time::Duration;

/// Units of durations, in milliseconds. `ms` also ends with `s`, so it comes first.
const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A whole number and a unit: `250ms`, `90s`, `2m`, `1h`.
pub fn duration(text: &str) -> Option<Duration> {
    for (unit, ms) in UNITS {
        let Some(number) = text.strip_suffix(unit) else { continue };
        if !number.chars().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let number: u64 = number.parse().ok()?;
        return number.checked_mul(ms).map(Duration::from_millis);
    }
    None
}
