//! How much a model is to think, in the words that different servers take.

/// From the least to the most, as vendors name them.
const LEVELS: [&str; 6] = ["minimal", "low", "medium", "high", "xhigh", "max"];

/// What every server knows that knows any.
const COMMON: &[&str] = &["low", "medium", "high"];

/// The nearest of those that every server knows.
pub(crate) fn common(asked: &str) -> Option<&'static str> {
    nearest(asked, COMMON)
}

/// The one of `taken` that comes nearest to what was asked for: not more than that, where there is one. `None` for a word that
/// is no level here.
pub(crate) fn nearest(asked: &str, taken: &[&'static str]) -> Option<&'static str> {
    let place = |word: &str| LEVELS.iter().position(|level| *level == word);
    let wanted = place(asked)?;
    let not_more = taken.iter().filter(|level| place(level) <= Some(wanted)).max_by_key(|level| place(level));
    not_more.or_else(|| taken.iter().min_by_key(|level| place(level))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_is_not_more_than_asked_for_where_there_is_one() {
        const FOUR: &[&str] = &["low", "medium", "high", "max"];
        for (asked, common, four) in [
            ("minimal", Some("low"), Some("low")),
            ("low", Some("low"), Some("low")),
            ("medium", Some("medium"), Some("medium")),
            ("high", Some("high"), Some("high")),
            ("xhigh", Some("high"), Some("high")),
            ("max", Some("high"), Some("max")),
            ("utmost", None, None),
        ] {
            assert_eq!((nearest(asked, COMMON), nearest(asked, FOUR)), (common, four), "{asked}");
        }
    }
}
