//! Reading any list page by page: how many at once, and where to go on.
//!
//! Every list takes `limit` and `cursor` and gives `next_cursor` where there is more. A page may end before its limit when
//! what it holds gets large, so only an absent `next_cursor` says that a list is over.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{fmt::Display, str::FromStr};
use thiserror::Error;
use utoipa::IntoParams;

/// Rows of a page when nobody says how many: what a person looks through at once.
pub const DEFAULT_ROWS: u32 = 50;
/// Rows of a page at most: some hundred kilobytes of the usual ones. More than that is asked for by the next request,
/// never left out without a word.
pub const MOST_ROWS: u32 = 200;
/// Characters of a cursor that an error repeats.
const SHOWN: usize = 64;
/// Bytes of a digest that a cursor begins with, so that one which was cut or changed on its way names no other row.
const CHECK: usize = 4;

/// A list there are cursors of. A cursor names its list, so that one from elsewhere is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    Jobs,
    Approvals,
    Artifacts,
    Tokens,
    ModelCalls,
    Egress,
    Audit,
}

impl List {
    pub const ALL: [Self; 7] =
        [Self::Jobs, Self::Approvals, Self::Artifacts, Self::Tokens, Self::ModelCalls, Self::Egress, Self::Audit];

    fn name(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Approvals => "approvals",
            Self::Artifacts => "artifacts",
            Self::Tokens => "tokens",
            Self::ModelCalls => "model_calls",
            Self::Egress => "egress",
            Self::Audit => "audit",
        }
    }

    /// The cursor of what comes after the row at this place.
    pub fn cursor_after(self, place: impl Display) -> String {
        let text = format!("{}.{place}", self.name());
        URL_SAFE_NO_PAD.encode([&check(&text)[..], text.as_bytes()].concat())
    }

    /// What a request asks for: how many rows, and after which place.
    ///
    /// # Errors
    /// [`ListError`] when the limit is out of range or the cursor is not one of this list.
    pub fn query<P: FromStr>(self, limit: Option<u32>, cursor: Option<&str>) -> Result<PageQuery<P>, ListError> {
        let limit = limit.unwrap_or(DEFAULT_ROWS);
        if !(1..=MOST_ROWS).contains(&limit) {
            return Err(ListError::Limit(limit));
        }
        let after = cursor
            .map(|cursor| self.place(cursor).ok_or_else(|| ListError::Cursor(cursor.chars().take(SHOWN).collect())));
        Ok(PageQuery { limit: limit as usize, after: after.transpose()? })
    }

    fn place<P: FromStr>(self, cursor: &str) -> Option<P> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (found, text) = bytes.split_first_chunk::<CHECK>()?;
        let text = std::str::from_utf8(text).ok().filter(|text| check(text) == *found)?;
        text.strip_prefix(self.name())?.strip_prefix('.')?.parse().ok()
    }
}

fn check(text: &str) -> [u8; CHECK] {
    let digest: [u8; 32] = Sha256::digest(text).into();
    std::array::from_fn(|index| digest[index])
}

/// A page as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageQuery<P> {
    /// 1 to [`MOST_ROWS`].
    pub limit: usize,
    /// The last row of the page before.
    pub after: Option<P>,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListError {
    #[error("is {0}; 1 to {MOST_ROWS} are allowed")]
    Limit(u32),
    #[error(
        "`{0}` is not a cursor of this list; pass an earlier page's `next_cursor` unchanged, or none to start over"
    )]
    Cursor(String),
}

/// A list without filters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListAll {
    /// At most this many, 1 to 200. Default 50.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<u32>,
    /// Go on after an earlier page's `next_cursor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{JobId, Timestamp};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cursor_round_trips(millis in 0..4_000_000_000_000i64, limit in 1..=MOST_ROWS) {
            let job = JobId::new(Timestamp::from_millis(millis));
            for list in List::ALL {
                let cursor = list.cursor_after(job);
                prop_assert!(cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
                let query = list.query::<JobId>(Some(limit), Some(&cursor));
                prop_assert_eq!(query, Ok(PageQuery { limit: limit as usize, after: Some(job) }));
            }
        }

        #[test]
        fn a_place_may_be_any_text(name in ".{0,80}") {
            let cursor = List::Artifacts.cursor_after(&name);
            prop_assert_eq!(List::Artifacts.query::<String>(None, Some(&cursor)).unwrap().after, Some(name));
        }

        #[test]
        fn no_text_panics(text in ".{0,80}") {
            prop_assert!(List::Jobs.query::<JobId>(None, Some(&text)).is_err());
        }
    }

    #[test]
    fn a_cursor_that_was_cut_or_changed_is_refused() {
        let cursor = List::Audit.cursor_after(1234);
        assert_eq!(List::Audit.query::<u64>(None, Some(&cursor)).unwrap().after, Some(1234));
        for end in 0..cursor.len() {
            let mut changed = cursor.clone();
            changed.replace_range(end..=end, if cursor[end..].starts_with('A') { "B" } else { "A" });
            for text in [&cursor[..end], &changed] {
                assert!(List::Audit.query::<u64>(None, Some(text)).is_err(), "{text}");
            }
        }
        // Nor is one that was made up.
        for place in [String::new(), "artifacts.".to_owned(), format!("artifacts.{}", "x".repeat(5_000))] {
            let made_up = URL_SAFE_NO_PAD.encode(place);
            assert!(List::Artifacts.query::<String>(None, Some(&made_up)).is_err(), "{made_up}");
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        for of in List::ALL {
            let cursor = of.cursor_after(7);
            for asked in List::ALL {
                assert_eq!(asked.query::<u64>(None, Some(&cursor)).is_ok(), asked == of, "{of:?} at {asked:?}");
            }
        }
    }

    #[test]
    fn a_limit_is_refused_rather_than_cut() {
        for limit in [0, MOST_ROWS + 1, u32::MAX] {
            assert_eq!(List::Jobs.query::<JobId>(Some(limit), None), Err(ListError::Limit(limit)));
        }
        assert_eq!(List::Jobs.query::<JobId>(None, None), Ok(PageQuery { limit: 50, after: None }));
    }
}
