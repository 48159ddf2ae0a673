//! How much a model is to think, in the words that different servers take.

use std::{borrow::Cow, collections::BTreeMap};

/// From the least to the most, as vendors name them.
const LEVELS: [&str; 6] = ["minimal", "low", "medium", "high", "xhigh", "max"];

/// What a model can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Efforts(Cow<'static, [&'static str]>);

/// What a person knows of the models of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffortsByModel {
    usual: Option<Efforts>,
    of: BTreeMap<String, Efforts>,
}

impl EffortsByModel {
    /// Of entries `LEVEL`, which all models take, and `MODEL=LEVEL`: one that is named takes what is said of it and no more.
    ///
    /// # Errors
    /// The first that is no level here, with those that are.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut all = Self::default();
        for entry in entries {
            let (model, level) =
                entry.rsplit_once('=').map_or((None, entry), |(model, level)| (Some(model.trim()), level));
            let known = LEVELS.into_iter().find(|known| *known == level.trim());
            let known = known.ok_or_else(|| {
                format!("`{}` is no level of thinking. Known here: {}", level.trim(), LEVELS.join(", "))
            })?;
            let efforts = match model {
                Some(model) => all.of.entry(model.to_owned()).or_default(),
                None => all.usual.get_or_insert_default(),
            };
            efforts.0.to_mut().push(known);
        }
        Ok(all)
    }

    /// `None`: nobody knows.
    pub(crate) fn get(&self, model: &str) -> Option<&Efforts> {
        self.of.get(model).or(self.usual.as_ref())
    }
}

impl Efforts {
    /// What every server knows that knows any.
    pub(crate) const COMMON: Self = Self(Cow::Borrowed(&["low", "medium", "high"]));

    /// The one that comes nearest to what was asked for.
    pub(crate) fn nearest(&self, asked: &str) -> Option<&'static str> {
        nearest(asked, &self.0)
    }
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
    fn only_levels_that_are_known_can_be_configured() {
        let configured = EffortsByModel::of(["high", "xhigh", "gpt-oss:20b = low", "a=b/c=max"]).unwrap();
        let told = |model: &str, asked| configured.get(model).unwrap().nearest(asked);
        assert_eq!((told("any", "max"), told("any", "low")), (Some("xhigh"), Some("high")));
        assert_eq!((told("gpt-oss:20b", "max"), told("a=b/c", "low")), (Some("low"), Some("max")));
        assert_eq!(EffortsByModel::of(["m=high"]).unwrap().get("other"), None);
        let refused = EffortsByModel::of(["high", "m=utmost"]).unwrap_err();
        assert!(refused.contains("`utmost`") && refused.contains("xhigh"), "{refused}");
    }

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
            assert_eq!((Efforts::COMMON.nearest(asked), nearest(asked, FOUR)), (common, four), "{asked}");
        }
    }
}
