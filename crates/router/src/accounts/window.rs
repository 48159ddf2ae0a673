//! The times within which spend is counted: since ever, a day, a month. Days and months are those of UTC.

use domain::Timestamp;
use jiff::{civil, tz::TimeZone};
use protocol::{BudgetWindow, Spend};

/// What was spent in the current window of one kind. Goes on to the next one by itself, and never back: a clock that is
/// set back must not open a budget that is used up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    kind: BudgetWindow,
    begins_at: Timestamp,
    /// `None`: never.
    ends_at: Option<Timestamp>,
    pub(crate) spent: Spend,
}

impl Window {
    pub(crate) fn new(kind: BudgetWindow, now: Timestamp) -> Self {
        let (begins_at, ends_at) = bounds(kind, now);
        Self { kind, begins_at, ends_at, spent: Spend::default() }
    }

    pub(crate) fn kind(&self) -> BudgetWindow {
        self.kind
    }

    pub(crate) fn begins_at(&self) -> Timestamp {
        self.begins_at
    }

    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        self.ends_at
    }

    pub(crate) fn roll(&mut self, now: Timestamp) {
        if self.ends_at.is_some_and(|end| now >= end) {
            *self = Self::new(self.kind, now);
        }
    }

    /// Takes up what an earlier run of the program counted, of this window or of a later one.
    pub(crate) fn restore(&mut self, begins_at: Timestamp, spent: Spend) {
        if begins_at > self.begins_at {
            *self = Self::new(self.kind, begins_at);
        }
        if begins_at == self.begins_at {
            self.spent = spent;
        }
    }
}

/// The first moment of the window that holds `now`, and the first one after it.
fn bounds(kind: BudgetWindow, now: Timestamp) -> (Timestamp, Option<Timestamp>) {
    let forever = (Timestamp::from_millis(0), None);
    let Ok(time) = jiff::Timestamp::from_millisecond(now.as_millis()) else { return forever };
    let date = TimeZone::UTC.to_datetime(time).date();
    let (first, next) = match kind {
        BudgetWindow::Total => return forever,
        BudgetWindow::Day => (date, date.tomorrow()),
        BudgetWindow::Month => (date.first_of_month(), date.last_of_month().tomorrow()),
    };
    match (midnight(first), next.ok().and_then(midnight)) {
        (Some(first), next) => (first, next),
        _ => forever,
    }
}

fn midnight(date: civil::Date) -> Option<Timestamp> {
    let time = TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(Timestamp::from_millis(time.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn days_and_months_begin_at_midnight_utc() {
        let cases = [
            (BudgetWindow::Day, "2026-01-02T03:04:05.678Z", "2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.000Z"),
            (BudgetWindow::Day, "2026-12-31T23:59:59.999Z", "2026-12-31T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
            (BudgetWindow::Month, "2028-02-29T12:00:00.000Z", "2028-02-01T00:00:00.000Z", "2028-03-01T00:00:00.000Z"),
            (BudgetWindow::Month, "2026-12-01T00:00:00.000Z", "2026-12-01T00:00:00.000Z", "2027-01-01T00:00:00.000Z"),
        ];
        for (kind, now, begins_at, ends_at) in cases {
            let window = Window::new(kind, time(now));
            assert_eq!(window.begins_at().to_string(), begins_at);
            assert_eq!(window.ends_at().unwrap().to_string(), ends_at);
        }
        assert_eq!(Window::new(BudgetWindow::Total, time("2026-01-02T03:04:05.678Z")).ends_at(), None);
    }

    #[test]
    fn a_window_goes_on_and_never_back() {
        let mut window = Window::new(BudgetWindow::Day, time("2026-01-02T10:00:00Z"));
        window.spent.tokens = 5;
        window.roll(time("2026-01-02T23:59:59.999Z"));
        assert_eq!(window.spent.tokens, 5);
        window.roll(time("2026-01-01T10:00:00Z"));
        assert_eq!(window.spent.tokens, 5, "the clock was set back");
        window.roll(time("2026-01-03T00:00:00Z"));
        assert_eq!(window.spent.tokens, 0);
    }

    #[test]
    fn what_an_earlier_run_counted_is_taken_up_unless_it_is_over() {
        let now = time("2026-01-02T10:00:00Z");
        let spent = Spend { tokens: 7, microusd: 1, requests: 2 };
        for (begins_at, kept) in [("2026-01-01T00:00:00Z", 0), ("2026-01-02T00:00:00Z", 7), ("2026-01-03T00:00:00Z", 7)]
        {
            let mut window = Window::new(BudgetWindow::Day, now);
            window.restore(time(begins_at), spent);
            assert_eq!(window.spent.tokens, kept, "{begins_at}");
        }
    }

    #[test]
    fn no_time_panics() {
        for millis in [i64::MIN, -1, 0, i64::MAX] {
            for kind in BudgetWindow::ALL {
                let window = Window::new(kind, Timestamp::from_millis(millis));
                assert!(window.ends_at().is_none_or(|end| end > window.begins_at()));
            }
        }
    }
}
