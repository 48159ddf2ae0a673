//! Medians and spread.

use hdrhistogram::Histogram;
use std::time::Duration;

/// Durations of one operation, in microseconds, to three digits.
pub struct Latencies(Histogram<u64>);

/// Nothing measured here takes an hour.
const LONGEST_MICROS: u64 = 3_600_000_000;

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_MICROS, 3).expect("bounds and digits are allowed"))
    }
}

impl Latencies {
    pub fn record(&mut self, taken: Duration) {
        self.0.saturating_record(u64::try_from(taken.as_micros()).unwrap_or(u64::MAX));
    }

    pub fn add(&mut self, other: &Self) {
        self.0 += &other.0;
    }

    pub fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.0.value_at_quantile(quantile))
    }

    pub fn median(&self) -> Duration {
        self.quantile(0.5)
    }

    pub fn line(&self) -> String {
        format!(
            "p50 {}  p90 {}  p99 {}  max {}  n={}",
            shown(self.median()),
            shown(self.quantile(0.9)),
            shown(self.quantile(0.99)),
            shown(Duration::from_micros(self.0.max())),
            self.0.len()
        )
    }
}

/// Rates or sizes of several rounds.
#[derive(Default)]
pub struct Rounds(pub Vec<f64>);

impl Rounds {
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted[sorted.len() / 2]
    }

    /// The least and the most.
    pub fn bounds(&self) -> (f64, f64) {
        (self.0.iter().copied().fold(f64::INFINITY, f64::min), self.0.iter().copied().fold(0.0, f64::max))
    }

    pub fn line(&self, unit: &str) -> String {
        let (least, most) = self.bounds();
        format!("median {:.0} {unit}  ({least:.0} to {most:.0}, {} rounds)", self.median(), self.0.len())
    }
}

pub fn shown(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1_000.0)
}

pub fn print(what: &str, figure: &str) {
    println!("  {what:<44} {figure}");
}
