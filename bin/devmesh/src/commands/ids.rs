//! Ids as people see them: the beginning, which commands take for the whole.

use crate::output::Output;
use std::fmt::Display;

/// Enough of an id to be unique among those that were not made in the same millisecond.
const SHORT_ID: usize = 13;

pub fn short(id: impl Display) -> String {
    id.to_string().chars().take(SHORT_ID).collect()
}

/// The ids in the rows of one list.
pub struct Ids {
    characters: usize,
}

impl Ids {
    /// On a terminal as short as tells them apart; programs get them whole.
    pub fn of<I: Display>(output: &Output, ids: impl IntoIterator<Item = I>) -> Self {
        let characters = if output.stdout_is_terminal { telling_apart(ids) } else { usize::MAX };
        Self { characters }
    }

    pub fn show(&self, id: impl Display) -> String {
        id.to_string().chars().take(self.characters).collect()
    }
}

fn telling_apart<I: Display>(ids: impl IntoIterator<Item = I>) -> usize {
    let mut ids: Vec<_> = ids.into_iter().map(|id| id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let shared =
        |one: &str, other: &str| one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    // Of sorted ones, neighbours have the most in common.
    let longest = ids.windows(2).map(|pair| shared(&pair[0], &pair[1])).max();
    longest.map_or(SHORT_ID, |longest| SHORT_ID.max(longest + 1))
}

#[cfg(test)]
mod tests {
    use super::telling_apart;

    #[test]
    fn ids_are_as_short_as_tells_them_apart() {
        let first = "01a22cd5-791c-706f-a828-21c076c5190c";
        assert_eq!(telling_apart([""; 0]), 13);
        assert_eq!(telling_apart([first, first]), 13, "one id in several rows");
        assert_eq!(telling_apart(["01a22cd5-791d-7fff-8000-000000000000", first]), 13);
        // Made in the same millisecond.
        assert_eq!(
            telling_apart([first, "01a22cd5-800c-7000-8000-000000000000", "01a22cd5-791c-7061-8000-000000000000"]),
            18
        );
    }
}
