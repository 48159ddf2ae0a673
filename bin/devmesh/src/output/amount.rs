//! Amounts as people read them.

use domain::Timestamp;
use protocol::Usage;

pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut amount = count as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

pub fn duration_ms(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis / 1000 % 60),
        _ => format!("{} h {} min", millis / 3_600_000, millis / 60_000 % 60),
    }
}

/// How long ago, in the largest unit.
pub fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_millis() - then.as_millis()).max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// Tokens and money of a job.
pub fn tokens_text(usage: &Usage) -> String {
    let tokens = format!("{} in, {} out tokens", usage.input_tokens, usage.output_tokens);
    match usage.cost_microusd {
        0 => tokens,
        cost => format!("{tokens}, {}", money(cost)),
    }
}

/// Millionths of a US dollar.
pub fn money(microusd: u64) -> String {
    format!("${:.4}", microusd as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_keep_to_the_largest_unit() {
        assert_eq!([0, 1023, 1024, 98 << 20].map(bytes), ["0 B", "1023 B", "1.0 KiB", "98.0 MiB"]);
        assert_eq!([7, 1_500, 61_000, 3_660_000].map(duration_ms), ["7 ms", "1.5 s", "1 min 1 s", "1 h 1 min"]);
        let now = Timestamp::from_millis(100_000_000);
        assert_eq!(age(Timestamp::from_millis(99_000_000), now), "16 min");
        assert_eq!(age(Timestamp::from_millis(200_000_000), now), "0 s", "a clock that went back");
    }
}
