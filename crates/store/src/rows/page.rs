//! Part of a list.

/// Rows in the order of their list, and whether others come after them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub rows: Vec<T>,
    pub more: bool,
}

impl<T> Page<T> {
    /// The last row, when the next page begins after it.
    pub fn last_if_more(&self) -> Option<&T> {
        self.rows.last().filter(|_| self.more)
    }

    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Page<U> {
        Page { rows: self.rows.into_iter().map(change).collect(), more: self.more }
    }
}
