//! Money as people read it.

/// Millionths of a US dollar, in dollars: to the last digit, and never with less than two.
pub(crate) fn dollars(microusd: u64) -> String {
    let fraction = format!("{:06}", microusd % 1_000_000);
    let digits = fraction.trim_end_matches('0').len().max(2);
    format!("${}.{}", microusd / 1_000_000, &fraction[..digits])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_digit_that_says_something_is_there() {
        for (microusd, text) in [
            (0, "$0.00"),
            (826, "$0.000826"),
            (9_200, "$0.0092"),
            (10_000, "$0.01"),
            (2_500_000, "$2.50"),
            (u64::MAX, "$18446744073709.551615"),
        ] {
            assert_eq!(dollars(microusd), text);
        }
    }
}
