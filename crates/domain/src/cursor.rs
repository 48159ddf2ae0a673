//! `epoch.seq`, the only way to resume reading a job's log.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// One incarnation of a data folder: eight lower-case hex digits, random. Restoring a backup makes a new one, so a
/// cursor handed out before the restore is answered with a `reset`, never with other events under the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(pub u32);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// A position in one job's log: everything up to and including `seq` has been read. `seq` 0 is the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    pub epoch: Epoch,
    pub seq: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a cursor is `epoch.seq`, eight hex digits, a dot and a whole number such as `5f0c21ab.17`; got `{0}`")]
pub struct ParseCursorError(pub String);

impl FromStr for Epoch {
    type Err = ParseCursorError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = text.len() == 8 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u32::from_str_radix(text, 16) {
            Ok(epoch) if well_formed => Ok(Self(epoch)),
            _ => Err(ParseCursorError(shortened(text))),
        }
    }
}

impl FromStr for Cursor {
    type Err = ParseCursorError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || ParseCursorError(shortened(text));
        let (epoch, seq) = text.split_once('.').ok_or_else(refused)?;
        let has_one_form = seq == "0" || !seq.starts_with('0');
        if seq.is_empty() || !has_one_form || !seq.bytes().all(|b| b.is_ascii_digit()) {
            return Err(refused());
        }
        // SQLite integers are signed, so a seq above i64::MAX can never have been handed out.
        let seq = seq.parse::<u64>().ok().filter(|seq| i64::try_from(*seq).is_ok()).ok_or_else(refused)?;
        Ok(Self { epoch: epoch.parse().map_err(|_| refused())?, seq })
    }
}

/// An error repeats the value seen, but never a megabyte of it.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

macro_rules! serde_as_text {
    ($($name:ty),+) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}

serde_as_text!(Epoch, Cursor);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_cursor_round_trips(epoch: u32, seq in 0..=i64::MAX as u64) {
            let cursor = Cursor { epoch: Epoch(epoch), seq };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn near_misses_are_refused() {
        for text in [
            "",
            ".",
            "5f0c21ab",
            "5f0c21ab.",
            ".7",
            "5F0C21AB.7",
            "5f0c21ab.+7",
            "5f0c21ab.-1",
            "5f0c21ab.01",
            "5f0c21ab.00",
            "5f0c21ab.9223372036854775808",
            "+f0c21ab.1",
        ] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
