//! Reading a page of a list: as many rows as fit.

use crate::{Page, limits, sqlite::column::integer, unreadable::pass_over};
use rusqlite::{Row, Rows};

/// What a page may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    /// Up to [`limits::ROWS_PER_PAGE`] rows and, after the first, up to [`limits::PAGE_BYTES`].
    pub(crate) fn of(rows: usize) -> Self {
        Self { rows: rows.min(limits::ROWS_PER_PAGE), bytes: limits::PAGE_BYTES }
    }

    /// With other bytes.
    pub(crate) fn with_bytes(self, bytes: usize) -> Self {
        Self { bytes, ..self }
    }

    /// What a statement's LIMIT is: one more than fit tells whether others come after them, and some may not be readable.
    pub(crate) fn limit(self) -> i64 {
        integer((self.rows + 1 + limits::UNREADABLE_PER_PAGE) as u64)
    }

    /// Reads rows until the page is full, and passes over those that cannot be read. `bytes` says how many of a row's could be many.
    pub(crate) fn fill<T>(
        self,
        mut found: Rows<'_>,
        row: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        bytes: impl Fn(&T) -> usize,
    ) -> rusqlite::Result<Page<T>> {
        let (mut rows, mut used) = (Vec::new(), 0);
        while let Some(next) = found.next()? {
            if rows.len() == self.rows {
                return Ok(Page { rows, more: true });
            }
            let Some(next) = pass_over(row(next)) else { continue };
            let next = next?;
            used += bytes(&next);
            if used > self.bytes && !rows.is_empty() {
                return Ok(Page { rows, more: true });
            }
            rows.push(next);
        }
        Ok(Page { rows, more: false })
    }
}
